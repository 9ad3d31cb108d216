"""What is known of a cluster: objects, and where that knowledge ends. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wellhead_cluster.doctor.manifests import Manifest, name_of, section

CLUSTER_SCOPED = frozenset(
    {
        *("ClusterStorageContainer", "ClusterServingRuntime", "Namespace"),
        *("LocalModelCache", "LocalModelNodeGroup", "LocalModelNode"),
    }
)


@dataclass(frozen=True, slots=True)
class Absence:
    """An object that was not found.

    Attributes:
        certain: it does not exist; False: nobody knows.
        reason: why nobody knows.
    """

    certain: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """Objects, from files or from a cluster.

    Attributes:
        objects: the last one of a name wins, as with `kubectl apply`.
        namespace: of the service, and so of everything that states none.
        gaps: kind → why objects of that kind may exist that are not here; a kind that is not among them is complete.
        rest: the same for every kind that `gaps` does not name; empty: all of them are complete.
    """

    objects: tuple[Manifest, ...]
    namespace: str
    gaps: Mapping[str, str] = field(default_factory=dict)
    rest: str = ""

    def gap(self, kind: str) -> str:
        """Why there may be more of that kind; empty where there are not."""
        return self.gaps.get(kind, self.rest)

    def all(self, kind: str, namespace: str = "") -> list[Manifest]:
        """Every known object of a kind, of the service's namespace where the kind has namespaces."""
        wanted = namespace or self.namespace
        kept = {
            name_of(each): each
            for each in self.objects
            if each.get("kind") == kind and (kind in CLUSTER_SCOPED or self._namespace(each) == wanted)
        }
        return [kept[name] for name in sorted(kept)]

    def find(self, kind: str, name: str, namespace: str = "") -> Manifest | Absence:
        """The object of that name, or what is known of its absence."""
        for each in self.all(kind, namespace):
            if name_of(each) == name:
                return each
        reason = self.gaps.get(f"{kind}/{name}") or self.gap(kind)
        return Absence(certain=not reason, reason=reason)

    def _namespace(self, manifest: Manifest) -> str:
        return str(section(manifest, "metadata").get("namespace") or self.namespace)
