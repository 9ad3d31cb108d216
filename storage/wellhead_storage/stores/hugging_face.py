"""A model repository on the Hugging Face Hub.

The Hub's API lists a commit, and its `resolve` address of a file leads to a signed link on another host (a CDN, or
Xet's bridge), which serves byte ranges. Those bodies come through obstore, at half of httpx2's CPU time
(`docs/architecture.md`); what the Hub sends itself are small files, and they come through httpx2.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from wellhead_storage.credentials.hugging_face import hugging_face_access
from wellhead_storage.errors import AccessDenied, IntegrityError, ObjectNotFound, StoreUnavailable
from wellhead_storage.settings import Settings
from wellhead_storage.stores.hub import Hub
from wellhead_storage.stores.hub_failures import unreachable
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.stores.repository_tree import TreeFile, parse_tree
from wellhead_storage.stores.signed_link import LinkExpired, SignedLink
from wellhead_storage.stores.xet import Xet
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    import httpx2
    from typing_extensions import Buffer

_COMMIT = re.compile(r"[0-9a-f]{40}")
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_SMALL = 16 * 1024 * 1024  # files that Git itself keeps are no larger


@dataclass(slots=True)
class _Place:
    """Where a file's bytes come from: a signed link, once the Hub has given one."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    link: SignedLink | None = None


