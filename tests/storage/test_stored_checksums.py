"""Checksums that S3 keeps beside objects that were uploaded in several pieces, whose ETags say nothing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.storage.model import BUCKET, Model, one_tensor
from tests.storage.test_faults import SHARD, SIZE, Times, assert_nothing_published, assert_whole, download
from tests.support.counting_proxy import CountingProxy, Fault, Request, counting_proxy
from tests.support.seaweedfs import PUBLIC_BUCKET
from wellhead_storage.download.verify import start_digest
from wellhead_storage.stores.interface import Algorithm, Checksum
from wellhead_storage.stores.opening import open_store
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

PIECE = 5 << 20  # S3's smallest, but for the last one
WHOLE: list[Algorithm] = ["crc64nvme", "crc32c", "crc32"]


def client(store: SeaweedFS) -> Any:
    import boto3  # type: ignore[import-untyped]  # AWS's own, since obstore can make checksums of parts only

    return boto3.client(
        "s3",
        endpoint_url=store.endpoint_url,
        aws_access_key_id=store.access_key_id,
        aws_secret_access_key=store.secret_access_key,
        region_name=store.region,
    )


def upload_in_pieces(store: SeaweedFS, key: str, data: bytes, algorithm: str, kind: str, bucket: str = BUCKET) -> str:
    """Upload, and return the ETag."""
    s3, target = client(store), {"Bucket": bucket, "Key": key}
    upload = s3.create_multipart_upload(**target, ChecksumAlgorithm=algorithm, ChecksumType=kind)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(data), PIECE), 1):
        body = data[start : start + PIECE]
        answer = s3.upload_part(**target, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
        kept = {name: value for name, value in answer.items() if name == "ETag" or name.startswith("Checksum")}
        parts.append({**kept, "PartNumber": number})
    done = s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
    return str(done["ETag"])


def digest(algorithm: Algorithm, data: bytes) -> Checksum:
    found = start_digest(algorithm, len(data))
    found.update(data)
    return Checksum(algorithm, found.hexdigest())


@pytest.fixture
def large(new_model: Callable[[], Model]) -> Model:
    model = new_model()
    model.delete("model.safetensors.index.json")
    return model


@pytest.fixture
def proxy(large: Model) -> Iterator[CountingProxy]:
    with counting_proxy(large.store.endpoint_url) as running:
        yield running


@pytest.mark.parametrize("algorithm", WHOLE)
def test_the_checksum_of_an_object_in_pieces_is_asked_for(store: SeaweedFS, large: Model, algorithm: Algorithm) -> None:
    data = one_tensor("large", SIZE)
    etag = upload_in_pieces(store, f"{large.prefix}/{SHARD}", data, algorithm.upper(), "FULL_OBJECT")
    assert etag.strip('"').endswith("-2")
    folder = open_store(parse(large.uri), store.environment()).store
    [item] = [item for item in folder.objects() if item.name == SHARD]
    assert folder.checksum(item) == digest(algorithm, data)


@pytest.mark.parametrize("name", ["a b+c.safetensors", "größe%20(1).safetensors", "a=b&c~d.safetensors"])
def test_names_that_an_address_has_to_encode(store: SeaweedFS, large: Model, name: str) -> None:
    data = one_tensor("large", SIZE)
    upload_in_pieces(store, f"{large.prefix}/{name}", data, "CRC64NVME", "FULL_OBJECT")
    folder = open_store(parse(large.uri), store.environment()).store
    [item] = [item for item in folder.objects() if item.name == name]
    assert folder.checksum(item) == digest("crc64nvme", data)


def test_wrong_bytes_of_an_object_in_pieces_are_noticed(
    pod: Pod, store: SeaweedFS, large: Model, proxy: CountingProxy
) -> None:
    upload_in_pieces(store, f"{large.prefix}/{SHARD}", one_tensor("large", SIZE), "CRC64NVME", "FULL_OBJECT")
    proxy.interfere = Times(Fault(flip=True), 1)
    outcome = download(pod, large, proxy)
    assert_whole(pod, outcome, large)
    assert f"{large.uri}/{SHARD} is not what the store says it is: fetching it again" in outcome.stderr
    heads = [request for request in proxy.requests if request.method == "HEAD"]
    assert {request.path.rpartition("/")[2] for request in heads} == {SHARD}, "small objects cost no request"


def test_checksums_of_checksums_are_none(store: SeaweedFS, large: Model) -> None:
    upload_in_pieces(store, f"{large.prefix}/{SHARD}", one_tensor("large", SIZE), "SHA256", "COMPOSITE")
    folder = open_store(parse(large.uri), store.environment()).store
    [item] = [item for item in folder.objects() if item.name == SHARD]
    assert folder.checksum(item) is None


def test_a_public_bucket_is_asked_without_a_signature(store: SeaweedFS) -> None:
    store.create_bucket(PUBLIC_BUCKET)
    data = one_tensor("large", SIZE)
    upload_in_pieces(store, "checksums/model.safetensors", data, "CRC32", "FULL_OBJECT", PUBLIC_BUCKET)
    environment = {"AWS_ENDPOINT_URL": store.endpoint_url, "awsAnonymousCredential": "true"}
    folder = open_store(parse(f"s3://{PUBLIC_BUCKET}/checksums"), environment).store
    [item] = folder.objects()
    assert folder.checksum(item) == digest("crc32", data)


def test_keys_that_were_revoked_meanwhile_cost_the_check_and_nothing_else(store: SeaweedFS, large: Model) -> None:
    upload_in_pieces(store, f"{large.prefix}/{SHARD}", one_tensor("large", SIZE), "CRC32", "FULL_OBJECT")
    [item] = [item for item in open_store(parse(large.uri), store.environment()).store.objects() if item.name == SHARD]
    revoked = store.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    assert open_store(parse(large.uri), revoked).store.checksum(item) is None


def test_an_object_in_one_piece_has_its_etag(store: SeaweedFS, large: Model) -> None:
    folder = open_store(parse(large.uri), store.environment()).store
    [item] = [item for item in folder.objects() if item.name == "config.json"]
    assert folder.checksum(item) == Checksum("md5", hashlib.md5(large.files["config.json"]).hexdigest())


class Heads:
    """What goes wrong with HEADs, and with everything else."""

    def __init__(self, fault: Fault, count: int | None, other: Callable[[Request], Fault | None]) -> None:
        self.fault, self.count, self.other, self.seen = fault, count, other, 0

    def __call__(self, request: Request) -> Fault | None:
        if request.method != "HEAD":
            return self.other(request)
        self.seen += 1
        return self.fault if self.count is None or self.seen <= self.count else None


BUSY = Fault(503, "SlowDown")
OTHER_BYTES = Fault(flip=True)
ENCRYPTED = Fault(headers={"x-amz-server-side-encryption": "aws:kms"})


def test_a_busy_store_is_asked_again_for_a_checksum(
    pod: Pod, store: SeaweedFS, large: Model, proxy: CountingProxy
) -> None:
    upload_in_pieces(store, f"{large.prefix}/{SHARD}", one_tensor("large", SIZE), "CRC64NVME", "FULL_OBJECT")
    proxy.interfere = Heads(BUSY, 2, Times(OTHER_BYTES, 1))
    outcome = download(pod, large, proxy)
    assert_whole(pod, outcome, large)
    assert f"{large.uri}/{SHARD} is not what the store says it is: fetching it again" in outcome.stderr


def test_a_store_that_gives_no_checksums_is_named_once(
    pod: Pod, store: SeaweedFS, large: Model, proxy: CountingProxy
) -> None:
    for name, tensor in ((SHARD, "large"), ("model-00003-of-00003.safetensors", "other")):
        upload_in_pieces(store, f"{large.prefix}/{name}", one_tensor(tensor, SIZE), "CRC64NVME", "FULL_OBJECT")
    proxy.interfere = Heads(Fault(405, "MethodNotAllowed"), None, lambda _: None)
    outcome = download(pod, large, proxy, WELLHEAD_CONNECTIONS="1")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stderr.count("it answers 405; only what the listing says is checked") == 1
    assert len([request for request in proxy.requests if request.method == "HEAD"]) == 1


def test_the_etag_of_an_encrypted_object_says_nothing(pod: Pod, large: Model, proxy: CountingProxy) -> None:
    large.put(SHARD, one_tensor("large", SIZE))
    proxy.interfere = Heads(ENCRYPTED, None, Times(OTHER_BYTES))
    outcome = download(pod, large, proxy)
    assert outcome.exit_code == 0, outcome.stderr
    assert f"{large.uri}/{SHARD} is encrypted with a key of its own" in outcome.stderr
    assert len(pod.files[SHARD]) == SIZE + 8 + int.from_bytes(one_tensor("large", SIZE)[:8], "little")


def test_whether_an_object_is_encrypted_is_not_guessed(pod: Pod, large: Model, proxy: CountingProxy) -> None:
    large.put(SHARD, one_tensor("large", SIZE))
    proxy.interfere = Heads(BUSY, None, Times(OTHER_BYTES))
    outcome = download(pod, large, proxy)
    assert outcome.exit_code == 16
    assert "gives no headers of its objects (status 503)" in outcome.stderr
    assert_nothing_published(pod)
