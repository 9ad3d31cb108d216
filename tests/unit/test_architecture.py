"""The page about the architecture shows the layers that import-linter holds."""

from __future__ import annotations

import tomllib

from tests.unit.builders import REPOSITORY


def test_the_layers_on_the_page_are_those_of_the_contracts() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    expected = {}
    for contract in project["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            package = contract["layers"][0].partition(".")[0]
            expected[package] = [layer.replace(f"{package}.", "") for layer in contract["layers"]]
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    [block] = [block for block in page.split("```") if block.startswith("\nwellhead_cluster\n")]
    shown = {
        name: [line.strip() for line in layers] for name, *layers in map(str.splitlines, block.strip().split("\n\n"))
    }
    assert shown == expected
