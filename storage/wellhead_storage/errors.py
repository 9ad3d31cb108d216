"""Every error Wellhead raises on purpose, with the exit code that goes with it.

The codes are part of the interface; the table in `docs/exit-codes.md` is made of the classes and what they say up to
their attributes. `str(error)` is one sentence for a person followed by what to do; it never holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping

OTHER_CODES: Mapping[int, str] = {
    0: "Done, or an engine that stopped because it was asked to.",
    1: "Unexpected; please report it.",
    2: "Wrong usage of the command line.",
}
"""Codes without an error of their own."""


class WellheadError(Exception):
    """Base of the tree.

    Args:
        problem: one sentence that names the object it is about.
        hint: what to do about it, one sentence.
    """

    exit_code = 1

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem} {self.hint}".strip()


class InvalidUri(WellheadError):
    """The URI cannot be parsed, carries a password or signature, or its scheme is not served here."""

    exit_code = 10


class ObjectNotFound(WellheadError):
    """No such bucket, folder or object, or an empty model folder.

    `mirror`: nothing of the source is wanted, or the destination's bucket does not exist (it is never created).
    """

    exit_code = 11


class AccessDenied(WellheadError):
    """The store refused the credentials, or got none."""

    exit_code = 12


class IncompleteCheckpoint(WellheadError):
    """A shard is missing, empty, truncated or garbage, or lacks a tensor that the index promises.

    Also an archive that cannot be read, and a mirror that is not finished.
    """

    exit_code = 13


class NotStreamable(WellheadError):
    """Streaming was demanded (`stream`, `runai_streamer://`) and cannot work."""

    exit_code = 14


class InsufficientSpace(WellheadError):
    """The destination is too small, or became full.

    `mirror`: its directory's volume (asked before the first byte), or a quota of its store.
    """

    exit_code = 15


class StoreUnavailable(WellheadError):
    """The store could not be reached, or kept failing, until the retries were used up.

    Network, DNS, TLS, time-outs, 5xx.

    Attributes:
        lasting: nobody answers there, and waiting does not help whoever asks for the first time: a host name that does
            not exist, a refused connection, an untrusted certificate.
    """

    exit_code = 16

    def __init__(self, problem: str, hint: str = "", *, lasting: bool = False) -> None:
        super().__init__(problem, hint)
        self.lasting = lasting


class IntegrityError(WellheadError):
    """An object changed meanwhile, or came back damaged twice.

    Also a key that cannot be a file in the model's folder, and an archive with a way out of it.

    Attributes:
        passing: other bytes came than were asked for, which a cache may do once.
    """

    exit_code = 17

    def __init__(self, problem: str, hint: str = "", *, passing: bool = False) -> None:
        super().__init__(problem, hint)
        self.passing = passing


class ArgumentConflict(WellheadError):
    """An argument for vLLM contradicts the load plan, or no model is named."""

    exit_code = 18


class InvalidConfiguration(WellheadError):
    """A setting, secret or file that Wellhead needs is unusable.

    Also a loader (`wellhead.dev/loader`) that is demanded and cannot work. `mirror`: its directory cannot be written by
    this user, a `WELLHEAD_DST_*` credential is malformed, or `WELLHEAD_MIRROR` is no folder that can be written.
    """

    exit_code = 19


class EngineFailed(WellheadError):
    """vLLM ended with code 0 without being asked to, or failed and did not exit.

    Its own non-zero code is kept; 128 + n for signal n. Or the process that fetches its weights was killed.
    """

    exit_code = 20

    def __init__(self, problem: str, hint: str = "", *, exit_code: int = 20) -> None:
        super().__init__(problem, hint)
        self.exit_code = exit_code


class HandoffFailed(WellheadError):
    """The sealed credentials are missing, tampered with, or sealed with another token."""

    exit_code = 21


class UnreadablePlan(WellheadError):
    """The load plan is damaged, or of a major version that this Wellhead does not know."""

    exit_code = 22


class CheckFailed(WellheadError):
    """`wellhead doctor` found an error, or with `--strict` a warning."""

    exit_code = 23


class Interrupted(WellheadError):
    """SIGTERM or SIGINT arrived before the model was ready, or its mirror complete."""

    exit_code = 143
