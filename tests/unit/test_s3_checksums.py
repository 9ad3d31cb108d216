"""`x-amz-checksum-*` headers → the checksum of the whole object."""

from __future__ import annotations

import pytest

from wellhead_storage.stores.interface import Checksum
from wellhead_storage.stores.s3_checksums import stored_checksum

CRC64, CRC32 = "rosUhgp5mIg=", "y/Q5Jg=="  # of `123456789`


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-checksum-crc64nvme": CRC64}, Checksum("crc64nvme", "ae8b14860a799888")),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-type": "FULL_OBJECT"}, Checksum("crc32", "cbf43926")),
        (
            {"x-amz-checksum-crc32": CRC32, "x-amz-checksum-crc64nvme": CRC64},
            Checksum("crc64nvme", "ae8b14860a799888"),
        ),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-type": "COMPOSITE"}, None),
        ({"x-amz-checksum-sha256": "2qXW+F4KwLkYFPGnckLOh/NdC0Xlb0SDCCwI2sDVPqE=-2"}, None),
        ({"x-amz-checksum-crc32": "not base64"}, None),
        ({"x-amz-checksum-crc32": ""}, None),
        ({"x-amz-checksum-mode": "ENABLED", "etag": '"x"'}, None),
        ({}, None),
    ],
)
def test_the_fastest_one_of_the_whole_object(headers: dict[str, str], expected: Checksum | None) -> None:
    assert stored_checksum(headers) == expected
