"""Every error Wellhead raises on purpose, with the exit code that goes with it.

    WellheadError
    ├── InvalidUri             10   the URI cannot be parsed, or its scheme is not served here
    ├── ObjectNotFound         11   no such bucket, folder or object
    ├── AccessDenied           12   the store refused the credentials
    ├── IncompleteCheckpoint   13   a shard is missing, truncated, garbage, or lacks a tensor
    ├── NotStreamable          14   streaming was demanded and cannot work
    ├── InsufficientSpace      15   DEST is too small or full
    ├── StoreUnavailable       16   network, DNS, TLS, time-out, 5xx after all retries
    ├── IntegrityError         17   an object changed under us, or came back wrong; a key that would leave DEST
    ├── ArgumentConflict       18   the user's vLLM arguments contradict the plan
    ├── InvalidConfiguration   19   a setting, secret or file that Wellhead needs is unusable
    ├── EngineFailed           20   vLLM ended by itself
    ├── HandoffFailed          21   the sealed credentials are missing, tampered with or out of date
    ├── UnreadablePlan         22   the load plan is damaged or of another major version
    ├── CheckFailed           23   `wellhead doctor` found an error
    └── Interrupted           143   SIGTERM or SIGINT

The codes are part of the interface (`docs/exit-codes.md`); 1 is left for the unexpected, 2 for wrong usage of
the command line. `str(error)` is one sentence for a person followed by what to do; it never holds a secret.
"""


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
    """The URI cannot be parsed, or its scheme is not served here."""

    exit_code = 10


class ObjectNotFound(WellheadError):
    """No such bucket, folder or object."""

    exit_code = 11


class AccessDenied(WellheadError):
    """The store refused the credentials, or got none."""

    exit_code = 12


class IncompleteCheckpoint(WellheadError):
    """A shard is missing, truncated or garbage, or lacks a tensor that the index promises."""

    exit_code = 13


class NotStreamable(WellheadError):
    """Streaming was demanded (`stream`, `runai_streamer://`) and cannot work."""

    exit_code = 14


class InsufficientSpace(WellheadError):
    """The destination is too small, or became full."""

    exit_code = 15


class StoreUnavailable(WellheadError):
    """The store could not be reached, or kept failing, until the retries were used up.

    Attributes:
        lasting: nobody answers there, and waiting does not help whoever asks for the first time: a host name that does
            not exist, a refused connection, an untrusted certificate.
    """

    exit_code = 16

    def __init__(self, problem: str, hint: str = "", *, lasting: bool = False) -> None:
        super().__init__(problem, hint)
        self.lasting = lasting


class IntegrityError(WellheadError):
    """An object changed under us, came back with the wrong size, or has a key that cannot be a file in DEST.

    Attributes:
        passing: other bytes came than were asked for, which a cache may do once.
    """

    exit_code = 17

    def __init__(self, problem: str, hint: str = "", *, passing: bool = False) -> None:
        super().__init__(problem, hint)
        self.passing = passing


class ArgumentConflict(WellheadError):
    """An argument for vLLM contradicts the plan."""

    exit_code = 18


class InvalidConfiguration(WellheadError):
    """A setting, secret or file that Wellhead needs is unusable."""

    exit_code = 19


class EngineFailed(WellheadError):
    """vLLM ended by itself; its own exit code is kept where it has one."""

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
    """`wellhead doctor` found an error, or a warning where those count."""

    exit_code = 23


class Interrupted(WellheadError):
    """SIGTERM or SIGINT arrived."""

    exit_code = 143
