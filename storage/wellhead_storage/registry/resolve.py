"""From `model-registry://…` to the URI of the weights, with the way there in sentences. Three requests, normally."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from wellhead_storage.errors import InvalidUri, ObjectNotFound, StoreUnavailable
from wellhead_storage.registry.address import Address, read_address
from wellhead_storage.registry.answers import Artifact, Artifacts, Named, Versions
from wellhead_storage.registry.choose import choose_artifact, location_of
from wellhead_storage.registry.client import NoRegistry, NothingFound, NotReached, Registry
from wellhead_storage.registry.names import is_pattern, literally
from wellhead_storage.retrying import attempts
from wellhead_storage.settings import Settings
from wellhead_storage.uri import StorageUri, parse

_NEWEST_FIRST = {"orderBy": "CREATE_TIME", "sortOrder": "DESC"}  # upper case only; anything else is ignored


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a registered model's weights are.

    Attributes:
        uri: parsed, with the wrapper protocol where that was asked for.
        reasons: how it was found, in sentences.
        artifact: as registered.
    """

    uri: StorageUri
    reasons: tuple[str, ...]
    artifact: Artifact


def resolve_model(uri: StorageUri, environment: Mapping[str, str], settings: Settings) -> Resolved:
    """Ask the registry; where the URI has several readings, the registry of each until one knows the model.

    Nothing is final but an answer: while nobody has given one, all readings are tried again, for
    `WELLHEAD_RETRY_TIMEOUT`. A registry that answers "not now" is there, and its reading is the one that is meant.

    Raises:
        InvalidUri: the URI, or the artifact's, cannot be used.
        ObjectNotFound: no such model or version, no version, only archived ones, no usable artifact, or several
            models of one name.
        AccessDenied, StoreUnavailable, InvalidConfiguration: of the registry, or of what is needed to reach it.
    """
    addresses = read_address(uri, environment)
    for attempt in attempts(settings, _may_pass):
        with attempt:
            return _try_each(uri, addresses, environment, settings)
    raise AssertionError("stamina either returns or raises")


class _ModelNotFound(ObjectNotFound):
    """The model itself is not there, so that another reading of the URI may be meant."""


def _try_each(
    uri: StorageUri, addresses: list[Address], environment: Mapping[str, str], settings: Settings
) -> Resolved:
    """One round over the readings, the likelier one first."""
    failures: list[_ModelNotFound | NotReached | NoRegistry] = []
    for address in addresses:
        try:
            return _Resolution(uri, address, environment, settings).run()
        except (_ModelNotFound, NotReached, NoRegistry) as error:
            failures.append(error)
    silent = [failure for failure in failures if isinstance(failure, NotReached)]
    # That the likelier one does not know the model is an answer, whether or not the other one would speak later.
    raise silent[0] if silent and not isinstance(failures[0], _ModelNotFound) else failures[0]


def _may_pass(error: Exception) -> bool:
    return isinstance(error, StoreUnavailable) and not isinstance(error, NoRegistry)


class _Resolution:
    def __init__(self, uri: StorageUri, address: Address, environment: Mapping[str, str], settings: Settings) -> None:
        self._uri, self._address, self._environment = uri, address, environment
        self._registry = Registry(address, environment, settings)
        self._reasons: list[str] = []

    def run(self) -> Resolved:
        model = self._model()
        version, how = self._version(model)
        what = f"version {version.name!r} of {model.name!r}"
        artifact = choose_artifact(self._artifacts(version), f"{self._registry.base}: {what}")
        text = location_of(artifact, self._environment)
        found = parse(text)
        if found.kind == "registry":
            raise InvalidUri(f"The artifact of {what} is {text!r}, a registry again.", "Set its uri to the weights.")
        self._reasons.insert(0, f"model-registry: {model.name}, version {version.name} ({how}): {found.location}")
        if artifact.service_account:
            self._reasons.append(
                f"the artifact asks for the service account {artifact.service_account!r}; the pod's own is used"
            )
        forced = found.forced_stream or self._uri.forced_stream
        return Resolved(replace(found, forced_stream=forced), tuple(self._reasons), artifact)

    def _model(self) -> Named:
        name = self._address.model
        try:
            model = self._by_name(name, "registered_model")
        except NothingFound as error:
            raise self._absent(f"The Model Registry at {self._registry.base} has no model {name!r}", error) from None
        if model.archived:
            self._reasons.append(f"the model {name!r} is archived in the registry")
        return model

    def _version(self, model: Named) -> tuple[Named, str]:
        name = self._address.version
        if name is None:
            return self._newest(model), "the newest"
        try:
            version = self._by_name(name, "model_version", parentResourceId=model.id)
        except NothingFound as error:
            absent = self._absent(f"{model.name!r} in {self._registry.base} has no version {name!r}", error)
            raise ObjectNotFound(absent.problem, absent.hint) from None
        if version.archived:
            self._reasons.append(f"version {name!r} is archived in the registry, and was asked for by name")
        return version, "as named"

    def _by_name(self, name: str, path: str, **parameters: str) -> Named:
        """Look a name up; what comes back may be of another name, or be refused although it exists (`names.py`)."""
        spellings = [name, literally(name)] if is_pattern(name) else [name]
        refusal: NothingFound | None = None
        nearest = ""
        for spelling in spellings:
            try:
                found = self._registry.get(Named, path, name=spelling, **parameters)
            except NothingFound as error:
                refusal = error
                continue
            if found.name == name:
                return found
            nearest = f"the nearest is {found.name!r}"
        raise NothingFound(nearest) if nearest or refusal is None else refusal

    def _absent(self, sentence: str, error: NothingFound) -> _ModelNotFound:
        words = str(error)
        if words.startswith("multiple"):
            return _ModelNotFound(
                f"{sentence} that is the only one of that name: the name is ambiguous.", "Rename one in the registry."
            )
        nearest = f" ({words})" if words.startswith("the nearest") else ""
        return _ModelNotFound(f"{sentence}{nearest}.", "Check the name; upper and lower case are different.")

    def _newest(self, model: Named) -> Named:
        path = f"registered_models/{model.id}/versions"
        pages = self._registry.pages(Versions, path, **_NEWEST_FIRST, filterQuery="state='LIVE'", pageSize="1")
        for page in pages:
            for version in page.items:
                if not version.archived:
                    return version
        where = f"{model.name!r} in {self._registry.base}"
        if self._registry.get(Versions, path, pageSize="1").items:
            raise ObjectNotFound(f"{where} has only archived versions.", "Name one in the URI, or restore it.")
        raise ObjectNotFound(f"{where} has no version.", "Register one, with a model artifact.")

    def _artifacts(self, version: Named) -> Iterator[Artifact]:
        path = f"model_versions/{version.id}/artifacts"
        for page in self._registry.pages(Artifacts, path, artifactType="model-artifact", **_NEWEST_FIRST):
            yield from page.items
