"""The URI grammar: text → `StorageUri`, for every scheme of the design's table.

One frozen dataclass, one parser. Schemes are case-insensitive on input and lower-case ever after (the streamer
lists nothing at all for `S3://`, without an error). Keys are kept as they are written: object keys may hold
spaces, `+`, `%` and any Unicode, and S3 tools write them literally in `s3://` URIs, so nothing is percent-decoded
there. A query (`?endpoint=…&region=…`) is split off, because Kubeflow's registry writes one.
"""

from wellhead_storage.uri.grammar import parse
from wellhead_storage.uri.model import STREAMABLE, WRAPPER, Kind, StorageUri

__all__ = ["STREAMABLE", "WRAPPER", "Kind", "StorageUri", "parse"]
