"""Does this image have Python's byte code?

`uv` writes none, and many images forbid writing it (PYTHONDONTWRITEBYTECODE, a read-only root, another user): then
every process of every start compiles torch, transformers and vLLM again. On two cores 42 s became 81.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import cache_from_source
from pathlib import Path

from wellhead_storage.logs import log

_PACKAGES = ("torch", "transformers", "vllm")


def warn_where_missing() -> None:
    """Log one line where the heavy packages come without byte code; a look at three files."""
    found = [spec.origin for name in _PACKAGES if (spec := PathFinder.find_spec(name)) and spec.origin]
    missing = [source for source in found if not Path(cache_from_source(source)).is_file()]
    if missing:
        log.warning(
            "This image has no byte code for %s: every start compiles it again, which may double its time. "
            "Run python3 -m compileall over the packages when the image is built.",
            " and ".join(Path(source).parent.name for source in missing),
        )
