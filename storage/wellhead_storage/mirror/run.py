"""`wellhead mirror`: copy a model to where it can be streamed from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

from wellhead_storage.archives.kinds import only_archive
from wellhead_storage.errors import InvalidUri
from wellhead_storage.files import in_gib
from wellhead_storage.logs import log
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME, Manifest, ManifestFile
from wellhead_storage.mirror.carry_out import GRACE, Carrier
from wellhead_storage.mirror.choice import Choice, choose, fault_of
from wellhead_storage.mirror.crew import Crew
from wellhead_storage.mirror.places import (
    below,
    commit_of,
    destination_environment,
    mirror_root,
    model_folder,
    ref_name,
    refuse_overlap,
)
from wellhead_storage.mirror.plan_copy import CopyPlan, forget, of_other_source, plan_copy
from wellhead_storage.mirror.record import encode, read_records
from wellhead_storage.mirror.result import Copied, LeftOut, Result
from wellhead_storage.mirror.targets import Target, open_target
from wellhead_storage.patterns import Patterns
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store, StoredObject
from wellhead_storage.stores.opening import open_store
from wellhead_storage.survey import list_objects
from wellhead_storage.uri import StorageUri, parse


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        everything: every layout, and not only what an engine needs.
        patterns: which objects.
        dry_run: only say what would be done.
    """

    everything: bool = False
    patterns: Patterns = field(default_factory=Patterns)
    dry_run: bool = False


def mirror(
    source: str, destination: str | None, options: Options, settings: Settings, environment: Mapping[str, str]
) -> Result:
    """Mirror one model.

    Args:
        source: URI of a model.
        destination: URI of a folder; None for a Hugging Face model's place in `WELLHEAD_MIRROR`.
        options: of the command line.
        settings: how to verify, and how long to try.
        environment: credentials for both sides.

    Raises:
        WellheadError: what was copied until then stays, without a manifest, and is not copied again.
    """
    begin = time.monotonic()
    uri = _resolve(parse(source), environment, settings)
    given = None if destination is None else replace(parse(destination), forced_stream=False)
    if given is None and (uri.kind != "hf" or not settings.mirror):
        raise InvalidUri(
            "No destination is given.", "Name one; only hf:// models have a default place, in WELLHEAD_MIRROR."
        )
    root = mirror_root(settings) if given is None else None
    crew = Crew(settings)
    try:
        store = open_store(uri, environment, settings).store
        # On a worker's thread, as everything that waits: a signal must not have to wait, too.
        [objects] = crew.run([partial(list_objects, store, Path("/"))])
        if given:
            single = [item.name for item in objects] == [PurePosixPath(uri.key).name]
            refuse_overlap(uri, given, environment, destination_environment(environment), single=single)
        folder = given or _default_place(root, store.uri)
        target = open_target(folder, destination_environment(environment), settings)
        with target.held() if not options.dry_run else nullcontext():
            run = _Run(parse(source), store, target, objects, crew, settings)
            result = run.run(options)
        if root and not options.dry_run:
            crew.run([partial(_point, root, uri, store.uri, environment, settings)])
    except BaseException:
        crew.abandon(GRACE)
        raise
    crew.close()
    return result.model_copy(update={"seconds": round(time.monotonic() - begin, 3)})


def _resolve(uri: StorageUri, environment: Mapping[str, str], settings: Settings) -> StorageUri:
    if uri.kind == "registry":
        from wellhead_storage.registry.resolve import resolve_model

        resolved = resolve_model(uri, environment, settings)
        for reason in resolved.reasons:
            log.info("%s", reason)
        uri = resolved.uri
    if uri.kind == "delegated":
        raise InvalidUri(
            f"{uri.scheme}:// cannot be mirrored directly: KServe's library reads it to a disk only.",
            "Fetch it with `wellhead init` into a directory, and mirror that.",
        )
    return replace(uri, forced_stream=False)


def _default_place(root: StorageUri | None, exact: StorageUri) -> StorageUri:
    if root is None or not commit_of(exact):
        raise InvalidUri(f"{exact.location} has no commit to name its mirror after.", "Name a destination.")
    return below(model_folder(root, exact), commit_of(exact))


def _point(
    root: StorageUri, asked: StorageUri, exact: StorageUri, environment: Mapping[str, str], settings: Settings
) -> None:
    """Note which commit the branch or tag was at, for clusters that do not reach the Hub."""
    if commit_of(asked):
        return
    target = open_target(model_folder(root, asked), destination_environment(environment), settings)
    commit = commit_of(exact).encode()
    if target.read(ref_name(asked)) != commit:
        target.put(ref_name(asked), commit)


