"""A stand-in for a cluster's API server: get and list over plain HTTP, and the ways in which it says no.

The answers' shapes are those of a kube-apiserver 1.34: a `Status` for a refusal, an `…List` whose items state no kind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

Manifest = dict[str, Any]

PLURALS = {
    "inferenceservices": "InferenceService",
    "llminferenceservices": "LLMInferenceService",
    "llminferenceserviceconfigs": "LLMInferenceServiceConfig",
    "servingruntimes": "ServingRuntime",
    "clusterservingruntimes": "ClusterServingRuntime",
    "clusterstoragecontainers": "ClusterStorageContainer",
    "localmodelcaches": "LocalModelCache",
    "localmodelnamespacecaches": "LocalModelNamespaceCache",
    "deployments": "Deployment",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "serviceaccounts": "ServiceAccount",
}


@dataclass
class FakeCluster:
    """What it holds and does.

    Attributes:
        url: where it listens.
        objects: everything; a namespaced one states its namespace.
        forbidden: plurals that it refuses with 403.
        status: answers everything with this status; 0 for none.
        asked: (method, path) of every request.
        token: a request without it gets 401.
    """

    url: str
    objects: list[Manifest] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    status: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    token: str = "example-token"

    def kubeconfig(self, folder: Path, url: str = "", token: str = "") -> Path:
        """A file for KUBECONFIG; its context is in the namespace team-a."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me", "namespace": "team-a"}}],
            "clusters": [{"name": "it", "cluster": {"server": url or self.url}}],
            "users": [{"name": "me", "user": {"token": token or self.token}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    def answer(self, request: Request) -> Response:
        self.asked.append((request.method, request.path))
        if self.status:
            return _status(self.status, "no")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        parts = request.path.strip("/").split("/")
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 2 else ""
        plural, name = [*(rest[2:] if namespace else rest), ""][:2]
        if plural in self.forbidden:
            return _status(403, f'{plural} is forbidden: User "me" cannot get resource')
        found = [each for each in self.objects if each["kind"] == PLURALS.get(plural) and self._within(each, namespace)]
        if not name:
            items = [{key: value for key, value in each.items() if key not in {"kind", "apiVersion"}} for each in found]
            return _json({"kind": f"{PLURALS[plural]}List", "metadata": {}, "items": items})
        named = [each for each in found if each["metadata"]["name"] == name]
        return _json(named[0]) if named else _status(404, f'{plural} "{name}" not found')

    def _within(self, manifest: Manifest, namespace: str) -> bool:
        return str(manifest["metadata"].get("namespace", "")) == namespace


@contextmanager
def fake_cluster() -> Iterator[FakeCluster]:
    """Run one until the block ends."""
    with HTTPServer() as server:
        cluster = FakeCluster(server.url_for("").rstrip("/"))
        server.expect_request(re.compile(".*")).respond_with_handler(cluster.answer)
        yield cluster


def _status(code: int, message: str) -> Response:
    return _json({"kind": "Status", "status": "Failure", "message": message, "code": code}, code)


def _json(content: Manifest, status: int = 200) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")
