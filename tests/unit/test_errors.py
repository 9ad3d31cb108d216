"""The error tree: codes are part of the interface and exactly as documented."""

from __future__ import annotations

import inspect

import pytest

from wellhead_runtime.preparing import PreparationFailed
from wellhead_storage import errors
from wellhead_storage.errors import EngineFailed, WellheadError

CODES = {
    "InvalidUri": 10,
    "ObjectNotFound": 11,
    "AccessDenied": 12,
    "IncompleteCheckpoint": 13,
    "NotStreamable": 14,
    "InsufficientSpace": 15,
    "StoreUnavailable": 16,
    "IntegrityError": 17,
    "ArgumentConflict": 18,
    "InvalidConfiguration": 19,
    "EngineFailed": 20,
    "HandoffFailed": 21,
    "UnreadablePlan": 22,
    "CheckFailed": 23,
    "Interrupted": 143,
}
KINDS: list[type[WellheadError]] = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, WellheadError) and kind is not WellheadError
]


def test_the_codes_have_not_changed() -> None:
    assert {kind.__name__: kind.exit_code for kind in KINDS} == CODES


def test_codes_are_unique_and_leave_room_for_others() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert not {0, 1, 2} & set(codes), "success, the unexpected, wrong usage"
    assert WellheadError.exit_code == 1
    assert all(3 <= code <= 125 or code == 128 + 15 for code in codes), "126 and above belong to shells"


def test_every_kind_hangs_below_the_root() -> None:
    assert all(kind.__bases__ == (WellheadError,) for kind in KINDS)
    assert all(kind.__doc__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_and_what_to_do(kind: type[WellheadError]) -> None:
    error = kind("It broke.", "Mend it.")
    assert str(error) == "It broke. Mend it."
    assert (error.problem, error.hint) == ("It broke.", "Mend it.")
    assert str(kind("It broke.")) == "It broke."


def test_a_problem_can_be_made_more_precise() -> None:
    error = WellheadError("It broke.", "Mend it.")
    error.problem = f"For /mnt/models: {error.problem}"
    assert str(error) == "For /mnt/models: It broke. Mend it."


def test_errors_that_carry_the_code_of_a_child() -> None:
    assert EngineFailed("x").exit_code == 20
    assert EngineFailed("x", exit_code=7).exit_code == 7
    assert PreparationFailed("x", 13).exit_code == 13
    assert EngineFailed.exit_code == 20, "the class itself is untouched"