class _Run:
    """One run: the steps and what they share."""

    def __init__(
        self,
        asked: StorageUri,
        store: Store,
        target: Target,
        objects: list[StoredObject],
        crew: Crew,
        settings: Settings,
    ) -> None:
        self.store, self.target, self.objects, self.crew, self.settings = store, target, objects, crew, settings
        self.head = Manifest(kind="mirror", source=store.uri.public, asked=asked.public, whole=False)

    def run(self, options: Options) -> Result:
        choice, placed = self._look(options)
        [(manifest, progress)] = self.crew.run([partial(read_records, self.target, placed)])
        records = {file.name: file for found in (manifest, progress) if found for file in self._comparable(found)}
        plan = plan_copy(self.objects, choice.names, placed, records.values())
        fault = self._fault(choice, plan, manifest)
        kept = {file.name: file for file in plan.keep}
        if options.dry_run:
            return self._result(plan, choice, kept, dry_run=True)
        if plan.copy or plan.delete:
            known = [*plan.keep, *(forget(file) for name, file in records.items() if name not in kept)]
            carrier = Carrier(self.store, self.target, self.crew, self.settings)
            kept = carrier.carry_out(plan, self.head, known, placed)
        files = tuple(kept[name] for name in sorted(kept))
        finished = self.head.model_copy(update={"files": files, "whole": not fault and choice.needed <= kept.keys()})
        if plan.replaces or finished != manifest:  # what is replaced has lost its manifest, be it by the same bytes
            self.crew.run([partial(self.target.put, MANIFEST_NAME, encode(finished))])
        if plan.copy or plan.delete or progress:
            self.crew.run([partial(self.target.delete, [PROGRESS_NAME])])
        self.crew.run([self.target.settle])
        return self._result(plan, choice, kept, dry_run=False)

    def _fault(self, choice: Choice, plan: CopyPlan, manifest: Manifest | None) -> str:
        """Why the mirror will not be whole, whatever it holds; a model that has to be whole is refused instead."""
        after = {*(item.name for item in plan.copy), *(file.name for file in plan.keep)}
        if manifest and manifest.whole and not (plan.copy or plan.delete or choice.fault):
            return ""  # as it was found to be when it was copied
        if not choice.by_layout and not choice.needed <= after:
            return ""  # a part of a model is nothing to check
        [fault] = self.crew.run([partial(fault_of, self.store, choice, self.crew.ranges, self.settings)])
        if fault:
            log.warning("%s The mirror does not count as a whole model.", fault)
        return fault

    def _look(self, options: Options) -> tuple[Choice, dict[str, StoredObject]]:
        [choice] = self.crew.run(
            [partial(choose, self.store, self.objects, options.patterns, self.settings, everything=options.everything)]
        )
        [placed] = self.crew.run([self.target.objects])
        if archive := only_archive(self.objects):
            log.warning("%s is an archive: it is mirrored as it is, and cannot be streamed", archive.name)
        return choice, placed

    def _comparable(self, found: Manifest) -> Iterable[ManifestFile]:
        same = _origin(found.source) == _origin(self.head.source)
        return found.files if same else map(of_other_source, found.files)

    def _result(self, plan: CopyPlan, choice: Choice, files: Mapping[str, ManifestFile], *, dry_run: bool) -> Result:
        sizes = {item.name: item.size for item in plan.copy} | {file.name: file.size for file in files.values()}
        copied = tuple(Copied(name=item.name, bytes=sizes[item.name]) for item in plan.copy)
        if not dry_run:
            now = in_gib(sum(item.bytes for item in copied))
            log.info("mirrored %s to %s, %s of it now", self.head.source, self.target.uri.location, now)
        return Result(
            source=self.head.source,
            asked=self.head.asked,
            destination=self.target.uri.location,
            dry_run=dry_run,
            copied=copied,
            kept=tuple(sorted(file.name for file in plan.keep)),
            deleted=plan.delete,
            left=tuple(LeftOut(name=entry.item.name, reason=entry.reason) for entry in choice.left),
            bytes=sum(sizes.values()),
            seconds=0.0,
        )


def _origin(source: str) -> StorageUri | None:
    """The source without the edition."""
    try:
        return replace(parse(source), revision="", query=(), forced_stream=False)
    except InvalidUri:
        return None
