"""Every block of the documentation holds: fields of YAML and words of commands are known, links lead somewhere."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.unit.builders import REPOSITORY
from tests.unit.docs_blocks import Block, blocks, commands, dead, links, pages
from tests.unit.reference import variables
from tests.unit.schemas import Schemas
from wellhead_cluster.cli import app
from wellhead_runtime.arguments import parse_arguments

BLOCKS = blocks()
IDS = [str(block) for block in BLOCKS]
# What blocks are, besides YAML, JSON and commands: drawings, and what programs print.
OTHERS = {"", "text", "mermaid", "sh", "console", "bash", "python"}
NOT_YET = {"cold-start.md"}
"""Pages that the index names before they are there."""
# Of the option parser, which typer keeps to itself.
REFUSALS = {"NoSuchOption", "UsageError", "BadParameter", "MissingParameter", "BadOptionUsage", "BadArgumentUsage"}
# Credentials of a destination, and what Kubernetes makes of Services.
OF_OTHERS = re.compile("^WELLHEAD_DST_|_SERVICE_|_PORT")
PLACEHOLDER = re.compile(r"…|\.\.\.")


@cache
def schemas() -> Schemas:
    return Schemas()


@cache
def group() -> Any:
    return typer.main.get_command(app)


def faults(block: Block) -> list[str]:
    """What is wrong with a block, in words."""
    known = variables().keys()
    named = re.findall(r"\bWELLHEAD_[A-Z][A-Z_]*[A-Z]\b(?![*…])", block.text)
    refused = [(words, _of_command(words, block)) for words in commands(block.text)]
    return [
        *_of_data(block),
        *(f"{' '.join(words)}: {fault}" for words, fault in refused if fault),
        *(f"{name} is no setting" for name in named if name not in known and not OF_OTHERS.search(name)),
    ]


def _of_data(block: Block) -> list[str]:
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "yaml" or "apiVersion:" in block.text:
        documents = list(yaml.safe_load_all(block.text))
        whole = [
            each for each in documents if isinstance(each, dict) and {"apiVersion", "kind", "metadata"} <= each.keys()
        ]
        return [fault for each in whole if _is_ours(each) for fault in schemas().faults(each)]
    elif block.language not in OTHERS:
        return [f"a block of {block.language}, which nobody looks at"]
    return []


def _is_ours(manifest: dict[str, Any]) -> bool:
    """Not Kustomizations, Backstage's entities and OpenShift's, which have no schema here; nor deliberate gaps."""
    group_of = str(manifest["apiVersion"]).partition("/")[0]
    known = group_of in {"serving.kserve.io", "v1", "apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io"}
    return known and not PLACEHOLDER.search(yaml.safe_dump(manifest, allow_unicode=True))


def _of_command(words: list[str], block: Block) -> str:
    match words:
        case ["wellhead", name, *rest] if name in {"init", "mirror", "plan", "render", "catalog", "doctor"}:
            return _parsed(name, [PLACEHOLDER.sub("x", word) for word in rest])
        case ["wellhead", "serve", *rest] | ["vllm", "serve", *rest]:
            parse_arguments([word for word in rest if word != "…"])
        case ["wellhead", name, *_] if not name.startswith("-") and block.language in {"", "sh", "bash", "console"}:
            return "there is no such command"
        case ["make", target, *_] if re.fullmatch(r"[a-z-]+", target):
            return "" if re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.M) else "no such target"
        case ["kubectl", "apply", *rest] if "-k" in rest[:-1]:
            folder = rest[rest.index("-k") + 1]
            made = re.search(rf"^# {re.escape(folder.rstrip('/'))}/kustomization\.yaml$", _page(block), re.M)
            there = (REPOSITORY / folder / "kustomization.yaml").is_file()
            return "" if there or made or PLACEHOLDER.search(folder) else "no such folder"
        case ["docker", "build", *rest]:
            targets = [word for flag, word in pairwise(rest) if flag == "--target"]
            known = re.findall(r" AS ([\w-]+)$", (REPOSITORY / "Dockerfile").read_text(), re.M)
            return "" if all(part in known for each in targets for part in each.split("|")) else "no such target"
    return ""


def _page(block: Block) -> str:
    return (REPOSITORY / block.page).read_text()


def _parsed(name: str, arguments: list[str]) -> str:
    """What the command line itself says of the arguments."""
    try:
        group().commands[name].make_context(f"wellhead {name}", arguments)
    except Exception as refusal:
        if type(refusal).__name__ not in REFUSALS:
            raise
        return str(refusal) or type(refusal).__name__
    return ""


@pytest.mark.parametrize("block", BLOCKS, ids=IDS)
def test_every_block_holds(block: Block) -> None:
    assert faults(block) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [target for target in links(page) if dead(page, target) and target not in NOT_YET] == []


def test_pages_that_are_still_missing_are_missing() -> None:
    assert [name for name in NOT_YET if (REPOSITORY / "docs" / name).exists()] == []


SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: llama}
spec:
  predictor:
    model: {modelFormat: {name: wellhead}, storageUrl: s3://models/llama}
"""


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("yaml", SERVICE, "storageUrl"),
        ("", "wellhead doctor --complet -f service.yaml", "--complet"),
        ("", "wellhead doctr llama", "no such command"),
        ("", "WELLHEAD_MODE=stream wellhead plan", "Missing"),
        ("sh", "make demos", "no such target"),
        ("", "kubectl apply -k servingruntimes/defaults", "no such folder"),
        ("", "docker build --target initialiser .", "no such target"),
        ("sh", "export WELLHEAD_MODUS=stream", "WELLHEAD_MODUS is no setting"),
        ("toml", "a = 1", "which nobody looks at"),
    ],
)
def test_a_mistake_is_found(language: str, text: str, words: str) -> None:
    (found,) = faults(Block("README.md", 1, language, text))
    assert words in found


@pytest.mark.parametrize("target", ["no-such-page.md", "docs/concepts.md#no-such-heading", "#no-such-heading"])
def test_a_dead_link_is_found(target: str) -> None:
    assert dead(REPOSITORY / "README.md", target)
    assert not dead(REPOSITORY / "README.md", "docs/reference.md#exit-codes")
