"""The engine's credentials: its own, else what was kept in memory, else what the initializer sealed."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.expect import a
from tests.unit.builders import CONNECTION, make_plan, make_secret, shown
from wellhead_runtime.engine_credentials import engine_credentials
from wellhead_storage.credentials.s3 import Identity, S3Credentials
from wellhead_storage.credentials.seal import seal
from wellhead_storage.errors import HandoffFailed, InvalidConfiguration
from wellhead_storage.handoff import sealed_path
from wellhead_storage.plan import CredentialsTravel, Plan
from wellhead_storage.settings import Settings

SEALED = make_secret("AK-SEALED", "sk-sealed", "tok-sealed")
OWN = {"AWS_ACCESS_KEY_ID": "AK-OWN", "AWS_SECRET_ACCESS_KEY": "sk-own"}


@dataclass
class Pod:
    """A prepared model folder, a token and a tmpfs, as the engine's container sees them."""

    folder: Path
    token: Path
    memory: Path

    def credentials(self, plan: Plan | None = None, environment: dict[str, str] | None = None) -> S3Credentials:
        settings = Settings(service_account_token=self.token, memory_dir=self.memory)
        return a(S3Credentials, engine_credentials(plan or make_plan(), self.folder, settings, environment or {}))

    def reseal(self) -> None:
        sealed_path(self.folder).write_bytes(seal(SEALED, self.token.read_bytes().strip(), "s3://models/llama"))

    def kept(self) -> list[Path]:
        return [path for path in self.memory.rglob("*") if not path.is_dir()]


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    pod = Pod(folder=tmp_path / "models", token=tmp_path / "token", memory=tmp_path / "memory")
    sealed_path(pod.folder).parent.mkdir(parents=True)
    pod.memory.mkdir()
    pod.token.write_text("first token\n")
    pod.reseal()
    before = os.umask(0)  # the tests look at modes: the code must not lean on a friendly umask
    try:
        yield pod
    finally:
        os.umask(before)


def test_the_sealed_ones_are_opened(pod: Pod) -> None:
    found = pod.credentials()
    assert shown(found.secret) == shown(SEALED)
    assert found.connection == CONNECTION


def test_the_opened_ones_are_kept_for_this_user_only(pod: Pod) -> None:
    pod.credentials()
    (kept,) = pod.kept()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert str(os.getuid()) in kept.parent.name
    assert json.loads(kept.read_text())["secret_access_key"] == "sk-sealed"


def test_a_restarted_container_survives_a_rotated_token(pod: Pod) -> None:
    pod.credentials()
    pod.token.write_text("second token")
    assert shown(pod.credentials().secret) == shown(SEALED)


def test_a_restarted_container_survives_a_token_that_is_gone(pod: Pod) -> None:
    pod.credentials()
    pod.token.unlink()
    assert shown(pod.credentials().secret) == shown(SEALED)
    assert len(pod.kept()) == 1


def test_a_first_start_after_the_rotation_says_so(pod: Pod) -> None:
    pod.token.write_text("second token")
    with pytest.raises(HandoffFailed, match="token was rotated"):
        pod.credentials()
    assert pod.kept() == []


def test_no_token(pod: Pod) -> None:
    pod.token.unlink()
    with pytest.raises(HandoffFailed) as caught:
        pod.credentials()
    assert caught.value.problem == f"There is no service-account token at {pod.token} to open the credentials with."
    assert "automountServiceAccountToken" in caught.value.hint


def test_no_sealed_file(pod: Pod) -> None:
    sealed_path(pod.folder).unlink()
    with pytest.raises(HandoffFailed, match=r"credentials\.sealed cannot be read: No such file"):
        pod.credentials()


def test_a_sealed_file_of_other_weights(pod: Pod) -> None:
    weights = make_plan().weights.model_copy(update={"uri": "s3://models/other"})
    with pytest.raises(HandoffFailed):
        pod.credentials(make_plan(weights=weights))


