"""`wellhead doctor` on what people write into a service: choices, settings, arguments, sizes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve.manifests import Manifest
from tests.kserve.recorded import account, annotated, inference_service, secret
from tests.unit.examining import NOT_GIVEN, findings, only, situation
from tests.unit.manifests import bundle
from wellhead_cluster.doctor.quantities import quantity
from wellhead_cluster.doctor.situation import Situation

GIB = 2**30
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
READER = (account("default", "creds"), secret("creds", KEYS))


def ours(model: dict[str, Any] | None = None, of: str = "default", **options: Any) -> Situation:
    """A service of our runtime with one GPU; further options are those of the situation."""
    limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    predictor = options.pop("predictor", {})
    service = inference_service({**limits, **(model or {})}, **predictor)
    service = annotated(service, **options.pop("annotations", {}))
    return situation(service, *bundle(of).values(), *READER, *options.pop("manifests", ()), **options)


class TestStorageContainer:
    def test_two_that_match(self) -> None:
        assert "default and wellhead" in only(ours(of="base"), "storage container", "warning").seen
        demanded = ours(of="base", annotations={"wellhead.dev__mode": "stream"})
        assert "throws dice" in only(demanded, "storage container", "error").why

    def test_one_by_name(self) -> None:
        found = ours(of="base", predictor={"storageContainerName": "wellhead"})
        assert "named by storageContainerName" in only(found, "storage container", "ok").seen
        assert "named by the runtime" in only(ours(), "storage container", "ok").seen

    def test_kserves_own_by_name_never_streams(self) -> None:
        found = ours(predictor={"storageContainerName": "default"})
        assert "nothing is streamed" in only(found, "storage container", "warning").why

    def test_others_may_exist_that_nobody_has_shown(self) -> None:
        found = ours({"storageUri": "runai_streamer://s3://models/llama"}, of="base", rest=NOT_GIVEN)
        assert "there may be others" in only(found, "storage container", "unknown").seen


class TestRelease:
    def test_variables_break_pods_up_to_0_19(self) -> None:
        assert "which has variables" in only(ours(release="0.19"), "KServe", "error").seen

    def test_a_name_has_no_effect_there(self) -> None:
        found = only(ours(release="0.18"), "storage container", "warning")
        assert "knows no storage container by name" in found.why

    @pytest.mark.parametrize(
        ("image", "version"),
        [
            ("kserve/kserve-controller:v0.20.0", "0.20"),
            ("registry.example:5000/kserve-controller:v0.21.1@sha256:0", "0.21"),
            ("registry.example:5000/kserve-controller@sha256:0", "unknown"),
            ("kserve/kserve-controller:latest", "unknown"),
        ],
    )
    def test_the_version_is_the_controllers(self, image: str, version: str) -> None:
        controller: Manifest = {
            "kind": "Deployment",
            "metadata": {"name": "kserve-controller-manager", "namespace": "kserve"},
            "spec": {"template": {"spec": {"containers": [{"name": "manager", "image": image}]}}},
        }
        found = ours(release="", manifests=(controller,))
        assert str(found.release) == version
        assert bool(findings(found, "KServe", "unknown")) == (version == "unknown")


class TestRuntime:
    def test_a_name_that_is_nearly_right(self) -> None:
        assert only(ours({"runtime": "welhead-vllm"}), "runtime", "error").fix == "Did you mean wellhead-vllm?"

    def test_a_mode_for_a_runtime_that_cannot_stream(self) -> None:
        service = annotated(
            inference_service({"modelFormat": {"name": "sklearn"}}),
            wellhead__dev="",
            **{"wellhead.dev__mode": "stream"},
        )
        found = situation(service, *bundle("default").values(), *READER)
        assert "is not one of Wellhead's" in only(found, "runtime", "warning").seen

    def test_not_given(self) -> None:
        found = situation(inference_service({"runtime": "wellhead-vllm"}), rest=NOT_GIVEN)
        assert NOT_GIVEN in only(found, "runtime", "unknown").why


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "fix"),
        [
            ("wellhead.dev__mod", "Did you mean wellhead.dev/mode?"),
            ("wellhead.io__mode", "Did you mean wellhead.dev/mode?"),
            ("wellhead.dev__connections", "Known is wellhead.dev/mode."),
        ],
    )
    def test_a_misspelt_annotation(self, name: str, fix: str) -> None:
        assert only(ours(annotations={name: "stream"}), "settings", "warning").fix == fix

    def test_a_variable_that_belongs_to_the_init_container(self) -> None:
        found = only(ours({"env": [{"name": "WELLHEAD_MODE", "value": "stream"}]}), "settings", "warning")
        assert "on the server they have no effect" in found.why
        assert "wellhead.dev/mode" in found.fix

    def test_a_misspelt_variable(self) -> None:
        found = only(ours({"env": [{"name": "WELLHEAD_CACHEDIR", "value": "/x"}]}), "settings", "warning")
        assert found.fix == "Did you mean WELLHEAD_CACHE_DIR?"

    def test_a_bad_value_on_the_server(self) -> None:
        found = only(ours({"env": [{"name": "WELLHEAD_LOG_LEVEL", "value": "loud"}]}), "settings", "error")
        assert "WELLHEAD_LOG_LEVEL='loud' is not valid" in found.seen


class TestArguments:
    def test_another_loader_contradicts_a_demand_to_stream(self) -> None:
        loader = {"args": ["--load-format=dummy"]}
        demanded = ours(loader, annotations={"wellhead.dev__mode": "stream"})
        assert "--load-format dummy contradicts the load plan" in only(demanded, "arguments", "error").seen
        assert "if the model turns out" in only(ours(loader), "arguments", "warning").why
        assert not findings(
            ours(loader, annotations={"wellhead.dev__mode": "download"}), "arguments", "warning", "error"
        )

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--model=s3://models/other"], "The model is named twice"),
            (["--model-loader-extra-config={"], "is not a JSON object"),
            (["--model-loader-extra-config"], "has no value"),
        ],
    )
    def test_arguments_that_contradict_each_other(self, arguments: list[str], words: str) -> None:
        assert words in only(ours({"args": arguments}), "arguments", "error").seen

    def test_an_extra_config_that_the_streamer_does_not_know(self) -> None:
        extra = {"args": ['--model-loader-extra-config={"threads": 4}']}
        found = ours(extra, annotations={"wellhead.dev__mode": "stream"})
        assert "has the key 'threads'" in only(found, "arguments", "error").seen


class TestAccelerators:
    @pytest.mark.parametrize(
        ("count", "arguments", "level"),
        [
            ("2", ["--tensor-parallel-size=2"], "ok"),
            ("4", ["-tp", "2", "-pp", "2"], "ok"),
            ("1", ["--tensor-parallel-size=2"], "error"),
            ("2", ["--tensor-parallel-size=2", "--pipeline-parallel-size=2"], "error"),
            ("2", [], "warning"),
        ],
    )
    def test_gpus_against_parallelism(self, count: str, arguments: list[str], level: Any) -> None:
        model = {"resources": {"limits": {"nvidia.com/gpu": count}}, "args": arguments}
        assert count in only(ours(model), "accelerators", level).seen

    def test_none_at_all(self) -> None:
        assert "asks for no GPU" in only(ours({"resources": {}}), "accelerators", "warning").seen
        assert not findings(ours({"resources": {}, "runtime": "wellhead-vllm-cpu"}), "accelerators")


class TestSizes:
    def limited(self, **limits: str) -> dict[str, Any]:
        return {"resources": {"limits": {"nvidia.com/gpu": "1", **limits}}}

    def test_the_largest_tensor_against_the_memory_limit(self) -> None:
        model = self.limited(memory="2Gi")
        assert "the largest tensor" in only(ours(model, largest=3 * GIB), "memory and disk", "error").seen
        assert not findings(ours(model, largest=GIB), "memory and disk", "error", "unknown")
        assert "--largest-tensor" in only(ours(model), "memory and disk", "unknown").fix

    def test_the_model_against_the_pods_disk(self) -> None:
        model = self.limited(**{"ephemeral-storage": "10Gi"})
        downloads = {"wellhead.dev__mode": "download"}
        assert "10.0 GiB" in only(ours(model, size=20 * GIB, annotations=downloads), "memory and disk", "error").seen
        assert "if it is downloaded" in only(ours(model, size=20 * GIB), "memory and disk", "warning").seen
        assert not findings(
            ours(model, size=20 * GIB, annotations={"wellhead.dev__mode": "stream"}), "memory and disk", "warning"
        )

    def test_a_volume_in_memory_counts_against_the_init_container(self) -> None:
        volume = {"name": "kserve-provision-location", "emptyDir": {"medium": "Memory", "sizeLimit": "64Gi"}}
        found = ours(size=20 * GIB, predictor={"volumes": [volume]}, annotations={"wellhead.dev__mode": "download"})
        assert "1.0 GiB is the memory limit of the init container" in only(found, "memory and disk", "error").seen

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("1Gi", GIB),
            ("1.5Ki", 1536),
            ("2G", 2 * 10**9),
            ("1e3", 1000),
            ("500m", 0),
            ("7", 7),
            ("Gi", None),
            ("", None),
        ],
    )
    def test_quantities(self, text: str, number: int | None) -> None:
        assert quantity(text) == number


class TestPatience:
    def test_a_short_startup_probe(self) -> None:
        short = {"startupProbe": {"periodSeconds": 10, "failureThreshold": 12}}
        assert "120 s" in only(ours(short), "patience", "warning").seen
        assert not findings(ours(), "patience", "warning")

    def test_a_probe_against_the_models_size(self) -> None:
        assert "a second" in only(ours(size=4000 * GIB), "patience", "warning").seen
        assert not findings(ours(size=140 * GIB), "patience", "warning")

    def test_knative_gives_up_before_the_probe(self) -> None:
        mode = {"serving.kserve.io__deploymentMode": "Knative"}
        assert "600 s" in only(ours(annotations=mode), "patience", "warning").seen
        long = {**mode, "serving.knative.dev__progress-deadline": "120m"}
        assert not findings(ours(annotations=long), "patience", "warning")


CACHE: Manifest = {
    "kind": "LocalModelCache",
    "metadata": {"name": "llama"},
    "spec": {"sourceModelUri": "s3://models", "modelSize": "20Gi", "nodeGroups": ["gpus"]},
}
ENABLED: Manifest = {
    "kind": "ConfigMap",
    "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
    "data": {"localModel": '{"enabled": true}'},
}


class TestCache:
    def test_it_overrides_streaming(self) -> None:
        found = ours(manifests=(CACHE, ENABLED), annotations={"wellhead.dev__mode": "stream"})
        assert "nothing is streamed" in only(found, "local cache", "warning").why
        assert "none is used" in only(found, "storage container", "ok").seen

    def test_it_has_no_effect_where_kserve_does_not_enable_it(self) -> None:
        assert "has no effect" in only(ours(manifests=(CACHE,)), "local cache", "warning").why

    def test_a_service_may_opt_out(self) -> None:
        out = {"serving.kserve.io__disable-localmodel": "true"}
        assert not findings(ours(manifests=(CACHE, ENABLED), annotations=out), "local cache")


class TestShape:
    def test_no_model_at_all(self) -> None:
        assert (
            "names no model" in only(ours({"storageUri": None, "args": ["--model=s3://b/m"]}), "service", "error").seen
        )

    def test_a_probe_of_another_kind(self) -> None:
        probe = {"readinessProbe": {"tcpSocket": {"port": 8080}}}
        assert "asks in 2 ways" in only(ours(probe), "service", "error").seen

    def test_a_volume_of_another_kind_than_the_runtimes(self) -> None:
        volume = {"name": "cache", "persistentVolumeClaim": {"claimName": "c"}}
        assert "2 kinds" in only(ours(predictor={"volumes": [volume]}), "service", "error").seen

    def test_a_mount_without_its_volume(self) -> None:
        mount = {"volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]}
        assert "mounts nowhere" in only(ours(mount), "service", "error").seen

    def test_an_endpoint_where_a_uri_may_not_name_one(self) -> None:
        found = ours({"storageUri": "gs://models/llama?endpoint=http://x"})
        assert "names an endpoint" in findings(found, "URI", "error")[0].seen