class HuggingFaceFolder:
    """A repository, a folder of it, or one file of it, as `Store`.

    Args:
        uri: `hf://owner/model`, with a revision or without.
        hub: its Hub.
        settings: time-outs.
    """

    def __init__(self, uri: StorageUri, hub: Hub, settings: Settings) -> None:
        self.uri = uri
        self._hub, self._settings = hub, settings
        self._files: dict[str, TreeFile] = {}
        self._places: dict[str, _Place] = {}
        self._xet: Xet | None = None

    def commit(self) -> str:
        """The commit that the revision stands for, asked once; the URI holds it from then on.

        Raises:
            ObjectNotFound, AccessDenied, StoreUnavailable: as the Hub says.
        """
        if not _COMMIT.fullmatch(self.uri.revision):
            revision = f"/revision/{quote(self.uri.revision, safe='')}" if self.uri.revision else ""
            # `expand` leaves everything but the commit, which may be megabytes, out of the answer.
            [answer] = self._hub.pages(f"{quote(self.uri.container)}{revision}", expand="sha")
            commit = answer.get("sha") if isinstance(answer, dict) else None
            if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
                raise self._hub.senseless("it names no commit")
            self.uri = replace(self.uri, revision=commit)
        return self.uri.revision

    def objects(self) -> list[StoredObject]:
        """See `Store.objects`. One request for the commit, and one for every thousand files."""
        commit, key = self.commit(), self.uri.key
        try:
            files = self._tree(key, recursive=True)
        except ObjectNotFound:
            files = []
        files = files or self._itself(key)
        above = "" if not key else f"{key}/" if any(file.path != key for file in files) else key[: key.rfind("/") + 1]
        self._files = {file.path.removeprefix(above): file for file in files}
        self._places = {name: _Place() for name in self._files}
        if self._hub.access.xet and any(file.xet_hash for file in files):
            self._xet = Xet(self._hub, commit, self._settings)
        return [
            StoredObject(name, file.size, etag=f'"{file.checksum.value}"', checksum=file.checksum)
            for name, file in self._files.items()
        ]

    def _tree(self, folder: str, *, recursive: bool) -> list[TreeFile]:
        path = f"{quote(self.uri.container)}/tree/{self.uri.revision}" + (f"/{quote(folder)}" if folder else "")
        pages = self._hub.pages(path, recursive=str(recursive).lower())
        try:
            return parse_tree(pages)
        except ValueError as error:
            raise self._hub.senseless("its list of files is none") from error

    def _itself(self, key: str) -> list[TreeFile]:
        """The one file that the URI names, such as one GGUF of many."""
        return [file for file in self._tree(key.rpartition("/")[0], recursive=False) if file.path == key] if key else []

    def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[Buffer]:
        """See `Store.stream`. A commit's files never change; what comes may still be checked by `item.checksum`."""
        end = item.size if length is None else start + length
        file = self._files[item.name]
        if self._xet and file.xet_hash and start < end:
            for chunk in self._xet.stream(file.xet_hash, file.size, start, end):
                start += len(chunk)
                yield chunk
        if start < end:
            yield from self._plainly(item, file, start, end)

    def read(self, item: StoredObject, start: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        return b"".join(self.stream(item, start, length))

    def checksum(self, item: StoredObject) -> Checksum | None:
        """See `Store.checksum`."""
        return item.checksum

    def checksum_is_of_content(self, item: StoredObject, checksum: Checksum) -> bool:
        """See `Store.checksum_is_of_content`."""
        return True

    def _plainly(self, item: StoredObject, file: TreeFile, start: int, end: int) -> Iterator[Buffer]:
        where, place = replace(self.uri, key=file.path).location, self._places[item.name]
        for _ in range(2):
            with place.lock:  # the parts of a file ask for its link once
                source = place.link or self._ask(file, where, start, end)
                if isinstance(source, SignedLink):
                    place.link = source
            if not isinstance(source, SignedLink):
                yield from self._body(source, item, where, start, end)
                return
            try:
                yield from source.stream(item, where, start, end)
                return
            except LinkExpired:
                with place.lock:
                    if place.link is source:
                        place.link = None
        raise AccessDenied(
            f"The storage behind the Hub refuses {where}, with a fresh link too.",
            "Check this machine's clock, and the proxy in front of the storage.",
        )

    def _ask(self, file: TreeFile, where: str, start: int, end: int) -> httpx2.Response | SignedLink:
        """The Hub's own answer with the bytes, or its link to them."""
        answer = self._hub.get(self._address(file), where, range=f"bytes={start}-{end - 1}")
        if answer.next_request is None:
            return answer
        return SignedLink(str(answer.next_request.url), self._settings, self._hub.access.ca_bundle)

    def _address(self, file: TreeFile) -> str:
        model = f"{self._hub.access.endpoint}/{quote(self.uri.container)}"
        return f"{model}/resolve/{self.uri.revision}/{quote(file.path)}"

    def _body(self, answer: httpx2.Response, item: StoredObject, where: str, start: int, end: int) -> Iterator[bytes]:
        import httpx2

        deadline = time.monotonic() + self._settings.request_timeout
        try:
            begin = _first_byte(answer, item.size)
            if begin is None or (begin != start and (begin or item.size > _SMALL)):
                raise IntegrityError(
                    f"{where} came with other bytes than were asked for.", "Check the proxy in front of the Hub."
                )
            unwanted, wanted = start - begin, end - start  # a proxy may always send the whole file
            for chunk in answer.iter_raw():
                part = chunk[unwanted : unwanted + wanted]
                unwanted = max(0, unwanted - len(chunk))
                wanted -= len(part)
                if part:
                    yield part
                if not wanted:
                    break
                if time.monotonic() > deadline:
                    raise StoreUnavailable(
                        f"{where} does not come within {self._settings.request_timeout:g} s.",
                        "Check the network, or raise WELLHEAD_REQUEST_TIMEOUT.",
                    )
        except httpx2.HTTPError as error:
            raise unreachable(error, where, self._hub.access.endpoint) from error
        finally:
            answer.close()
        if wanted:
            raise IntegrityError(f"{where} ended {wanted:,} bytes early.", "Check the proxy in front of the Hub.")


def _first_byte(answer: httpx2.Response, size: int) -> int | None:
    """Where in the file an answer begins, or None where it is of another file."""
    if answer.status_code == 200:
        return 0
    match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    return int(match[1]) if match and int(match[2]) == size else None


def open_hugging_face(uri: StorageUri, environment: Mapping[str, str], settings: Settings) -> HuggingFaceFolder:
    """Open the repository of an `hf://` URI. No request is made yet.

    Raises:
        InvalidConfiguration: the variables are unusable.
    """
    return HuggingFaceFolder(uri, Hub(uri, hugging_face_access(environment), settings), settings)
