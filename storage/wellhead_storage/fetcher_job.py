"""What the starter tells the fetcher: one line of JSON on its standard input, and open descriptors.

On a pipe and not in variables or arguments, because secrets are in it, which other processes could read there.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from wellhead_storage.credentials.kinds import SECRET_KINDS, Connection, Credentials, in_the_clear, join
from wellhead_storage.plan import PlannedFile


class Job(BaseModel):
    """One load.

    Attributes:
        uri: folder in the store.
        files: the shards, with the ETags that pin their edition.
        connection: how the store is reached.
        secret: what signs, in the clear; None where the connection's identity needs none.
        page: descriptor of the control page, held (`control_page.hold`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    files: tuple[PlannedFile, ...]
    connection: Connection
    secret: dict[str, str] | None
    page: int

    @property
    def credentials(self) -> Credentials:
        """Connection and secret together."""
        kind = SECRET_KINDS[self.connection.kind]
        return join(self.connection, kind.model_validate(self.secret) if self.secret else None)


def make_job(uri: str, files: tuple[PlannedFile, ...], credentials: Credentials, page: int) -> Job:
    """Put a job together."""
    secret = in_the_clear(credentials.secret) if credentials.secret else None
    return Job(uri=uri, files=files, connection=credentials.connection, secret=secret, page=page)
