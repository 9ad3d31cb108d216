"""The engine without its server, in one process for any number of models: what imports and spawns cost, they cost once.

    python -m tests.e2e.offline FOLDER …     prints a list: the log-probabilities that each folder's model gives

The weights of a folder that `wellhead init` left for streaming arrive in shared memory, as `wellhead serve` has it: the
fetcher is a process of its own, and the loader finds its memory through the plug-in.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from tests.e2e.engine import PROMPTS
from wellhead_runtime.engine_credentials import engine_credentials
from wellhead_runtime.overlap.arrivals import VARIABLE
from wellhead_runtime.overlap.fetching import Fetching
from wellhead_storage.plan import read_plan
from wellhead_storage.settings import read_settings


def answers(folder: Path) -> list[list[float]]:
    """Log-probabilities of the tokens of each prompt and of those that follow it."""
    from vllm import LLM, SamplingParams
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    settings, plan = read_settings(os.environ), read_plan(folder)
    with ExitStack() as stack:
        fetching = None
        if plan is not None:
            credentials = engine_credentials(plan, folder, settings, os.environ)
            fetching = stack.enter_context(closing(Fetching(plan, folder, credentials, settings, os.environ)))
            os.environ[VARIABLE] = str(fetching.path)
        engine = LLM(
            str(folder),
            load_format="wellhead" if fetching else "auto",
            dtype="bfloat16",
            max_model_len=256,
            enforce_eager=True,
            distributed_executor_backend="uni",
        )
        if fetching:
            fetching.give_up()
        found = []
        for prompt in PROMPTS:
            wanted = SamplingParams(temperature=0, max_tokens=8, logprobs=0, prompt_logprobs=0, ignore_eos=True)
            [answer] = engine.generate(prompt, wanted, use_tqdm=False)
            tokens = [*answer.prompt_logprobs[1:], *answer.outputs[0].logprobs]
            found.append([next(iter(token.values())).logprob for token in tokens])
        del engine
        cleanup_dist_env_and_memory()
    return found


def main() -> None:
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # only so is the worker in this process, too
        "TORCH_COMPILE_DISABLE": "1",  # one function of the sampler, which would keep a C++ compiler busy for 15 s
        VARIABLE: "not yet",  # the plug-in looks for it once, before the first model
    }
    found = [answers(Path(folder)) for folder in sys.argv[1:]]
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