def test_newly_sealed_credentials_replace_the_kept_ones(pod: Pod) -> None:
    pod.credentials()
    other = make_secret("AK-NEW", "sk-new")
    sealed_path(pod.folder).write_bytes(seal(other, b"first token", "s3://models/llama"))
    assert shown(pod.credentials().secret) == shown(other)


def test_without_a_tmpfs_it_works_once(pod: Pod, wellhead_log: pytest.LogCaptureFixture) -> None:
    pod.memory.rmdir()
    assert shown(pod.credentials().secret) == shown(SEALED)
    assert "a restart needs the same token" in wellhead_log.text
    assert "sk-sealed" not in wellhead_log.text


# What lies in the tmpfs is only trusted if it is ours ------------------------------------------------------------


PLANTED = json.dumps({"access_key_id": "AK-EVIL", "secret_access_key": "sk-evil"})


def plant(pod: Pod) -> Path:
    """Make the kept copy what somebody else would like it to be."""
    pod.credentials()
    (kept,) = pod.kept()
    kept.write_text(PLANTED)
    return kept


def test_the_planted_copy_would_be_believed_if_it_were_ours(pod: Pod) -> None:
    """So that the tests below test something."""
    plant(pod)
    assert shown(pod.credentials().secret)["access_key_id"] == "AK-EVIL"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o666, 0o601])
def test_a_file_that_others_can_touch_is_not_trusted(pod: Pod, mode: int) -> None:
    plant(pod).chmod(mode)
    assert shown(pod.credentials().secret) == shown(SEALED)


def test_a_link_is_not_followed(pod: Pod, tmp_path: Path) -> None:
    kept = plant(pod)
    elsewhere = tmp_path / "elsewhere"
    kept.rename(elsewhere)
    kept.symlink_to(elsewhere)
    assert shown(pod.credentials().secret) == shown(SEALED)
    assert json.loads(elsewhere.read_text())["access_key_id"] == "AK-EVIL", "nor written through"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_trusted(pod: Pod) -> None:
    os.chown(plant(pod), 12345, -1)
    assert shown(pod.credentials().secret) == shown(SEALED)


@pytest.mark.timeout(20)
def test_a_pipe_does_not_hang_the_start(pod: Pod) -> None:
    kept = plant(pod)
    kept.unlink()
    os.mkfifo(kept, 0o600)
    assert shown(pod.credentials().secret) == shown(SEALED)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"access_key_id": "AK"}', b"\xff\xfe", b'{"access_key_id": 1}']
)
def test_a_damaged_copy_is_ignored(pod: Pod, content: bytes) -> None:
    plant(pod).write_bytes(content)
    assert shown(pod.credentials().secret) == shown(SEALED)


# The container's own ---------------------------------------------------------------------------------------------


def test_its_own_win_over_the_sealed_ones(pod: Pod) -> None:
    found = pod.credentials(environment=OWN)
    assert shown(found.secret) == {"access_key_id": "AK-OWN", "secret_access_key": "sk-own", "session_token": None}
    assert pod.kept() == []


def test_its_own_win_where_nothing_can_be_opened(pod: Pod) -> None:
    pod.token.unlink()
    sealed_path(pod.folder).unlink()
    assert shown(pod.credentials(environment=OWN).secret)["access_key_id"] == "AK-OWN"


