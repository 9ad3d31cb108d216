"""The `vllm` that stands first on the runtime image's PATH.

KServe's LLMInferenceService templates and llm-d's chart call `vllm serve …`, and KServe's script asks
`vllm --version` before that, which takes vLLM's own command ten seconds. `serve` becomes `wellhead serve`, the
version is answered from the package metadata, everything else goes to the real command line.
"""

from __future__ import annotations

import os
import sys

from wellhead_runtime import engine
from wellhead_runtime.machine import installed_engine


def main() -> None:
    """Console script of the runtime image."""
    argv = sys.argv[1:]
    if argv[:1] == ["serve"] and not any(word == "-h" or word.startswith("--help") for word in argv):
        from wellhead_runtime.cli import serve_to_exit

        serve_to_exit(argv[1:])
    if argv in (["--version"], ["-v"]):
        sys.stdout.write(f"{installed_engine()[1]}\n")
        return
    command = [*engine.module(), *argv]
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
