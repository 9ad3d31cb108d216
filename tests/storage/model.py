"""A model in the store that a test may change, with its original on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.storage.pod import contents
from tests.storage.signed import put_key
from tests.support.checkpoint import safetensors_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.seaweedfs import SeaweedFS

BUCKET = "models"
CONFIGURATION = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Model:
    """A folder of the bucket `models`.

    Attributes:
        store: where it is.
        prefix: its folder.
        original: a folder with what was uploaded at first.
    """

    store: SeaweedFS
    prefix: str
    original: Path

    @property
    def uri(self) -> str:
        """What a user writes as `storageUri`."""
        return f"s3://{BUCKET}/{self.prefix}"

    @property
    def files(self) -> dict[str, bytes]:
        """What was uploaded at first."""
        return contents(self.original)

    @property
    def shards(self) -> dict[str, bytes]:
        """The safetensors among it."""
        return {name: data for name, data in self.files.items() if name.endswith(".safetensors")}

    def upload(self) -> Model:
        """Put the original into the store."""
        self.store.put_folder(BUCKET, self.prefix, self.original)
        return self

    def put(self, name: str, content: bytes) -> None:
        """Write one object of the folder, under exactly this name."""
        put_key(self.store, BUCKET, f"{self.prefix}/{name}", content)

    def delete(self, *names: str) -> None:
        """Remove objects of the folder."""
        for name in names:
            self.store.delete(BUCKET, f"{self.prefix}/{name}")

    def change_config(self, **values: object) -> None:
        """Upload config.json anew, with some values more."""
        config = json.loads((self.original / "config.json").read_bytes())
        self.put("config.json", json.dumps({**config, **values}).encode())

    def change_index(self, **tensors: str) -> None:
        """Upload the index anew, with some tensors more; dots of their names are written as `__`."""
        index = json.loads((self.original / INDEX).read_bytes())
        index["weight_map"].update({name.replace("__", "."): shard for name, shard in tensors.items()})
        self.put(INDEX, json.dumps(index).encode())


def header_of(shard: bytes) -> bytes:
    """The length and the JSON part of a safetensors file: everything but the tensors."""
    return shard[: 8 + int.from_bytes(shard[:8], "little")]


def one_tensor(name: str, size: int = 64) -> bytes:
    """A safetensors file with one tensor."""
    return safetensors_bytes({name: ("U8", [size], bytes(size))})


def edited(shard: bytes) -> bytes:
    """A shard of another edition: the same tensors, other values."""
    return shard[:-1] + bytes([shard[-1] ^ 1])
