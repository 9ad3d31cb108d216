"""Helm's engine in a process of its own: requests on standard input, answers on standard output, each a line of JSON.

Its Go runtime brings threads, and a process with threads must not fork, as other tests of the same run do. It ends with
its standard input, and so never outlives whoever started it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The rendered files by name, or what Helm says against the values, and what its linter says."""
    chart, values = request["chart"], request["values"]
    try:
        with helm_python.Chart.load(chart) as loaded:
            files = loaded.render(values, name=request["release"], namespace=request["namespace"])
    except (helm_python.HelmValuesError, helm_python.HelmRenderError) as error:
        return {"refused": str(error)}
    return {"files": files, "lint": helm_python.lint(chart, values, strict=True, namespace=request["namespace"])}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
