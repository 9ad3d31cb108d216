"""From a model's URI to its entry in a catalog, or the sentence why it cannot have one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from wellhead_cluster.catalog.artifact_uri import uri_fault
from wellhead_cluster.catalog.card import LIMIT, NAME, parse_card
from wellhead_cluster.catalog.entry import CONFIG, Entry, make_entry
from wellhead_storage.errors import InvalidUri
from wellhead_storage.logs import log
from wellhead_storage.preview import preview
from wellhead_storage.settings import Settings
from wellhead_storage.uri import StorageUri, parse

_CONFIG_LIMIT = 1024 * 1024  # bytes
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAMED = re.compile(r"(?P<name>[^:=?]+)=(?P<uri>.+)", re.DOTALL)
_DROPS = "and the catalog's server drops a model with such an artifact"


def split_name(argument: str) -> tuple[str, str]:
    """`[NAME=]URI` → name and URI; without a name the folder's is taken.

    Raises:
        InvalidUri: the URI cannot be parsed, or leads to nothing that others could load.
    """
    match = None if argument.startswith("/") else _NAMED.fullmatch(argument)
    text = match["uri"] if match else argument
    uri = parse(text)
    name = match["name"].strip() if match else _name_of(uri)
    if not name or not name.isprintable():
        raise InvalidUri(f"{argument!r} gives the model no name.", "Write NAME=URI.")
    return name, text


def _name_of(uri: StorageUri) -> str:
    if uri.kind in {"hf", "registry"}:
        return "/".join(filter(None, (uri.container, uri.key)))
    parts = [part for part in (uri.container, *uri.key.split("/")) if part]
    if len(parts) > 2 and _COMMIT.fullmatch(parts[-1]):  # an edition in a mirror: …/owner/model/commit
        return "/".join(parts[-3:-1])
    return parts[-1] if parts else ""


def refuse_uri(text: str, settings: Settings) -> None:
    """Refuse what cannot become an artifact, before anybody is asked.

    Raises:
        InvalidUri: with the way to one that can.
    """
    uri = parse(text)
    shown = uri.as_asked(text)
    if uri.forced_stream:
        raise InvalidUri(
            f"{shown} is no URL, {_DROPS}.",
            f"Give {text.partition('://')[2]}: whoever deploys it may put runai_streamer:// in front again.",
        )
    if uri.kind == "hf" and not settings.mirror:
        raise InvalidUri(
            f"{shown} has the scheme hf, {_DROPS}.",
            f"Mirror it first (`wellhead mirror {shown} s3://bucket/model`) and give the bucket's URI, or set "
            "WELLHEAD_MIRROR to where it is mirrored.",
        )
    if uri.kind == "file":
        raise InvalidUri(
            f"{shown} is a folder of this machine, which no reader of the catalog can load.",
            f"Copy it into a bucket first: `wellhead mirror {shown} s3://bucket/model`.",
        )
    if uri.kind in {"mounted", "delegated"}:
        raise InvalidUri(
            f"{shown} is nothing that `wellhead catalog` can look into.", "Give the model's folder in a bucket."
        )


def look(name: str, text: str, settings: Settings, environment: Mapping[str, str]) -> Entry:
    """Look at a model as `wellhead init` would, and read its card.

    Args:
        name: in the catalog.
        text: the model's URI.
        settings: Wellhead's own.
        environment: for credentials.

    Raises:
        InvalidUri: the folder that serves the model has a URI that the catalog's server does not take.
        WellheadError: the same that `init` would raise.
    """
    found = preview(text, settings, environment, {NAME: LIMIT, CONFIG: _CONFIG_LIMIT})
    if fault := uri_fault(found.plan.resolved):
        raise InvalidUri(
            f"{fault[0].upper()}{fault[1:]}, {_DROPS}.",
            "Mirror the model into a bucket first (`wellhead mirror`)."
            if found.plan.resolved.startswith("hf:")
            else "Rename the folder.",
        )
    card = parse_card(found.documents.get(NAME, b""))
    if card.fault:
        log.warning("the card of %s is not used but for its text: %s", found.plan.resolved, card.fault)
    return make_entry(name, found.plan, found.figures, found.documents.get(CONFIG, b""), card)
