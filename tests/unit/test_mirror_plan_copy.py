"""What a mirror copies, keeps and deletes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wellhead_storage.manifest import ManifestFile
from wellhead_storage.mirror.plan_copy import LAST, forget, is_of, of_other_source, plan_copy
from wellhead_storage.stores.interface import Checksum, StoredObject

SHA = Checksum("sha256", "ab" * 32)


def source(name: str, size: int = 10, etag: str | None = '"s1"', **more: object) -> StoredObject:
    return StoredObject(name, size, etag, **more)  # type: ignore[arg-type]


def copied(item: StoredObject, etag: str = '"d1"') -> tuple[ManifestFile, StoredObject]:
    """The record of a copy, and the copy as it is listed."""
    checksum = str(item.checksum) if item.checksum else "sha256:00"
    record = ManifestFile(
        name=item.name, size=item.size, etag=item.etag, version=item.version, checksum=checksum, copy_etag=etag
    )
    return record, StoredObject(item.name, item.size, etag)


def names(items: tuple[StoredObject, ...] | tuple[ManifestFile, ...]) -> list[str]:
    return [item.name for item in items]


def test_everything_is_copied_into_an_empty_folder() -> None:
    items = [source("config.json"), source("model.safetensors")]
    plan = plan_copy(items, names(tuple(items)), {}, [])
    assert (plan.copy, plan.keep, plan.delete, plan.replaces, plan.bytes) == (tuple(items), (), (), False, 20)


def test_what_was_copied_from_this_edition_is_kept() -> None:
    item = source("a")
    record, placed = copied(item)
    plan = plan_copy([item], ["a"], {"a": placed}, [record])
    assert (plan.copy, plan.keep) == ((), (record,))


def test_another_etag_version_or_size_is_another_edition() -> None:
    record, placed = copied(source("a", version="1"))
    for changed in (source("a", version="2"), source("a", 11, version="1"), source("a", etag='"s2"')):
        assert names(plan_copy([changed], ["a"], {"a": placed}, [record]).copy) == ["a"]


def test_without_any_mark_nothing_is_known_to_be_the_same() -> None:
    for item in (source("a", etag=None), source("a", etag="")):
        record, placed = copied(item)
        assert names(plan_copy([item], ["a"], {"a": placed}, [record]).copy) == ["a"]


def test_of_another_source_only_checksums_count() -> None:
    item = source("a", checksum=SHA)
    record, placed = copied(item)
    there = {"a": placed}
    assert names(plan_copy([item], ["a"], there, [of_other_source(record)]).keep) == ["a"]
    unsummed = source("a")
    assert names(plan_copy([unsummed], ["a"], there, [of_other_source(record)]).copy) == ["a"]
    assert names(plan_copy([item], ["a"], there, [forget(record)]).copy) == ["a"]


def test_a_kept_copy_gets_the_marks_of_the_source_it_is_now_of() -> None:
    record, placed = copied(source("a", etag='"old"', checksum=SHA))
    plan = plan_copy([source("a", etag='"new"', checksum=SHA)], ["a"], {"a": placed}, [of_other_source(record)])
    assert plan.keep[0].etag == '"new"'


def test_a_copy_that_is_missing_or_replaced_is_made_again() -> None:
    item = source("a")
    record, placed = copied(item)
    assert names(plan_copy([item], ["a"], {}, [record]).copy) == ["a"]
    other = StoredObject("a", placed.size, '"somebody-else"')
    assert names(plan_copy([item], ["a"], {"a": other}, [record]).copy) == ["a"]


def test_only_own_copies_are_deleted() -> None:
    mine, placed = copied(source("old"))
    replaced, _ = copied(source("replaced"))
    there = {
        "old": placed,
        "foreign": source("foreign"),
        "replaced": StoredObject("replaced", 10, '"somebody-else"'),
    }
    plan = plan_copy([source("new")], ["new"], there, [mine, replaced])
    assert (plan.delete, names(plan.copy)) == (("old",), ["new"])


def test_what_is_not_wanted_now_stays_while_the_source_has_it_unchanged() -> None:
    item = source("other-layout.bin")
    record, placed = copied(item)
    there = {item.name: placed}
    assert plan_copy([item, source("a")], ["a"], there, [record]).delete == ()
    changed = source("other-layout.bin", etag='"s2"')
    assert plan_copy([changed, source("a")], ["a"], there, [record]).delete == ("other-layout.bin",)


def test_replacing_takes_the_config_away_first_and_brings_it_last() -> None:
    config, shard = source(LAST), source("model.safetensors")
    kept, placed = copied(config)
    _, old = copied(shard)
    plan = plan_copy([config, shard], [LAST, shard.name], {LAST: placed, shard.name: old}, [kept])
    assert plan.replaces
    assert names(plan.copy) == [LAST, shard.name]
    assert plan.keep == ()


def test_a_config_that_does_not_change_is_not_taken_away() -> None:
    config, shard = source(LAST), source("model.safetensors")
    kept, placed = copied(config)
    _, old = copied(shard)
    there = {LAST: placed, shard.name: old}
    assert plan_copy([config, shard], [LAST, shard.name], there, [kept]).changes_last
    assert not plan_copy([config, shard], [shard.name], there, [kept]).changes_last, "kept as it is"
    assert not plan_copy([shard], [shard.name], there, []).changes_last, "somebody else's"
    assert plan_copy([shard], [shard.name], there, [kept]).changes_last, "ours, and to be deleted"


def test_bytes_are_only_known_where_all_objects_tell_theirs() -> None:
    told, untold = source("a"), source("b", 0, sized=False)
    assert plan_copy([told], ["a"], {}, []).sized
    assert not plan_copy([told, untold], ["a", "b"], {}, []).sized


def test_adding_replaces_nothing() -> None:
    config = source(LAST)
    record, placed = copied(config)
    plan = plan_copy([config, source("more")], [LAST, "more"], {LAST: placed}, [record])
    assert not plan.replaces
    assert (names(plan.copy), names(plan.keep)) == (["more"], [LAST])


def test_a_changed_config_alone_replaces_only_itself() -> None:
    record, placed = copied(source(LAST))
    plan = plan_copy([source(LAST, etag='"s2"')], [LAST], {LAST: placed}, [record])
    assert (names(plan.copy), plan.replaces) == ([LAST], False)


def test_an_object_of_unknown_length_is_compared_by_its_etag() -> None:
    item = source("archive", 0, sized=False)
    record, placed = copied(source("archive", 10))
    assert names(plan_copy([item], ["archive"], {"archive": placed}, [record]).keep) == ["archive"]
    assert is_of(record, item)


FEW = st.sampled_from(["a", "b", "c", LAST])
OBJECTS = st.dictionaries(FEW, st.sampled_from(['"1"', '"2"']))


@given(source_now=OBJECTS, wanted=st.sets(FEW), placed=OBJECTS, recorded=OBJECTS)
def test_afterwards_the_folder_holds_what_is_wanted_and_nothing_of_ours_is_stale(
    source_now: dict[str, str], wanted: set[str], placed: dict[str, str], recorded: dict[str, str]
) -> None:
    """Copies have the ETag of what they are a copy of."""
    wanted &= source_now.keys()
    records = [ManifestFile(name=name, size=1, etag=etag, copy_etag=etag) for name, etag in recorded.items()]
    there = {name: StoredObject(name, 1, etag) for name, etag in placed.items()}
    plan = plan_copy([source(name, 1, etag) for name, etag in source_now.items()], wanted, there, records)
    assert {*names(plan.copy), *names(plan.keep)} >= wanted
    after = {name: etag for name, etag in placed.items() if name not in plan.delete}
    after |= {item.name: str(item.etag) for item in plan.copy}
    for name in {*names(plan.copy), *names(plan.keep)}:
        assert after[name] == source_now[name]
    for name in plan.delete:
        assert recorded[name] == placed[name]
    for name, etag in after.items():
        ours = recorded.get(name) == etag
        assert not ours or source_now.get(name) == etag, "nothing of an older edition is left of what was ours"
    assert not set(plan.delete) & wanted
