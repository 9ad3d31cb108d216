"""The peers that are libraries, as one process each.

    python -m bench.download_client WAY s3://BUCKET/FOLDER DEST

The store and its credentials come from the environment, in the names that KServe gives them.
"""

# ruff: noqa: PLC0415 - a way pays for its own imports only

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_PART = 64 * 1024 * 1024


def kserve(bucket: str, folder: str, destination: Path) -> None:
    """What KServe's storage initializer runs."""
    from kserve_storage import Storage  # type: ignore[import-untyped]

    Storage.download(f"s3://{bucket}/{folder}", str(destination))


def obstore(bucket: str, folder: str, destination: Path, workers: int = 8) -> None:
    """Ranged streams of 64 MiB, in as few lines as they take."""
    import obstore as client
    from obstore.store import S3Store

    endpoint = os.environ.pop("AWS_ENDPOINT_URL")
    store = S3Store(bucket, endpoint=endpoint, client_options={"allow_http": True, "timeout": "300s"})
    files: dict[str, int] = {}
    parts: list[tuple[str, int, int]] = []
    for page in client.list(store, folder):
        for meta in page:
            path = destination / meta["path"].removeprefix(f"{folder}/")
            files[meta["path"]] = os.open(path, os.O_WRONLY | os.O_CREAT)
            starts = range(0, meta["size"], _PART)
            parts += [(meta["path"], start, min(start + _PART, meta["size"])) for start in starts]

    def fetch(part: tuple[str, int, int]) -> None:
        key, start, end = part
        for chunk in client.get(store, key, options={"range": (start, end)}).stream(min_chunk_size=1024 * 1024):
            start += os.pwrite(files[key], chunk, start)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(fetch, parts))


def boto3(bucket: str, folder: str, destination: Path, workers: int = 16) -> None:
    """boto3's transfer manager, all objects at once."""
    import boto3 as client  # type: ignore[import-untyped]
    from boto3.s3.transfer import TransferConfig, create_transfer_manager  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    s3 = client.client("s3", config=Config(max_pool_connections=workers))
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{folder}/")
    with create_transfer_manager(s3, TransferConfig(max_concurrency=workers)) as manager:
        found = [entry["Key"] for entry in listed["Contents"]]
        futures = [manager.download(bucket, key, str(destination / key.removeprefix(f"{folder}/"))) for key in found]
        for future in futures:
            future.result()


WAYS = {"kserve": kserve, "obstore-8": obstore, "boto3-16": boto3}


if __name__ == "__main__":
    way, uri, path = sys.argv[1:]
    in_bucket, _, key = uri.removeprefix("s3://").partition("/")
    WAYS[way](in_bucket, key, Path(path))
