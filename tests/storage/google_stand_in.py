"""SeaweedFS as a bucket of Google's that can be written.

fake-gcs-server does not take the writes that obstore's client makes. Those are the ones of
Google's XML API, which SeaweedFS speaks.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.counting_proxy import counting_proxy
from tests.support.fake_gcs import key_file
from tests.support.seaweedfs import PUBLIC_BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.seaweedfs import SeaweedFS


@contextmanager
def writable_google(store: SeaweedFS, key: Path) -> Iterator[dict[str, str]]:
    """The variables for a client of `gs://public`, until the block ends.

    Args:
        store: whose bucket it is.
        key: where the service account's key is to lie.
    """
    store.create_bucket(PUBLIC_BUCKET)
    with counting_proxy(store.endpoint_url) as proxy:
        proxy.keeps_back = ("authorization",)  # a bearer token, which is nothing to SeaweedFS
        key_file(key)
        # obstore's own switch: without it the key would be shown to Google first.
        key.write_text(json.dumps({**json.loads(key.read_text()), "disable_oauth": True}))
        yield {"STORAGE_EMULATOR_HOST": proxy.endpoint_url, "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
