"""Nothing in the pages is made up: every block is given to what would read it, and every link leads somewhere."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.unit.docs_blocks import SHOWN, Block, Kind, all_blocks, blocks_of, pages
from tests.unit.docs_links import link_faults
from tests.unit.docs_shell import shell_faults, unknown_names
from tests.unit.docs_yaml import files_written, yaml_faults
from tests.unit.manifests import REPOSITORY

PAGES = [pytest.param(page, id=page.relative_to(REPOSITORY).as_posix()) for page in pages()]


def of_kind(kind: Kind) -> list[Block]:
    return [block for block in all_blocks() if block.kind is kind]


def faults_of(text: str, folder: Path, page: str = "docs/made-up.md") -> list[str]:
    """Of a page with that text."""
    found = []
    for block in blocks_of(page, text):
        if block.kind is Kind.SHELL:
            found += shell_faults(block.text, files_written(text))
        elif block.kind is Kind.YAML:
            found += yaml_faults(block, folder)
    return found


class TestEveryPage:
    @pytest.mark.parametrize("block", all_blocks(), ids=str)
    def test_every_block_is_of_a_kind_that_is_known(self, block: Block) -> None:
        assert block.kind is not None, "exercise it, or add it to SHOWN with a reason"

    @pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.name)
    def test_nothing_on_the_list_of_exceptions_is_gone(self, shown: object) -> None:
        assert shown in {block.shown for block in all_blocks()}

    @pytest.mark.parametrize("block", of_kind(Kind.SHELL), ids=str)
    def test_command_lines_are_understood(self, block: Block) -> None:
        assert shell_faults(block.text, files_written((REPOSITORY / block.page).read_text())) == []

    @pytest.mark.parametrize("block", of_kind(Kind.YAML), ids=str)
    def test_manifests_can_be_applied(self, block: Block, tmp_path: Path) -> None:
        assert yaml_faults(block, tmp_path) == []

    @pytest.mark.parametrize("block", of_kind(Kind.JSON), ids=str)
    def test_json_is_json(self, block: Block) -> None:
        assert json.loads(block.text)

    @pytest.mark.parametrize("page", PAGES)
    def test_links_lead_somewhere(self, page: Path) -> None:
        assert link_faults(page, page.read_text()) == []

    @pytest.mark.parametrize("page", PAGES)
    def test_variables_of_wellhead_are_read_by_it(self, page: Path) -> None:
        assert unknown_names(page.read_text()) == []


def test_the_report_of_plan_has_its_labels_and_a_command_that_serve_understands() -> None:
    [block] = [block for block in all_blocks() if block.shown and block.shown.name == "plan's report"]
    report, _, plain = block.text.partition("\n\n")
    tree = ast.parse((REPOSITORY / "runtime/wellhead_runtime/plan_report.py").read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {line[:16].strip() for line in report.splitlines()} - {""} <= texts
    assert shell_faults(plain.splitlines()[-1], set()) == []


class TestWhatIsFound:
    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("wellhead mirrro hf://a/b", "no command of wellhead: mirrro"),
            ("wellhead mirror hf://a/b --dryrun", "wellhead mirror: No such option: --dryrun"),
            ("wellhead mirror", "wellhead mirror: Missing argument 'SRC'"),
            ("kubectl kustomize … | wellhead doctor -f - --gpus 2", "wellhead doctor: No such option: --gpus"),
            ("wellhead render --uri s3://a/b --name b -- --port 80", "wellhead render: --port belongs to"),
            ("wellhead serve s3://a/b --load-format", "serve: --load-format has no value"),
            ("vllm serve", "serve: no model is named"),
            ("kubectl kustomize servingruntimes/nowhere", "no such kustomization: servingruntimes/nowhere"),
            ("make tset", "no target of make: tset"),
            ("kubectl apply -k servingruntimes/defualt", "no such kustomization: servingruntimes/defualt"),
            ("kubectl apply -f nowhere.yaml", "no such file: nowhere.yaml"),
            ("docker build --target runtme .", "no target of the Dockerfile: runtme"),
            ("docker build --build-arg VERSOIN=1 .", "no argument of the Dockerfile: VERSOIN=1"),
            ("helm template x servingruntimes/helm", "no such path: servingruntimes/helm"),
            ("helm install x y --values=servingruntimes/y.yaml", "no such path: servingruntimes/y.yaml"),
            ("python -m tests.kubernetes x.yaml", "no such module: tests.kubernetes"),
            ("WELLHEAD_MOED=stream wellhead plan s3://a/b", "no variable of Wellhead's: WELLHEAD_MOED"),
        ],
    )
    def test_in_a_command_line(self, line: str, fault: str, tmp_path: Path) -> None:
        for text in (f"So:\n\n    {line}\n", f"- in a list\n\n  ```\n  {line}\n  ```\n"):
            [found] = faults_of(text, tmp_path)
            assert found.startswith(fault)

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("apiVersion: v1\nkind: [Secret", "no YAML"),
            ("apiVersion: v1\nkind: Secrets\nmetadata: {name: x}", "there is no schema for Secrets"),
            ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringdata: {}", "$: Additional properties"),
            ("resources: [../servingruntimes/defualt]", "kustomize refuses it"),
            ("metadata: {annotation: {}}", "$.metadata: Additional properties"),
            ("models: [{nmae: x}]", "models[0], nmae: there is no such field"),
            ("apiVersion: backstage.io/v1alpha1\nkind: Resource\nmetadata: {name: a b}", "entity 'a b': the name"),
            ("decode: {volumes: [{name: x, pvc: {}}]}", "$.spec.volumes[0]: Additional properties"),
            ("colour: blue", "nobody knows what these are: colour"),
        ],
    )
    def test_in_yaml(self, text: str, fault: str, tmp_path: Path) -> None:
        assert str(faults_of(f"```yaml\n{text}\n```\n", tmp_path)[0]).startswith(fault)

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (("runtime: wellhead-vllm", "runtime: wellhead-vlm"), "KServe refuses it"),
            (("storageUri:", "storageURI:"), "$.spec.predictor.model: Additional properties"),
        ],
    )
    def test_in_a_service(self, change: tuple[str, str], fault: str, tmp_path: Path) -> None:
        [block] = [each for each in all_blocks() if each.page == "README.md" and each.kind is Kind.YAML]
        assert change[0] in block.text
        broken = f"```yaml\n{block.text.replace(*change)}\n```\n"
        assert faults_of(broken, tmp_path)[0].startswith(fault)

    @pytest.mark.parametrize("link", ["nowhere.md", "plan.md#no-such-heading", "#nor-here", "../../../etc/nowhere"])
    def test_in_a_link(self, link: str) -> None:
        text = f"# Here\n\n## `wellhead plan`, or not\n\n[a]({link}) [b](plan.md) [c](#wellhead-plan-or-not)\n"
        [fault] = link_faults(REPOSITORY / "docs/made-up.md", text)
        assert fault.endswith(link)

    @pytest.mark.parametrize("text", ["```console\n$ wellhead\n```\n", "    frobnicate --all\n", "```\nweights\n```\n"])
    def test_a_block_of_no_kind(self, text: str) -> None:
        [block] = blocks_of("docs/made-up.md", text)
        assert block.kind is None

    def test_what_the_reader_wrote_may_be_applied(self, tmp_path: Path) -> None:
        written = "# own/kustomization.yaml\nresources: [../servingruntimes/default]"
        assert faults_of(f"```yaml\n{written}\n```\n\n    kubectl apply -k own\n", tmp_path) == []
