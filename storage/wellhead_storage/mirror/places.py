"""Where copies of Hugging Face models lie in a mirror, and which credentials serve a destination. No I/O.

Every edition has a folder of its own, `<mirror>/<owner>/<model>/<commit>`: engines that stream an older edition go on
reading it while, and after, a newer one is mirrored, since nothing they read is ever overwritten. As in the Hub's own
cache, `refs/<revision>` beside the editions names the commit that a branch or tag was at when it was mirrored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from wellhead_storage.credentials.azure import azure_credentials
from wellhead_storage.credentials.s3 import s3_credentials
from wellhead_storage.errors import InvalidConfiguration, InvalidUri
from wellhead_storage.settings import PREFIX, Settings
from wellhead_storage.uri import StorageUri, parse

DESTINATION_PREFIX = f"{PREFIX}DST_"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DEFAULT_REVISION = "main"


def mirror_root(settings: Settings) -> StorageUri:
    """The folder named by `WELLHEAD_MIRROR`.

    Raises:
        InvalidConfiguration: it is no folder that can be read and written.
    """
    try:
        root = parse(settings.mirror)
    except InvalidUri as error:
        raise InvalidConfiguration(f"{PREFIX}MIRROR is not usable: {error.problem}", error.hint) from error
    if root.kind not in {"s3", "gs", "az", "file"}:
        raise InvalidConfiguration(
            f"{PREFIX}MIRROR={root.location} is not usable: nothing can be written to {root.scheme}://.",
            "Name a folder in s3://, gs:// or az://, or a directory.",
        )
    return replace(root, forced_stream=False)


def below(folder: StorageUri, *names: str) -> StorageUri:
    """A folder inside a folder."""
    return replace(folder, key="/".join(part for part in (folder.key.rstrip("/"), *names) if part))


def model_folder(root: StorageUri, model: StorageUri) -> StorageUri:
    """`<mirror>/<owner>/<model>` of an `hf://` URI; a folder or file of a repository has a folder of its own below."""
    return below(root, *model.container.split("/"), model.key)


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit, and neither branch nor tag."""
    return _COMMIT.fullmatch(revision) is not None


def commit_of(model: StorageUri) -> str:
    """The commit that an `hf://` URI names by itself, or nothing where it names a branch or tag."""
    return model.revision if is_commit(model.revision) else ""


def revision_of(model: StorageUri) -> str:
    """The branch or tag of an `hf://` URI."""
    return model.revision or _DEFAULT_REVISION


def ref_name(model: StorageUri) -> str:
    """Where, below the model's folder, the commit of the URI's branch or tag is noted."""
    return f"refs/{revision_of(model)}"


def destination_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Credentials of `wellhead mirror`'s destination: the usual variables, with this prefix.

    With any of them it is those alone, so that the two accounts never mix; without, the source's.
    """
    own = {
        name.removeprefix(DESTINATION_PREFIX): value
        for name, value in environment.items()
        if name.startswith(DESTINATION_PREFIX)
    }
    return own or environment


def refuse_overlap(
    source: StorageUri,
    destination: StorageUri,
    environment: Mapping[str, str],
    own: Mapping[str, str],
    *,
    single: bool = False,
) -> None:
    """Refuse a destination that is the source, lies in it, or is the folder of the one object that is the source.

    Addresses are compared as they are written. That one store has two of them shows when the mirror begins.

    Args:
        source: the source.
        destination: a folder.
        environment: credentials for the source.
        own: those for the destination.
        single: the source is one object.

    Raises:
        InvalidUri: it would be copied into itself.
    """
    if source.kind != destination.kind or _store(source, environment) != _store(destination, own):
        return
    outer, inner = _key(source), _key(destination)
    if outer == inner:
        problem = f"Source and destination are both {destination.location}."
    elif not outer or inner.startswith(f"{outer.rstrip('/')}/"):
        problem = f"The destination {destination.location} lies inside the source {source.location}."
    elif single and PurePosixPath(inner, PurePosixPath(outer).name) == PurePosixPath(outer):
        problem = f"The destination {destination.location} is the folder in which the source lies."
    else:
        return
    raise InvalidUri(problem, "Name a folder outside of the source.")


def _store(uri: StorageUri, environment: Mapping[str, str]) -> tuple[str | None, str]:
    endpoint = None
    if uri.kind == "s3":
        endpoint = s3_credentials(environment, uri.parameters).connection.endpoint_url
    elif uri.kind == "az":
        endpoint = azure_credentials(environment, uri.account, uri.suffix).connection.url
    return endpoint, uri.container


def _key(uri: StorageUri) -> str:
    return str(Path(uri.key).resolve()) if uri.kind == "file" else uri.key
