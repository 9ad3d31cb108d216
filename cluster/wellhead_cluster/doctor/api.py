"""A cluster, read through the official client: nothing but get and list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wellhead_cluster.doctor.manifests import Manifest
from wellhead_storage.errors import AccessDenied, InvalidConfiguration, StoreUnavailable

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_CONNECT, _READ = 5, 20  # seconds
_KSERVE = "/apis/serving.kserve.io/"
# kind → group and version, plural, lives in a namespace
_PATHS = {
    "InferenceService": (f"{_KSERVE}v1beta1", "inferenceservices", True),
    "LLMInferenceService": (f"{_KSERVE}v1alpha2", "llminferenceservices", True),
    "LLMInferenceServiceConfig": (f"{_KSERVE}v1alpha2", "llminferenceserviceconfigs", True),
    "ServingRuntime": (f"{_KSERVE}v1alpha1", "servingruntimes", True),
    "ClusterServingRuntime": (f"{_KSERVE}v1alpha1", "clusterservingruntimes", False),
    "ClusterStorageContainer": (f"{_KSERVE}v1alpha1", "clusterstoragecontainers", False),
    "LocalModelCache": (f"{_KSERVE}v1alpha1", "localmodelcaches", False),
    "LocalModelNamespaceCache": (f"{_KSERVE}v1alpha1", "localmodelnamespacecaches", True),
    "Deployment": ("/apis/apps/v1", "deployments", True),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims", True),
    "ConfigMap": ("/api/v1", "configmaps", True),
    "Secret": ("/api/v1", "secrets", True),
    "ServiceAccount": ("/api/v1", "serviceaccounts", True),
}


@dataclass(slots=True)
class Api:
    """Reads, and remembers what it was not allowed to read.

    Attributes:
        client: connected to the cluster.
        gaps: kind, or kind/name → why it is not known.
    """

    client: ApiClient
    gaps: dict[str, str] = field(default_factory=dict)

    def get(self, kind: str, name: str, namespace: str = "") -> Manifest | None:
        """One object; None where it does not exist, or where `gaps` says why it is not known."""
        found = self._read(kind, namespace, name)
        return {"kind": kind, **found} if found else None

    def list(self, kind: str, namespace: str = "") -> Iterator[Manifest]:
        """Every object of a kind; none where the cluster does not know the kind, or where `gaps` says why."""
        found = self._read(kind, namespace, "") or {}
        for each in found.get("items") or []:
            yield {**each, "kind": kind}

    def _read(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        version, plural, scoped = _PATHS[kind]
        place = f"/namespaces/{quote(namespace, safe='')}" if scoped else ""
        path = f"{version}{place}/{plural}" + (f"/{quote(name, safe='')}" if name else "")
        try:
            answer: Any = self.client.call_api(
                path,
                "GET",
                header_params={"Accept": "application/json"},
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=(_CONNECT, _READ),
            )
        except ApiException as error:
            self._refused(error, kind, plural, namespace, name)
            return None
        except (HTTPError, OSError) as error:
            raise StoreUnavailable(
                f"The cluster's API server at {self.client.configuration.host} cannot be reached "
                f"({type(error).__name__}).",
                "Check the kubeconfig and its context, and the network; or give manifests with -f.",
            ) from None
        return answer if isinstance(answer, dict) else None

    def _refused(self, error: Any, kind: str, plural: str, namespace: str, name: str) -> None:
        """Turn the API server's answer into a gap; one that concerns every request ends the command."""
        if error.status == 404:
            return
        if error.status == 401:
            raise AccessDenied(
                f"The cluster's API server at {self.client.configuration.host} does not accept who you are.",
                "Sign in again, and check the kubeconfig's context.",
            ) from None
        if error.status >= 500 or error.status == 429:
            raise StoreUnavailable(
                f"The cluster's API server answers {error.status} for {plural}.", "Try again later."
            ) from None
        where = f" in namespace {namespace}" if namespace else ""
        verb = "get" if name else "list"
        reason = f"needs permission to {verb} {plural}{where}"
        self.gaps[f"{kind}/{name}" if name else kind] = (
            reason if error.status == 403 else f"the API server answers {error.status} for {plural}{where}"
        )


def connect(context: str = "") -> tuple[Api, str]:
    """Connect as `kubectl` would, or as the pod that this runs in; the second is the context's namespace.

    Raises:
        InvalidConfiguration: the client is not installed, or there is no usable kubeconfig.
    """
    try:
        from kubernetes import client, config
    except ModuleNotFoundError:
        raise InvalidConfiguration(
            "Looking at a cluster needs the package kubernetes, which is not installed.",
            "pip install 'wellhead[cluster]', or give manifests with -f.",
        ) from None
    settings = client.Configuration()
    namespace = ""
    try:
        config.load_kube_config(context=context or None, client_configuration=settings)
        _, active = config.list_kube_config_contexts()
        namespace = str((active or {}).get("context", {}).get("namespace") or "")
    except config.ConfigException as error:
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            raise InvalidConfiguration(
                f"There is no usable kubeconfig: {str(error).rstrip('.')}.",
                "Name one in KUBECONFIG, or give manifests with -f.",
            ) from None
    settings.retries = False
    return Api(client.ApiClient(settings)), namespace or "default"