OWN_DIALECTS: dict[str, tuple[dict[str, str], Identity]] = {
    "keys": (OWN, "static"),
    "storage-config": (
        {"STORAGE_CONFIG": '{"type": "s3", "access_key_id": "AK-OWN", "secret_access_key": "sk-own"}'},
        "static",
    ),
    "OpenShift AI": (OWN | {"AWS_S3_ENDPOINT": "http://minio.minio.svc:9000"}, "static"),
    "anonymous": ({"awsAnonymousCredential": "true"}, "anonymous"),
}
CLOUD_IDENTITIES: dict[str, tuple[dict[str, str], Identity]] = {
    "IRSA": ({"AWS_ROLE_ARN": "arn", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, "web-identity"),
    "EKS Pod Identity": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x"}, "pod-identity"),
}


@pytest.mark.parametrize(("environment", "identity"), CLOUD_IDENTITIES.values(), ids=CLOUD_IDENTITIES)
def test_a_cloud_identity_that_every_container_gets_does_not_beat_a_sealed_key(
    pod: Pod, environment: dict[str, str], identity: Identity
) -> None:
    assert shown(pod.credentials(environment=environment).secret) == shown(SEALED)
    plan = make_plan(credentials=CredentialsTravel(handoff="none", identity=identity))
    found = pod.credentials(plan, environment)
    assert (found.connection.identity, found.secret) == (identity, None)


@pytest.mark.parametrize(("environment", "identity"), OWN_DIALECTS.values(), ids=OWN_DIALECTS)
def test_every_dialect_of_its_own(pod: Pod, environment: dict[str, str], identity: Identity) -> None:
    found = pod.credentials(environment=environment)
    assert found.connection.identity == identity
    assert (found.secret is not None) == (identity == "static")
    assert found.connection.endpoint_url == CONNECTION.endpoint_url, "what it does not say comes from the plan"
    assert found.connection.region == CONNECTION.region


def test_its_own_endpoint_and_region_win_even_over_sealed_keys(pod: Pod) -> None:
    found = pod.credentials(environment={"AWS_ENDPOINT_URL": "http://inside:9000", "AWS_DEFAULT_REGION": "own"})
    assert (found.connection.endpoint_url, found.connection.region) == ("http://inside:9000", "own")
    assert shown(found.secret) == shown(SEALED)


def test_its_own_are_malformed(pod: Pod) -> None:
    with pytest.raises(InvalidConfiguration, match="STORAGE_CONFIG is not a JSON object"):
        pod.credentials(environment={"STORAGE_CONFIG": "oops"})


# Nothing sealed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("travel", "identity"),
    [
        (CredentialsTravel(handoff="none", identity="anonymous"), "anonymous"),
        (CredentialsTravel(handoff="none", identity="web-identity"), "web-identity"),
        (CredentialsTravel(handoff="off", identity="static"), "static"),
    ],
)
def test_plans_that_hand_nothing_over(pod: Pod, travel: CredentialsTravel, identity: Identity) -> None:
    sealed_path(pod.folder).unlink()
    pod.token.unlink()
    link = CONNECTION.model_copy(update={"identity": identity})
    found = pod.credentials(make_plan(credentials=travel, connection=link))
    assert found == S3Credentials(connection=link)


# The CA bundle ---------------------------------------------------------------------------------------------------


def test_the_ca_bundle_is_found_where_the_folder_is_mounted_now(pod: Pod) -> None:
    copy = pod.folder / ".wellhead" / "ca-bundle.pem"
    copy.write_text("pem")
    link = CONNECTION.model_copy(update={"ca_bundle": "/somewhere/else/.wellhead/ca-bundle.pem"})
    assert pod.credentials(make_plan(connection=link)).connection.ca_bundle == str(copy)


def test_another_ca_bundle_of_the_plan_is_left_alone(pod: Pod) -> None:
    link = CONNECTION.model_copy(update={"ca_bundle": "/etc/ssl/corporate.crt"})
    assert pod.credentials(make_plan(connection=link)).connection.ca_bundle == "/etc/ssl/corporate.crt"


def test_its_own_ca_bundle_wins(pod: Pod, tmp_path: Path) -> None:
    own = tmp_path / "own.crt"
    own.write_text("pem")
    found = pod.credentials(environment={"AWS_CA_BUNDLE": str(own)})
    assert found.connection.ca_bundle == str(own)
