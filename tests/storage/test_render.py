"""`wellhead render` beside a real store: it looks at the model as `plan` does, and no secret is in what it prints."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.kserve import Cluster, build, recorded
from tests.storage.model import Model, one_tensor
from tests.storage.plan_command import report
from tests.storage.pod import LIMIT, WELLHEAD, Pod
from tests.support.counting_proxy import counting_proxy
from tests.unit.manifests import REPOSITORY, bundle

if TYPE_CHECKING:
    from tests.kserve.manifests import Manifest

UNREACHABLE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "WELLHEAD_RETRY_TIMEOUT": "0.1"}


def ask(pod: Pod, uri: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, outside of a pod."""
    variables = {**pod.environment, "TMPDIR": str(pod.folder), "KUBERNETES_SERVICE_HOST": "", **environment}
    return subprocess.run(
        [WELLHEAD, "render", "--uri", uri, "--name", "llama", *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd=pod.folder,
    )


def printed(pod: Pod, uri: str, *arguments: str, **environment: str) -> Manifest:
    """The object."""
    finished = ask(pod, uri, *arguments, **environment)
    assert finished.returncode == 0, finished.stderr
    (found,) = yaml.safe_load_all(finished.stdout)
    return dict(found)


def model_of(service: Manifest) -> Manifest:
    return dict(service["spec"]["predictor"]["model"])


def test_what_it_prints_becomes_the_pod(llama: Model, pod: Pod) -> None:
    service = printed(pod, llama.uri, "--gpus=2", "--mode=stream", "--", "--max-model-len", "4096")
    built = build(Cluster.with_stock(list(bundle("default").values())), service).pod
    assert recorded.initializer(built)["args"] == [llama.uri, "/mnt/models"]
    server = recorded.server(built)
    assert server["args"][-3:] == ["--tensor-parallel-size=2", "--max-model-len", "4096"]
    assert server["resources"]["limits"].keys() == {"memory", "nvidia.com/gpu"}
    assert built["metadata"]["annotations"]["wellhead.dev/mode"] == "stream"


def test_the_look_is_that_of_plan(model: Model, pod: Pod) -> None:
    with counting_proxy(model.store.endpoint_url) as proxy:
        service = printed(pod, model.uri, AWS_ENDPOINT_URL=proxy.endpoint_url)
    assert proxy.body_bytes < 100_000, "no weights are fetched"
    assert not list(pod.folder.glob("wellhead-plan-*"))
    assert model_of(service)["resources"]["requests"]["ephemeral-storage"] == "5Gi"


def test_mode_changes_the_sizes(llama: Model, pod: Pod) -> None:
    streamed, downloaded = (printed(pod, llama.uri, f"--mode={mode}") for mode in ("stream", "download"))
    more, less = (int(model_of(each)["resources"]["requests"]["memory"][:-2]) for each in (streamed, downloaded))
    assert more > less, "the streamer's buffers and clients"


def test_no_secret_is_printed(llama: Model, pod: Pod) -> None:
    finished = ask(pod, llama.uri)
    assert finished.returncode == 0
    for secret in (pod.environment["AWS_SECRET_ACCESS_KEY"], pod.environment["AWS_ACCESS_KEY_ID"]):
        assert secret not in finished.stdout + finished.stderr


@pytest.mark.parametrize("environment", [UNREACHABLE, {"AWS_SECRET_ACCESS_KEY": "wrong"}], ids=["nobody", "no access"])
def test_without_access_it_prints_the_service_without_sizes_and_says_why(
    llama: Model, pod: Pod, environment: dict[str, str]
) -> None:
    finished = ask(pod, llama.uri, **environment)
    assert finished.returncode == 0
    assert finished.stderr.startswith("note: The model cannot be looked at from here: ")
    assert model_of(yaml.safe_load(finished.stdout))["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
    assert "Without sizes of its own" in finished.stdout


def test_without_a_look_nobody_is_asked(llama: Model, pod: Pod) -> None:
    with counting_proxy(llama.store.endpoint_url) as proxy:
        finished = ask(pod, llama.uri, "--no-probe", AWS_ENDPOINT_URL=proxy.endpoint_url)
    assert finished.returncode == 0
    assert not proxy.requests
    assert finished.stderr == "note: The model was not looked at. So the service states no sizes.\n"


def test_a_file_in_place_of_stdout(llama: Model, pod: Pod) -> None:
    finished = ask(pod, llama.uri, "--output", "llama.yaml")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert (pod.folder / "llama.yaml").read_text() == ask(pod, llama.uri).stdout
    for place in (".", "none/llama.yaml", "/dev/null/llama.yaml"):
        refused = ask(pod, llama.uri, f"--output={place}")
        assert refused.returncode == 19
        assert f"{place} cannot be written" in refused.stderr
    assert ask(pod, llama.uri, "--output=/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device(), "written to, not replaced"


# What is wrong, and the exit code.
DEMANDS: dict[str, tuple[list[str], int]] = {
    "a name that KServe refuses": (["--name=Llama"], 19),
    "a mode that does not exist": (["--mode=fly"], 19),
    "no such folder": (["--uri=s3://models/none"], 11),
    "a scheme that nobody serves": (["--uri=ftp://models/llama"], 10),
    "an option that contradicts the plan": (["--", "--load-format=dummy"], 18),
    "a kind that does not exist": (["--kind=pod"], 2),
    "options without --": (["--max-model-len=8192"], 2),
}


@pytest.mark.parametrize("case", DEMANDS)
def test_a_mistake_is_a_sentence_and_a_code(llama: Model, pod: Pod, case: str) -> None:
    arguments, code = DEMANDS[case]
    finished = ask(pod, llama.uri, *arguments)
    assert (finished.returncode, finished.stdout) == (code, "")
    assert "Traceback" not in finished.stderr


def test_a_demand_that_the_model_cannot_meet(model: Model, pod: Pod) -> None:
    model.put("stray.safetensors", one_tensor("x"))
    assert ask(pod, model.uri, "--mode=stream").returncode == 14
    model.delete("model-00002-of-00003.safetensors")
    assert ask(pod, model.uri).returncode == 13


def test_the_page_shows_what_it_prints(llama: Model, pod: Pod) -> None:
    page = (REPOSITORY / "docs" / "render.md").read_text()
    command, shown = re.findall(r"```\n(.*?)```", page, re.DOTALL)[:2]
    assert command.startswith(f"wellhead render --uri {llama.uri} --name llama ")
    arguments = command.replace("\\\n", "").split()[6:]
    finished = ask(pod, llama.uri, *arguments)
    assert finished.stdout == shown
    assert report(pod, llama.uri)["plan"]["mode"] == "stream", "as the page says"
