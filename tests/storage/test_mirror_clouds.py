"""`wellhead mirror` to `az://` and `gs://`: written, recognised, and served from by `wellhead init`.

For Google's side SeaweedFS stands in (google_stand_in.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.storage.google_stand_in import writable_google
from tests.storage.model import one_tensor
from tests.storage.pod import contents
from tests.support.azurite import ACCOUNT, KEY, azurite
from tests.support.seaweedfs import PUBLIC_BUCKET
from wellhead_storage.errors import AccessDenied
from wellhead_storage.initialize import initialize
from wellhead_storage.manifest import MANIFEST_NAME
from wellhead_storage.mirror.run import Options, mirror
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.seaweedfs import SeaweedFS

MIB = 1 << 20


@dataclass(frozen=True)
class Cloud:
    """A destination: where, and with what."""

    uri: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    blob = pytest.importorskip("azure.storage.blob")
    with azurite(tmp_path_factory.mktemp("azure") / "server") as server:
        with blob.BlobServiceClient(server.endpoint_url, credential=KEY) as client:
            client.create_container("mirrors")
        environment = {"AZURE_SERVICE_URL": server.endpoint_url, "AZURE_STORAGE_ACCESS_KEY": KEY}
        yield Cloud(f"az://mirrors@{ACCOUNT}/llama", environment)


@pytest.fixture(scope="module")
def google(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with writable_google(store, tmp_path_factory.mktemp("key") / "key.json") as environment:
        yield Cloud(f"gs://{PUBLIC_BUCKET}/llama", environment)


@pytest.fixture(params=["azure", "google"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    made: Cloud = request.getfixturevalue(request.param)
    return made


def test_a_folder_is_copied_recognised_and_served_from(cloud: Cloud, checkpoint: Path, tmp_path: Path) -> None:
    first = mirror(str(checkpoint), cloud.uri, Options(), Settings(), cloud.environment)
    assert {entry.name for entry in first.copied} == set(contents(checkpoint))
    assert mirror(str(checkpoint), cloud.uri, Options(), Settings(), cloud.environment).copied == ()
    [plan] = initialize([(cloud.uri, tmp_path)], Settings(mode="download", engine="vllm"), cloud.environment)
    assert plan is not None
    files = contents(tmp_path)
    assert {name: data for name, data in files.items() if not name.startswith(".wellhead/")} == contents(checkpoint)


def test_a_file_of_many_parts_arrives_whole(cloud: Cloud, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.mkdir()
    (source / "model.safetensors").write_bytes(one_tensor("layer", 12 * MIB + 17))
    uri = f"{cloud.uri}-parts"
    mirror(str(source), uri, Options(), Settings(), cloud.environment)
    mirror(uri, str(back), Options(), Settings(), cloud.environment)
    assert (back / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (back / MANIFEST_NAME).is_file()


def test_google_is_not_written_to_without_credentials(checkpoint: Path) -> None:
    with pytest.raises(AccessDenied, match=r"gs://models/llama cannot be written without credentials\. .*_DST_GOOGLE"):
        mirror(
            str(checkpoint),
            "gs://models/llama",
            Options(),
            Settings(),
            {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"},
        )
