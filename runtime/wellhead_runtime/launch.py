"""Plan + arguments + machine → the one command line and environment that start vLLM. Pure.

How weights reach the engine is one small strategy, chosen here and nowhere else:

- `overlap`: metadata from the local folder, weights from shared memory, where they arrive while vLLM starts (plan mode
  `stream`, where nothing speaks against it);
- `split`: metadata from the local folder, weights streamed from the bucket (plan mode `stream` otherwise);
- `local-streamer`: a directory, read by the Run:ai streamer (the user's `--load-format runai_streamer`);
- `directory`: a directory, read by vLLM's default loader;
- `engine`: not a directory and not a URI of ours (a Hugging Face id): vLLM does it all itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from wellhead_runtime.arguments import EXTRA_CONFIG, EngineArguments
from wellhead_runtime.machine import Machine
from wellhead_runtime.overlap.obstacles import obstacles
from wellhead_runtime.tuning import streamer_environment
from wellhead_storage.credentials.kinds import Credentials
from wellhead_storage.errors import ArgumentConflict, InvalidConfiguration
from wellhead_storage.plan import Plan
from wellhead_storage.settings import Loader

Strategy = Literal["overlap", "split", "local-streamer", "directory", "engine"]
STREAMER = "runai_streamer"
_OVERLAP_FORMAT = "wellhead"
_STREAMER_KEYS = {"distributed": bool, "concurrency": int, "memory_limit": int}
# Only one half of the streamer understands these (Python lists, C++ reads): with them set, the two go separate ways.
_HALF_UNDERSTOOD = {
    "s3": ("AWS_ENDPOINT_URL_S3", "RUNAI_STREAMER_S3_ENDPOINT"),
    "gs": ("RUNAI_STREAMER_GCS_CREDENTIAL_FILE",),
    "az": ("AZURE_STORAGE_CONNECTION_STRING",),
}
# Stale ones of the container must not mix with those that were handed over.
_OWN_SECRETS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET"),
}
_PLUGINS = "VLLM_PLUGINS"
_DRAIN_SECONDS = 25  # within Kubernetes' default grace period of 30


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the engine.

    Attributes:
        strategy: how the weights reach it.
        model: what vLLM gets as its model.
        weights: the URI to stream from in split mode, else None.
        options: vLLM's options behind the model.
        variables: what to add to the environment.
        without: variables to take out of it.
        reason: why this strategy, in words.
        loading: of streamed weights, the part of it that says why they come in this way.
    """

    strategy: Strategy
    model: str
    options: tuple[str, ...]
    reason: str
    weights: str | None = None
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    without: tuple[str, ...] = ()
    loading: str = ""

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The engine's whole environment."""
        return {name: value for name, value in base.items() if name not in self.without} | self.variables


def plan_launch(
    plan: Plan | None,
    arguments: EngineArguments,
    model: str,
    machine: Machine,
    environment: Mapping[str, str],
    credentials: Credentials | None = None,
    secret_file: Path | None = None,
    *,
    loader: Loader = "auto",
    missing: Sequence[str] = (),
) -> Launch:
    """Choose the strategy and derive options and environment.

    Args:
        plan: of the model folder, if it has one.
        arguments: the user's.
        model: the model folder, or what vLLM shall resolve itself.
        machine: what the container may use.
        environment: the user's; its own streamer settings win over derived ones.
        credentials: for a streamed plan.
        secret_file: where the part of them lies that the streamer reads from a file.
        loader: the container's wish for streamed weights; the plan's goes before it.
        missing: what the container lacks for `overlap`, in words.

    Raises:
        ArgumentConflict: `--load-format` or the extra config contradicts the plan.
        InvalidConfiguration: `overlap` is demanded and cannot work, or the container is too small for the streamer.
    """
    if plan is not None and plan.mode == "stream":
        why, found = _against_overlap(plan, arguments, machine, environment, loader, missing)
        if not found:
            return _overlap(plan, arguments, model, environment, why)
        return _split(plan, arguments, model, machine, environment, credentials, secret_file, "; ".join(found))
    if arguments.load_format == _OVERLAP_FORMAT:
        raise ArgumentConflict(
            f"--load-format {_OVERLAP_FORMAT} is for streamed weights, and those of {model} are in the folder.",
            "Drop the flag.",
        )
    wanted = arguments.load_format or (STREAMER if plan is not None and plan.loader == STREAMER else None)
    if wanted == STREAMER:
        return _local_streamer(plan, arguments, model, machine, environment)
    options = _format(wanted) + _extra(arguments.extra_config) + _common(arguments)
    return Launch("directory", model, options, "vLLM's default loader reads the directory")


def plain_launch(
    plan: Plan | None,
    arguments: EngineArguments,
    model: str,
    machine: Machine,
    environment: Mapping[str, str],
    credentials: Credentials | None = None,
    secret_file: Path | None = None,
) -> Launch:
    """What vLLM could do without Wellhead, to be shown: nothing fetches beside it, so it streams by itself."""
    if plan is not None and plan.mode == "stream":
        plan = plan.model_copy(update={"loader": STREAMER})
        if arguments.load_format == _OVERLAP_FORMAT:
            arguments = replace(arguments, load_format=None)
    return plan_launch(plan, arguments, model, machine, environment, credentials, secret_file)


