"""The writing part of a mirror, in the order that is safe for readers who come at any moment.

A progress record is written first, which also shows whether the destination can be written, and whether it is the
source under another name. Where objects of an older edition are about to change, its manifest and `config.json` go
next: without the one nobody takes the folder for a finished mirror, without the other no engine takes it for a model,
which matters where two editions have shards of the same names and sizes. A `config.json` that is not to change stays.
Then come the copies, the removal of what the new edition lacks (stray shards would be loaded with it), `config.json`,
and a look at what source and destination list. The manifest is written after all that. Readers of the older edition
are only safe in a folder of their own, as `places.py` makes them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from wellhead_storage.download.progress import meters
from wellhead_storage.errors import IntegrityError, InvalidUri, WellheadError
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME, Manifest, ManifestFile
from wellhead_storage.mirror.arrived import Arrived
from wellhead_storage.mirror.budget import Budget
from wellhead_storage.mirror.copy import Copier
from wellhead_storage.mirror.crew import Crew
from wellhead_storage.mirror.pieces import Reader
from wellhead_storage.mirror.plan_copy import LAST, CopyPlan, is_intact, is_of
from wellhead_storage.mirror.record import Record
from wellhead_storage.mirror.targets import Target
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store, StoredObject
from wellhead_storage.survey import list_objects

_WITHOUT_FOLDERS = {"hf", "http"}  # nothing that is written elsewhere can show up there
GRACE = 5.0  # seconds for uploads to be aborted, well within Kubernetes' 30
_BUDGET = 48 * 1024 * 1024  # bytes on their way; about 115 MiB resident, with all that is imported (measured)


class Carrier:
    """Carries out one plan.

    Args:
        store: the source.
        target: the destination.
        crew: its threads do the work.
        settings: how to verify, and how long to try.
    """

    def __init__(self, store: Store, target: Target, crew: Crew, settings: Settings) -> None:
        self._store, self._target, self._crew, self._settings = store, target, crew, settings
        self._arrived = Arrived()
        reader = Reader(store, Budget(_BUDGET), crew.ranges, settings, crew.check)
        self._copier = Copier(store, target, reader, self._arrived, settings)

    def carry_out(
        self, plan: CopyPlan, head: Manifest, known: Iterable[ManifestFile], present: Collection[str]
    ) -> dict[str, ManifestFile]:
        """Copy, delete and compare; what was copied before a failure is in the progress record.

        Args:
            plan: what to do.
            head: a manifest without files.
            known: for the record: copies that are kept, and those that are to go.
            present: names of the objects that the destination holds now.

        Returns:
            The files of the mirror, by name.

        Raises:
            InvalidUri: the destination is the source.
        """
        self._target.require_space(plan.bytes)
        record = Record(self._target, head, known)
        self._crew.run([partial(self._begin, record)])
        if plan.replaces:
            retired = [MANIFEST_NAME, *([LAST] if plan.changes_last else [])]
            self._crew.run([partial(self._retire, [name for name in retired if name in present])])
        files = {file.name: file for file in plan.keep}
        meter = meters(self._settings)(self._target.uri.location, plan.bytes if plan.sized else 0, 0)

        def copy(items: Iterable[StoredObject]) -> None:
            # Large ones first: beside the last of them the small ones come for nothing.
            jobs = [partial(self._copy, record, item) for item in sorted(items, key=lambda item: -item.size)]
            for file in self._crew.run(jobs, every=meter.every, tick=lambda: meter.show(self._arrived.bytes)):
                files[file.name] = file

        try:
            copy(item for item in plan.copy if item.name != LAST)
            self._settle(files, copy)
            self._crew.run([partial(self._target.delete, plan.delete)])
            if last := [item for item in plan.copy if item.name == LAST]:
                copy(last)
                self._refuse_change(files)
            self._compare(files)
            self._crew.run([self._target.settle])
        except BaseException:
            self._crew.abandon(GRACE)
            _within(GRACE, record.save)
            raise
        finally:
            meter.close()
        return files

    def _copy(self, record: Record, item: StoredObject) -> ManifestFile:
        file = self._copier.copy(item)
        record.add(file)
        return file

    def _begin(self, record: Record) -> None:
        """Write the record, and make sure that the source does not show it: one place may have many addresses."""
        written = record.begin()
        if self._store.uri.kind in _WITHOUT_FOLDERS:
            return
        for item in self._store.objects():
            if f"/{item.name}".endswith(f"/{PROGRESS_NAME}") and self._store.read(item) == written:
                self._target.delete([PROGRESS_NAME])
                raise InvalidUri(
                    f"The destination {self._target.uri.location} is the source {self._store.uri.location} under "
                    "another name, or lies inside it.",
                    "Name a folder outside of the source.",
                )

    def _retire(self, names: list[str]) -> None:
        self._target.delete(names)
        self._target.settle()

    def _settle(self, files: Mapping[str, ManifestFile], copy: Callable[[Iterable[StoredObject]], None]) -> None:
        """Copy again what the source replaced in the meantime, so that the mirror is of one edition."""
        if changed := self._changed(files):
            copy(changed)
            if again := self._changed(files):
                raise self._restless(again[0])

    def _refuse_change(self, files: Mapping[str, ManifestFile]) -> None:
        """`config.json` came after everything else: it has to be of the same edition, or it goes again."""
        try:
            if changed := self._changed(files):
                raise self._restless(changed[0])
        except IntegrityError:
            _within(GRACE, partial(self._retire, [LAST]))
            raise

    def _restless(self, item: StoredObject) -> IntegrityError:
        return IntegrityError(
            f"{self._store.uri.child(item.name)} keeps changing while the model is being copied.",
            "Start again once the upload of the model is finished.",
        )

    def _changed(self, files: Mapping[str, ManifestFile]) -> list[StoredObject]:
        if self._store.uri.kind == "hf":
            return []  # a commit never changes
        [objects] = self._crew.run([partial(list_objects, self._store, Path("/"))])
        now = {item.name: item for item in objects}
        for name in files:
            if name not in now:
                raise IntegrityError(
                    f"{self._store.uri.child(name)} vanished while the model was being copied.",
                    "Start again once the upload of the model is finished.",
                )
        return [now[name] for name, file in files.items() if not is_of(file, now[name])]

    def _compare(self, files: Mapping[str, ManifestFile]) -> None:
        """Does the destination list what was written?"""
        [placed] = self._crew.run([self._target.objects])
        for name, file in files.items():
            found = placed.get(name)
            if found is None or not is_intact(file, found):
                raise IntegrityError(
                    f"{self._target.uri.child(name)} is not what was written there.",
                    "Make sure that nobody else writes to that folder, and start again.",
                )


def _within(seconds: float, call: Callable[[], None]) -> None:
    """Call on a thread, and wait so long at most: the process is about to end."""

    def attempt() -> None:
        with suppress(WellheadError):
            call()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
