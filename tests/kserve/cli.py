"""The command line: manifests in, pods out."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

from tests.kserve.building import WORKLOAD_KINDS, Outcome, build, build_all
from tests.kserve.cluster import Cluster, Release, parse
from tests.kserve.errors import NotModelledError, Refused
from tests.kserve.manifests import Manifest

REFUSED, NOT_MODELLED = 2, 3

_EPILOG = """\
Every object is applied to a cluster that has KServe's own objects already; the pods of every InferenceService,
LLMInferenceService, LocalModelCache and LocalModelNode among them are printed, each a YAML document (Jobs for the last
two). Exit codes: 0 printed, 2 refused (KServe's words on standard error), 3 something this stand-in does not know,
1 anything else.
"""


def main(arguments: list[str]) -> int:
    """Runs the command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        manifests = [each for place in options.manifests for each in read_manifests(place)]
    except (OSError, yaml.YAMLError, ValueError) as error:
        _say(f"cannot read the manifests: {error}")
        return 1
    cluster = Cluster.with_stock(manifests, Release(options.kserve))
    services = [each for each in manifests if each["kind"] in WORKLOAD_KINDS]
    if options.name:
        services = [each for each in services if each["metadata"]["name"] == options.name]
    if not services:
        _say(f"nothing to build a pod for: no {', '.join(WORKLOAD_KINDS)}")
        return 1
    return max(_build_and_print(cluster, service, options) for service in services)


def read_manifests(place: str) -> list[Manifest]:
    """The objects of a file, of a folder, or of standard input (`-`).

    A folder with a kustomization.yaml is rendered by kubectl; of any other every YAML file counts.

    Raises:
        OSError: what is named cannot be read, or rendered.
    """
    if place == "-":
        return parse(sys.stdin.read())
    path = Path(place)
    if not path.is_dir():
        return parse(path.read_text())
    if (path / "kustomization.yaml").exists():
        return parse(_kustomize(path))
    files = sorted(each for each in path.rglob("*") if each.suffix in {".yaml", ".yml"})
    return [manifest for file in files for manifest in parse(file.read_text())]


def _kustomize(folder: Path) -> str:
    kubectl = Path(sys.executable).with_name("kubectl")
    command: list[str | Path] = [kubectl, "kustomize", folder]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )
    if finished.returncode:
        raise OSError(f"kubectl kustomize {folder}: {finished.stderr.strip()}")
    return finished.stdout


def _build_and_print(cluster: Cluster, service: Manifest, options: argparse.Namespace) -> int:
    name = f"{service['kind']} {service['metadata']['name']}"
    try:
        outcomes: list[Outcome | Refused] = (
            build_all(cluster, service) if options.all else [build(cluster, service, options.storage_container)]
        )
    except Refused as refusal:
        outcomes = [refusal]
    except NotModelledError as error:
        _say(f"{name}: not known to this stand-in: {error}")
        return NOT_MODELLED
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            _say(f"{name}: refused at stage {outcome.stage}: {outcome.message}")
        else:
            _print_outcome(name, outcome, options)
    return REFUSED if any(isinstance(outcome, Refused) for outcome in outcomes) else 0


def _print_outcome(name: str, outcome: Outcome, options: argparse.Namespace) -> None:
    if len(outcome.candidates) > 1:
        others = ", ".join(each for each in outcome.candidates if each != outcome.storage_container)
        chosen = outcome.storage_container
        _say(f"{name}: with storage container {chosen}; KServe chooses at random between it and {others}")
    kinds = {"pod": outcome.pods or outcome.workloads, "workload": outcome.workloads, "service": (outcome.service,)}
    for each in kinds[options.output]:
        sys.stdout.write("---\n" + yaml.safe_dump(each, sort_keys=True, width=200))


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kserve",
        description="Prints the pods that KServe would build from manifests, without a cluster.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("manifests", nargs="+", metavar="MANIFEST", help="a YAML file, a folder, or - for stdin")
    parser.add_argument("--name", help="only the object of this name")
    parser.add_argument("--kserve", choices=[each.value for each in Release], default=Release.V0_20.value)
    parser.add_argument(
        "-o", "--output", choices=["pod", "workload", "service"], default="pod", help="what to print (default: pod)"
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--all", action="store_true", help="every outcome where KServe chooses at random")
    choice.add_argument("--storage-container", metavar="NAME", help="the one to take where KServe chooses at random")
    return parser
