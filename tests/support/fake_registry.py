"""A stand-in for Kubeflow's Model Registry, made of what was written into a real one, with its habits.

Names are looked up with SQL's LIKE, order fields count in upper case only, archived versions are listed, wrong paths
answer in plain text. `tests/unit/test_fake_registry.py` holds it against everything that the real one answered.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[1] / "data" / "model-registry"
_ORDERS = {"CREATE_TIME": "createTimeSinceEpoch", "LAST_UPDATE_TIME": "lastUpdateTimeSinceEpoch", "ID": "id"}
Row = dict[str, Any]


def _missing(what: str) -> tuple[int, Row]:
    return 404, {"code": "Not Found", "message": f"{what}: not found"}


@dataclass
class FakeRegistry:
    """What it holds and how it behaves.

    Attributes:
        url: where it listens.
        models, versions, artifacts: rows as the API shows them; artifacts have the key `_version` too.
        api: the API version that it serves.
        token: without this bearer token a proxy answers 401, if it is set.
        failures: statuses and plain texts of the next answers.
        redirect: status and Location of all answers, if it is set.
        gone: the other API version answers 410 instead of 404.
        asked: path, query and authorization of every request.
    """

    url: str
    models: list[Row] = field(default_factory=list)
    versions: list[Row] = field(default_factory=list)
    artifacts: list[Row] = field(default_factory=list)
    api: str = "v1alpha3"
    token: str = ""
    failures: list[tuple[int, str]] = field(default_factory=list)
    redirect: tuple[int, str] | None = None
    gone: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    def load(self) -> FakeRegistry:
        """Take everything that was written into the real one."""
        for write in json.loads((DATA / "setup.json").read_text()):
            if write["status"] >= 300:
                continue
            path = write["path"].split("/")[4:]
            row = {"customProperties": {}, **write["body"], **write["answer"]}
            if write["method"] == "PATCH":
                rows = self.models if path[0] == "registered_models" else self.versions
                next(old for old in rows if old["id"] == path[1]).update(write["body"] | write["answer"])
            elif path[-1] == "artifacts":
                self.artifacts.append(row | {"_version": path[1]})
            else:
                (self.models if path[0] == "registered_models" else self.versions).append(row)
        return self

    def add(self, model: str, version: str, uri: str, **further: str) -> None:
        """Register one model with one version and one artifact."""
        number = str(1000 + len(self.models))
        times = {"createTimeSinceEpoch": number, "lastUpdateTimeSinceEpoch": number, "customProperties": {}}
        self.models.append({"id": number, "name": model, "state": "LIVE", **times})
        self.versions.append({"id": number, "name": version, "registeredModelId": number, "state": "LIVE", **times})
        self.artifacts.append(
            {"id": number, "artifactType": "model-artifact", "name": "a", "uri": uri, "_version": number, **times}
            | further
        )

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Row | str]:
        """Status and body for a GET; a text is plain text."""
        match path.strip("/").split("/") if not path.startswith("//") else []:
            case ["api", "model_registry", api, *rest] if api == self.api:
                return self._ask(rest, query)
            case ["api", "model_registry", "v1" | "v1alpha3", *_] if self.gone:
                return 410, "gone\n"
        return 404, "404 page not found\n"

    def _ask(self, rest: list[str], query: dict[str, str]) -> tuple[int, Row | str]:
        name = query.get("name", "")
        match rest:
            case ["registered_model"]:
                if not name:
                    return 400, _bad("invalid parameters call, supply either name or externalId: bad request")
                return self._one(self.models, name, f"registered models found for name={name}, externalId=")
            case ["model_version"]:
                parent = query.get("parentResourceId", "")
                rows = [row for row in self.versions if row["registeredModelId"] == parent]
                what = f"model versions found for name={name}, parentResourceId={parent}, externalId="
                return self._one(rows, name, what)
            case ["registered_models", number, "versions"]:
                return 200, _page([row for row in self.versions if row["registeredModelId"] == number], query)
            case ["model_versions", number, "artifacts"]:
                wanted = query.get("artifactType", "")
                rows = [row for row in self.artifacts if row["_version"] == number]
                return 200, _page([row for row in rows if not wanted or row["artifactType"] == wanted], query)
        return 404, "404 page not found\n"

    def _one(self, rows: list[Row], pattern: str, what: str) -> tuple[int, Row]:
        found = [row for row in rows if re.fullmatch(_like(pattern), row["name"], re.DOTALL)]
        if len(found) == 1:
            return 200, found[0]
        return _missing(f"{'multiple' if found else 'no'} {what}")


def _bad(message: str) -> Row:
    return {"code": "Bad Request", "message": message}


def _like(pattern: str) -> str:
    """SQL's LIKE as a regular expression."""
    signs = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(
        re.escape(sign[1]) if len(sign) == 2 else {"_": ".", "%": ".*"}.get(sign, re.escape(sign)) for sign in signs
    )


def _page(rows: list[Row], query: dict[str, str]) -> Row:
    if query.get("filterQuery") == "state='LIVE'":
        rows = [row for row in rows if row.get("state") == "LIVE"]
    order = _ORDERS.get(query.get("orderBy", ""), "id")
    rows = sorted(rows, key=lambda row: (int(row[order]), int(row["id"])), reverse=query.get("sortOrder") == "DESC")
    size = int(query.get("pageSize", "0"))
    if token := query.get("nextPageToken"):
        last = base64.b64decode(token).decode().partition(":")[0]
        rows = rows[[row["id"] for row in rows].index(last) + 1 :]
    items = [{name: value for name, value in row.items() if name != "_version"} for row in rows[: size or None]]
    more = size and len(rows) > size
    following = base64.b64encode(f"{items[-1]['id']}:{items[-1][order]}".encode()).decode() if more else ""
    return {"items": items, "nextPageToken": following, "pageSize": size, "size": len(items)}


@contextmanager
def fake_registry(closed: float = 0) -> Iterator[FakeRegistry]:
    """Run one until the block ends; for the first `closed` seconds its port refuses connections."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler, bind_and_activate=False) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.server_bind()
        registry = FakeRegistry(f"http://127.0.0.1:{server.server_port}")
        server.registry = registry  # type: ignore[attr-defined]
        if not closed:
            server.server_activate()
        thread = threading.Thread(target=_serve, args=(server, closed), daemon=True)
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join(5)


def _serve(server: ThreadingHTTPServer, closed: float) -> None:
    if closed:
        time.sleep(closed)
        server.server_activate()
    server.serve_forever(0.05)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        registry: FakeRegistry = self.server.registry  # type: ignore[attr-defined]
        authorization = self.headers.get("authorization", "")
        registry.asked.append((self.path, authorization))
        target = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(target.query, keep_blank_values=True).items()}
        status: int
        body: Row | str
        location = ""
        if registry.redirect:
            (status, location), body = registry.redirect, ""
        elif registry.failures:
            status, body = registry.failures.pop(0)
        elif registry.token and authorization != f"Bearer {registry.token}":
            status, body = 401, "Unauthorized\n"
        else:
            status, body = registry.answer(target.path, query)
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("content-length", str(len(raw)))
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(raw)