def engine_launch(arguments: EngineArguments, model: str | None) -> Launch:
    """Leave the model to vLLM."""
    options = _format(arguments.load_format) + _extra(arguments.extra_config) + _common(arguments)
    return Launch("engine", model or "", options, "not a path and not a URI: vLLM resolves the model itself")


def _against_overlap(
    plan: Plan,
    arguments: EngineArguments,
    machine: Machine,
    environment: Mapping[str, str],
    loader: Loader,
    missing: Sequence[str],
) -> tuple[str, list[str]]:
    """Whose wish overlap is, and what speaks against it; a demand that cannot be met is an error."""
    if arguments.load_format not in {None, "auto", STREAMER, _OVERLAP_FORMAT}:
        raise ArgumentConflict(
            f"--load-format {arguments.load_format} contradicts the load plan, which streams {plan.weights.uri}.",
            "Drop the flag, or set wellhead.dev/mode: download.",
        )
    if arguments.load_format == STREAMER:
        return "", [f"--load-format {STREAMER} asks for the streamer"]
    wish = "overlap" if arguments.load_format == _OVERLAP_FORMAT else plan.loader
    if wish == "auto":
        wish = loader
    if wish == STREAMER:
        return "", ["the streamer was asked for"]
    found = [*obstacles(plan, arguments, machine, environment), *missing]
    if wish == "overlap" and found:
        raise InvalidConfiguration(
            f"The weights cannot arrive while vLLM starts (loader overlap): {'; '.join(found)}.",
            f"Set wellhead.dev/loader: auto, or {STREAMER}.",
        )
    return "it was asked for" if wish == "overlap" else "nothing speaks against it", found


def _overlap(plan: Plan, arguments: EngineArguments, model: str, environment: Mapping[str, str], why: str) -> Launch:
    # Where a user names the plug-ins that may load, ours has to be among them.
    named = environment.get(_PLUGINS)
    variables = {} if named is None else {_PLUGINS: ",".join(filter(None, (named, _OVERLAP_FORMAT)))}
    return Launch(
        "overlap",
        model,
        (*_format(_OVERLAP_FORMAT), *_extra(arguments.extra_config), *_common(arguments)),
        f"they arrive while vLLM starts: {why}; the plan says stream: {'; '.join(plan.reasons)}",
        variables=variables,
        loading=why,
    )


def _split(
    plan: Plan,
    arguments: EngineArguments,
    model: str,
    machine: Machine,
    environment: Mapping[str, str],
    credentials: Credentials | None,
    secret_file: Path | None,
    why: str,
) -> Launch:
    kind = plan.weights.uri.partition("://")[0]
    extra, variables = _streamer(plan, arguments, machine, environment)
    if credentials:
        # Signing facts belong together: a stale key or endpoint of the container must not mix with them.
        variables |= credentials.streamer_environment(secret_file)
    return Launch(
        "split",
        model,
        (*_format(STREAMER), *_extra(extra), *_common(arguments)),
        f"not while vLLM starts: {why}; the plan says stream: {'; '.join(plan.reasons)}",
        loading=why,
        weights=plan.weights.uri,
        variables=variables,
        without=(*_HALF_UNDERSTOOD[kind], *(_OWN_SECRETS[kind] if credentials and credentials.secret else ())),
    )


def _local_streamer(
    plan: Plan | None,
    arguments: EngineArguments,
    model: str,
    machine: Machine,
    environment: Mapping[str, str],
) -> Launch:
    extra, variables = _streamer(plan, arguments, machine, environment)
    options = (*_format(STREAMER), *_extra(extra), *_common(arguments))
    return Launch("local-streamer", model, options, "the streamer reads the directory, as asked", variables=variables)


def _streamer(
    plan: Plan | None, arguments: EngineArguments, machine: Machine, environment: Mapping[str, str]
) -> tuple[dict[str, object], dict[str, str]]:
    """Extra config and tuning for the streamer; every value that the user gave stays."""
    extra = dict(arguments.extra_config)
    for key, value in extra.items():
        kind = _STREAMER_KEYS.get(key)
        if kind is None:
            raise ArgumentConflict(
                f"{EXTRA_CONFIG} has the key {key!r}, which {STREAMER} does not know.",
                f"Known are {', '.join(_STREAMER_KEYS)}.",
            )
        if type(value) is not kind:
            raise ArgumentConflict(
                f"{EXTRA_CONFIG}: {key} must be a {kind.__name__}, not {value!r}.", "Correct the value."
            )
    ranks = arguments.tensor_parallel
    if ranks > 1 and machine.engine == "cuda":
        # Otherwise every rank fetches the whole checkpoint (vllm-and-streamer.md 6.9).
        extra.setdefault("distributed", True)
    derived = streamer_environment(
        plan.weights if plan else None,
        machine,
        ranks,
        environment,
        distributed=bool(extra.get("distributed")),
    )
    return extra, {name: value for name, value in derived.items() if not environment.get(name)}


def _format(name: str | None) -> tuple[str, ...]:
    return ("--load-format", name) if name else ()


def _extra(config: Mapping[str, object]) -> tuple[str, ...]:
    return (EXTRA_CONFIG, json.dumps(config)) if config else ()


def _common(arguments: EngineArguments) -> tuple[str, ...]:
    # vLLM's own default aborts requests in flight at once on SIGTERM.
    drain = () if arguments.has("--shutdown-timeout") else ("--shutdown-timeout", str(_DRAIN_SECONDS))
    return (*drain, *arguments.rest)
