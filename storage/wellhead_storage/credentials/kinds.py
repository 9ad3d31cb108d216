"""The kinds of credentials and connections that there are, for whoever treats them alike."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wellhead_storage.credentials import azure, s3
from wellhead_storage.credentials.azure import AzureConnection, AzureCredentials, AzureSecret
from wellhead_storage.credentials.gcs import GcsConnection, GcsCredentials, GcsSecret
from wellhead_storage.credentials.s3 import S3Connection, S3Credentials, S3Secret

Credentials = S3Credentials | GcsCredentials | AzureCredentials
Secret = S3Secret | GcsSecret | AzureSecret
Connection = Annotated[S3Connection | GcsConnection | AzureConnection, Field(discriminator="kind")]

SECRET_VARIABLES = (*s3.SECRET_VARIABLES, *azure.SECRET_VARIABLES)
"""Variables of the streamer that hold secrets themselves."""

SECRET_KINDS: dict[str, type[Secret]] = {"s3": S3Secret, "gs": GcsSecret, "az": AzureSecret}
"""By the connection's kind."""


def join(connection: Connection, secret: Secret | None) -> Credentials:
    """A connection and a secret of its kind."""
    kinds: dict[str, type[Credentials]] = {"s3": S3Credentials, "gs": GcsCredentials, "az": AzureCredentials}
    return kinds[connection.kind].model_validate({"connection": connection, "secret": secret})


def in_the_clear(secret: Secret) -> dict[str, str]:
    """The values themselves, for a place that is as safe as they demand."""
    return {name: value.get_secret_value() for name, value in secret if value is not None}
