"""What vLLM wants to know of a model's class, ready before it asks.

Before anything else vLLM inspects the class that a model's architecture names: is it multimodal, does it pool, and so
on. It does so in a Python process of its own, which imports torch and vLLM for it (`_run_in_subprocess`,
`vllm/model_executor/models/registry.py` of 0.32; 9.7 of 42 s on two cores), and keeps the answer in
`$VLLM_CACHE_ROOT/modelinfos/MODULE-CLASS.json`, which is empty in every new pod. Our images ship these files
(`inspecting`).

vLLM trusts an entry whose hash is that of the model's own file, which says nothing of base classes: entries of another
version could be taken for true. So they are kept by build and version, and a shipped one replaces any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wellhead_storage.errors import WellheadError
from wellhead_storage.files import publish_bytes
from wellhead_storage.logs import log

FOLDER = "modelinfos"


def edition(build: str, version: str) -> str:
    """The folder's name for a build ("cpu", "cuda") and version of vLLM."""
    return f"{build}-{version}" if version else build


def cache_root(environment: Mapping[str, str]) -> Path:
    """The engine's VLLM_CACHE_ROOT (`vllm/envs.py` of 0.32, where an empty value is no value here)."""
    if named := environment.get("VLLM_CACHE_ROOT"):
        return Path(named).expanduser()
    general = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME') or '~'}/.cache"
    return Path(general).expanduser() / "vllm"


def seed(shipped: Path, root: Path) -> int:
    """Copy shipped entries into the engine's cache, as far as it has others or none.

    Never in the way of a start: what cannot be read or written is only logged.

    Args:
        shipped: the folder for this very engine; it need not exist.
        root: the engine's cache.

    Returns:
        How many entries are in place.
    """
    placed = 0
    try:
        for source in shipped.glob("*.json"):
            wanted, target = source.read_bytes(), root / FOLDER / source.name
            if not target.is_file() or target.read_bytes() != wanted:
                publish_bytes(target, wanted)
            placed += 1
    except (OSError, WellheadError) as error:
        log.warning("vLLM will inspect the model's class anew, which takes a while: %s", error)
    return placed
