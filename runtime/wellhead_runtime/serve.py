"""`wellhead serve`: from vLLM's arguments and a model folder to a running engine."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from wellhead_runtime import engine
from wellhead_runtime.arguments import EngineArguments, is_uri, looks_like_path_or_uri, parse_arguments
from wellhead_runtime.engine_credentials import engine_credentials, keep_secret_file
from wellhead_runtime.faststart.byte_code import warn_where_missing
from wellhead_runtime.faststart.compile_cache import CompileCache
from wellhead_runtime.faststart.deciding import wants_fork_server
from wellhead_runtime.faststart.model_infos import cache_root, edition, seed
from wellhead_runtime.faststart.report import StartReport
from wellhead_runtime.launch import Launch, engine_launch, plain_launch, plan_launch
from wellhead_runtime.machine import inspect_machine, installed_engine
from wellhead_runtime.overlap.arrivals import VARIABLE
from wellhead_runtime.overlap.fetching import Fetching
from wellhead_runtime.overlap.memory import read_once
from wellhead_runtime.overlap.probe import missing_here
from wellhead_runtime.preparing import model_folder, prepare_uri
from wellhead_runtime.printing import plain_command
from wellhead_runtime.supervisor import Supervisor
from wellhead_runtime.tuning import engine_environment
from wellhead_storage.credentials.kinds import Credentials
from wellhead_storage.errors import ArgumentConflict, ObjectNotFound
from wellhead_storage.logs import configure, log
from wellhead_storage.plan import Plan, read_plan
from wellhead_storage.settings import Settings, read_settings, unknown_variables
from wellhead_storage.uri import parse

PRINT_OPTION = "--print-command"
_NAME = "--served-model-name"


def serve(argv: list[str], environment: Mapping[str, str]) -> int:
    """Run the engine and return its exit code.

    Raises:
        WellheadError: before the engine starts, or about its end.
    """
    settings = read_settings(environment)
    configure(settings)
    for name in unknown_variables(environment):
        log.warning("%s is no setting of Wellhead and has no effect", name)
    only_print = PRINT_OPTION in argv
    arguments = parse_arguments([token for token in argv if token != PRINT_OPTION])
    launch, weights = _launch(arguments, settings, environment, prepare=not only_print)
    if only_print:
        sys.stdout.write(plain_command(launch, None if arguments.has(_NAME) else arguments.model) + "\n")
        return 0
    overlap = weights if launch.strategy == "overlap" else None
    fetching = overlap.fetch(settings, environment, read_once=read_once(arguments)) if overlap else None
    log.info("weights: %s (%s)", launch.strategy, launch.reason)
    variables = launch.environment(environment)
    derived = engine_environment(
        environment,
        home_writable=_home_writable(environment),
        scratch=_scratch(),
        cache_writable=settings.cache_dir is None or os.access(settings.cache_dir, os.W_OK),
    )
    variables |= {name: value for name, value in derived.items() if name == "HOME" or not environment.get(name)}
    warn_where_missing()
    engine_name = edition(*installed_engine())
    plan = read_plan(Path(launch.model)) if launch.strategy != "engine" else None
    cache = None
    if settings.cache_dir and not environment.get("VLLM_CACHE_ROOT"):
        served = plan.weights.uri if plan else launch.model
        cache = CompileCache(settings.cache_dir / "vllm" / engine_name, cache_root(variables), served)
        cache.fetch()
    seed(settings.model_infos / engine_name, cache_root(variables))
    fork_server, why = wants_fork_server(settings.fast_start, installed_engine(), arguments, variables)
    log.info("fast start: %s (%s)", "on" if fork_server else "off", why)
    command = engine.command(launch.model, launch.options, launch.weights, fork_server=fork_server)
    with closing(fetching) if fetching else nullcontext():
        if fetching:
            variables |= {VARIABLE: str(fetching.path)}
        report = StartReport(
            sum(plan.phases.values()) if plan else 0.0,
            fetching.arrival if fetching else None,
            as_json=settings.log_format == "json",
        )
        return Supervisor(command, variables, report, fetching, when_ready=cache.publish if cache else None).run()


@dataclass(frozen=True, slots=True)
class _Streamed:
    """What a fetcher needs."""

    plan: Plan
    folder: Path
    credentials: Credentials

    def fetch(self, settings: Settings, environment: Mapping[str, str], *, read_once: bool) -> Fetching:
        return Fetching(self.plan, self.folder, self.credentials, settings, environment, read_once=read_once)


def _launch(
    arguments: EngineArguments, settings: Settings, environment: Mapping[str, str], *, prepare: bool
) -> tuple[Launch, _Streamed | None]:
    model = arguments.model
    if model is None and not arguments.has("--config"):
        raise ArgumentConflict("No model is named.", "Write wellhead serve MODEL … or --model=MODEL.")
    if model is None or not (looks_like_path_or_uri(model) or Path(model).is_dir()):
        return engine_launch(arguments, model), None
    named = arguments
    if is_uri(model):
        folder = model_folder(model, settings)
        if prepare:
            prepare_uri(model, folder, environment)
        # Nobody should have to call a model by the temporary folder it was prepared in.
        if not arguments.has(_NAME):
            named = EngineArguments(
                model, arguments.load_format, arguments.extra_config, (_NAME, model, *arguments.rest)
            )
    else:
        folder = Path(parse(model).key if "://" in model else os.path.abspath(model))  # noqa: PTH100 - links stay links
    plan = read_plan(folder)
    if plan is None and (not folder.is_dir() or not any(folder.iterdir())):
        raise ObjectNotFound(
            f"The model folder {folder} {'is empty' if folder.is_dir() else 'does not exist'}.",
            "Check that the initializer ran and that the volume is mounted." if prepare else "Prepare it first.",
        )
    credentials = engine_credentials(plan, folder, settings, environment) if plan and plan.connection else None
    secret_file = keep_secret_file(credentials, settings) if credentials else None
    machine = inspect_machine()
    if not prepare:
        return plain_launch(plan, named, str(folder), machine, environment, credentials, secret_file), None
    streamed = _Streamed(plan, folder, credentials) if plan and plan.mode == "stream" and credentials else None
    missing = missing_here(streamed.plan, folder) if streamed else []
    launch = plan_launch(
        plan, named, str(folder), machine, environment, credentials, secret_file,
        loader=settings.loader, missing=missing,
    )  # fmt: skip
    return launch, streamed


def _home_writable(environment: Mapping[str, str]) -> bool:
    home = environment.get("HOME", "")
    return bool(home) and Path(home).is_dir() and os.access(home, os.W_OK)


def _scratch() -> str:
    """A home for a user that has none (a random UID under a read-only root)."""
    folder = Path(tempfile.gettempdir()) / f"wellhead-home-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return str(folder)
