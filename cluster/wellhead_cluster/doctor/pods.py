"""One kind of pod of a service, as far as a model, its credentials and the engine go. Pure data."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from wellhead_cluster.doctor.environment import Resolved
from wellhead_cluster.doctor.injection import Injected
from wellhead_cluster.doctor.manifests import MODEL_PATH, MODEL_VOLUME, Manifest, entries, is_ours, words
from wellhead_runtime.arguments import EngineArguments, parse_arguments
from wellhead_storage.errors import ArgumentConflict, InvalidConfiguration, InvalidUri
from wellhead_storage.settings import PREFIX, Settings, read_settings
from wellhead_storage.uri import StorageUri, parse

ADDITIONAL = "VLLM_ADDITIONAL_ARGS"
"""What KServe's script for LLMInferenceServices hands to vLLM."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A kind of pod.

    Attributes:
        role: `predictor`; `main pod`, `prefill pod` and so on of an LLMInferenceService.
        place: the part of the object that describes it, for snippets: `spec.predictor`.
        part: the part of that which describes the server: `model`, or `containers`.
        annotations: that the pod will carry.
        account: its service account.
        automount: what the pod itself says about the account's token; None: nothing.
        spec: volumes, host settings and further containers, as merged.
        server: the model server, as merged.
        initializer: the container that brings the model, as merged; None without one, or where it is not known.
        sources: (URI, folder) of everything that it brings.
        injected: what KServe adds to the initializer.
        initial: the initializer's own variables.
        served: the server's own variables.
        own_initializer: the object states the initializer itself, so KServe gives it neither arguments nor credentials.
    """

    role: str
    place: str
    part: str
    annotations: dict[str, str]
    account: str
    automount: bool | None
    spec: Manifest
    server: Manifest
    initializer: Manifest | None
    sources: tuple[tuple[str, str], ...]
    injected: Injected
    initial: Resolved
    served: Resolved
    own_initializer: bool = False
    arguments: tuple[str, ...] = field(default=())

    @property
    def environment(self) -> dict[str, str]:
        """The initializer's whole environment; what it states itself wins over what KServe adds."""
        return self.injected.environment | self.initial.environment

    @property
    def downloads_here(self) -> bool:
        """Whether an init container of Wellhead's prepares the model."""
        return self.initializer is not None and is_ours(self.initializer)

    @property
    def settings(self) -> Settings | None:
        """Wellhead's settings in the init container; None where they are not valid."""
        own = {name: value for name, value in self.environment.items() if name.startswith(PREFIX)}
        try:
            return read_settings(own)
        except InvalidConfiguration:
            return None

    @property
    def uri(self) -> StorageUri | None:
        """The model's URI; None without one, or where it cannot be parsed."""
        try:
            return parse(self.sources[0][0]) if self.sources else None
        except InvalidUri:
            return None

    @property
    def folder(self) -> str:
        """Where the model is expected."""
        return self.sources[0][1] if self.sources else MODEL_PATH

    @property
    def engine_arguments(self) -> EngineArguments:
        """The arguments for vLLM.

        Raises:
            ArgumentConflict: they contradict themselves.
        """
        additional = self.served.environment.get(ADDITIONAL, "")
        try:
            further = shlex.split(additional)
        except ValueError:
            further = additional.split()
        return parse_arguments([*self.arguments, *further])

    @property
    def engine_model(self) -> str:
        """The model that the arguments name; empty where they name none, or contradict themselves."""
        try:
            return self.engine_arguments.model or ""
        except ArgumentConflict:
            return ""

    @property
    def model_volume(self) -> Manifest:
        """The volume that the model is put into; empty where KServe makes a plain emptyDir."""
        mounts = [each for each in entries(self.initializer or {}, "volumeMounts") if _holds(each, self.folder)]
        name = mounts[0].get("name") if mounts and self.own_initializer else MODEL_VOLUME
        return next((each for each in entries(self.spec, "volumes") if each.get("name") == name), {})


def serve_arguments(container: Manifest) -> tuple[str, ...]:
    """What follows `serve` on the command line of a container of ours."""
    line = [*words(container, "command"), *words(container, "args")]
    return tuple(line[line.index("serve") + 1 :]) if "serve" in line[:3] else tuple(words(container, "args"))


def _holds(mount: Manifest, folder: str) -> bool:
    path = str(mount.get("mountPath") or "").rstrip("/")
    return bool(path) and (folder.rstrip("/") + "/").startswith(path + "/")
