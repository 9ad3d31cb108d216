"""LLMInferenceServices: configs by container name, the init container, adapters, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import NotModelledError, Outcome, Refused, build, recorded
from tests.kserve.manifests import Manifest


def config(name: str, namespace: str = "kserve", **spec: Any) -> Manifest:
    return {"kind": "LLMInferenceServiceConfig", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def built(service: Manifest, *manifests: Manifest) -> Outcome:
    return build(recorded.cluster(*manifests), service)


def refusal(service: Manifest, *manifests: Manifest) -> Refused:
    with pytest.raises(Refused) as caught:
        built(service, *manifests)
    assert caught.value.stage == "reconcile"
    return caught.value


def main(pod: Manifest) -> Manifest:
    return recorded.named(pod["spec"]["containers"], "main")


def call(container: Manifest) -> str:
    return str(container["command"][2].splitlines()[-1])


def test_without_configs_of_ours_kserves_own_images_run() -> None:
    pod = built(recorded.llm_service()).pod
    assert recorded.initializer(pod)["image"] == "kserve/storage-initializer:latest"
    assert main(pod)["image"].startswith("ghcr.io/llm-d/")
    assert '--served-model-name "llama" "publishers/team-a/models/llama"' in call(main(pod))


def test_later_configs_win_and_the_service_itself_wins_over_all() -> None:
    def images(tag: str) -> Manifest:
        return {"containers": [{"name": "main", "image": f"i:{tag}"}]}

    configs = [config("a", template=images("a")), config("b", template=images("b"))]
    assert main(built(recorded.llm_service("s3://m", "a", "b"), *configs).pod)["image"] == "i:b"
    own = recorded.llm_service("s3://m", "a", "b", template=images("own"))
    assert main(built(own, *configs).pod)["image"] == "i:own"


def test_a_config_of_the_namespace_hides_kserves() -> None:
    template = {"containers": [{"name": "main", "image": "own:1"}]}
    own = config("wellhead", recorded.NAMESPACE, template=template)
    assert main(built(recorded.llm_service("s3://m", "wellhead"), own).pod)["image"] == "own:1"


def test_a_config_that_does_not_exist_is_refused() -> None:
    assert refusal(recorded.llm_service("s3://m", "nowhere")).message == (
        'failed to get LLMInferenceServiceConfig "nowhere" from namespaces ["team-a", "kserve"]: '
        'LLMInferenceServiceConfig.serving.kserve.io "nowhere" not found'
    )


def test_name_command_and_arguments_of_the_initializer_are_kserves() -> None:
    declared = {"name": "storage-initializer", "image": "own:1", "command": ["x"], "args": ["y"]}
    pod = built(recorded.llm_service(template={"initContainers": [declared]})).pod
    assert recorded.initializer(pod)["image"] == "own:1"
    assert recorded.initializer(pod)["args"] == ["s3://models/llama", "/mnt/models"]
    assert "command" not in recorded.initializer(pod)


def test_other_init_containers_run_before_it() -> None:
    first = {"name": "first", "image": "i:1"}
    pod = built(recorded.llm_service("s3://models/llama", "wellhead", template={"initContainers": [first]})).pod
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["first", "storage-initializer"]


def test_storage_containers_have_no_say() -> None:
    outcome = built(recorded.llm_service())
    assert (outcome.storage_container, outcome.candidates) == (None, ())


def test_hugging_face_defaults_come_only_with_hf() -> None:
    names = recorded.environment(recorded.initializer(built(recorded.llm_service("hf://o/m")).pod))
    assert "HF_XET_HIGH_PERFORMANCE" in names
    assert recorded.environment(recorded.initializer(built(recorded.llm_service()).pod)) == {}


def test_annotations_of_the_object_stay_behind_but_for_a_few() -> None:
    service = recorded.llm_service(annotations={"wellhead.dev/mode": "stream"}, labels={"team": "a"})
    service["metadata"]["annotations"] = {"wellhead.dev/engine": "vllm", "prometheus.io/scrape": "true"}
    pod = built(service).pod
    assert pod["metadata"]["annotations"] == {"wellhead.dev/mode": "stream", "prometheus.io/scrape": "true"}
    assert pod["metadata"]["labels"]["team"] == "a"


def test_prefill_has_annotations_of_its_own() -> None:
    service = recorded.llm_service(annotations={"a": "decode"}, prefill={"annotations": {"a": "prefill"}})
    decode, prefill = built(service).pods
    assert decode["metadata"]["annotations"] == {"a": "decode"}
    assert prefill["metadata"]["annotations"] == {"a": "prefill"}


def test_the_account_behind_a_routing_sidecar_has_the_defaults_secrets() -> None:
    default = recorded.account("default", "s3-creds")
    decode, prefill = built(recorded.llm_service(prefill={}), default).pods
    assert decode["spec"]["serviceAccountName"] == "llama-kserve"
    assert prefill["spec"]["serviceAccountName"] == "default"
    for pod in (decode, prefill):
        assert "AWS_ACCESS_KEY_ID" in recorded.environment(recorded.initializer(pod))


def test_the_pool_is_named_to_the_sidecar_where_there_is_a_router() -> None:
    decode, _ = built(recorded.llm_service(prefill={}, router={"scheduler": {}})).pods
    sidecar = recorded.named(decode["spec"]["initContainers"], "llm-d-routing-sidecar")
    assert recorded.environment(sidecar)["INFERENCE_POOL_NAME"] == "llama-inference-pool"


def test_data_parallel_prefill_and_decode_are_leader_worker_sets() -> None:
    parallelism = {"data": 4, "dataLocal": 2}
    prefill = {"worker": {}, "parallelism": parallelism}
    outcome = built(recorded.llm_service("s3://m", worker={}, parallelism=parallelism, prefill=prefill))
    assert [each["metadata"]["name"] for each in outcome.workloads] == ["llama-kserve-mn", "llama-kserve-mn-prefill"]
    assert [each["spec"]["leaderWorkerTemplate"]["size"] for each in outcome.workloads] == [2, 2]
    assert len(outcome.pods) == 4
    assert all(recorded.initializer(pod)["args"] == ["s3://m", "/mnt/models"] for pod in outcome.pods)
    assert ["--headless" in call(main(pod)) for pod in outcome.pods] == [False, True, False, True]


def test_the_model_server_mounts_a_claim_or_an_image() -> None:
    claim = built(recorded.llm_service("pvc://claim/llama", "wellhead")).pod
    assert "initContainers" not in claim["spec"], "a declared initializer has nothing to do"
    image = built(recorded.llm_service("oci://r/x:1", "wellhead")).pod
    assert [each["name"] for each in image["spec"]["initContainers"]] == ["modelcar-init"]
    assert recorded.environment(main(image))["MODEL_INIT_MODE"] == "async"


OFF: Manifest = {"storageInitializer": {"enabled": False}}


class TestInitializerOff:
    def test_any_scheme_is_accepted_and_nothing_is_mounted(self) -> None:
        pod = built(recorded.llm_service("az://container/x", **OFF)).pod
        assert "initContainers" not in pod["spec"]
        assert "/mnt/models" not in [mount["mountPath"] for mount in main(pod)["volumeMounts"]]

    def test_one_of_the_users_own_stays_as_it_is(self) -> None:
        declared = {"name": "storage-initializer", "image": "own:1", "args": ["{{ .Spec.Model.URI }}", "/x"]}
        service = recorded.llm_service("az://c/x", **OFF, template={"initContainers": [declared]})
        assert recorded.initializer(built(service).pod)["args"] == ["az://c/x", "/x"]

    def test_what_is_no_uri_is_refused_all_the_same(self) -> None:
        assert refusal(recorded.llm_service("models/llama", **OFF)).message.endswith("invalid model URI: models/llama")


class TestPlaceholders:
    def arguments(self, *arguments: str) -> list[str]:
        declared = {"name": "own", "image": "own:1", "args": list(arguments)}
        service = recorded.llm_service("s3://b/m?a=1&b=<2>", template={"initContainers": [declared]})
        service["metadata"]["annotations"] = {"mode": 'it\'s "x"'}
        args = recorded.named(built(service).pod["spec"]["initContainers"], "own")["args"]
        assert isinstance(args, list)
        return args

    def test_values_are_not_escaped_for_html(self) -> None:
        assert self.arguments("{{ .Spec.Model.URI }}", "{{ .ObjectMeta.Name }}", "{{ .Name }}/{{ .Namespace }}") == [
            *("s3://b/m?a=1&b=<2>", "llama"),
            "llama/team-a",
        ]

    def test_the_model_has_the_services_name_unless_it_has_one(self) -> None:
        assert self.arguments("{{ .Spec.Model.Name }}") == ["llama"]

    def test_child_names(self) -> None:
        assert self.arguments("{{ ChildName .Name `-x` }}") == ["llama-x"]
        with pytest.raises(NotModelledError, match="longer"):
            self.arguments(f"{{{{ ChildName .Name `-{'x' * 63}` }}}}")

    def test_annotations_that_are_not_set_are_empty(self) -> None:
        assert self.arguments("x{{ index .Spec.Annotations `mode` }}{{ index .Spec.Labels `mode` }}") == ["x"]

    def test_a_value_with_quotes_breaks_the_json(self) -> None:
        with pytest.raises(Refused, match="failed to unmarshal config from template"):
            self.arguments("{{ index .Annotations `mode` }}")

    def test_what_is_no_template_is_refused(self) -> None:
        with pytest.raises(Refused, match="failed to parse template config: template: config:1: function"):
            self.arguments("{{ bos_token }}")

    @pytest.mark.parametrize("argument", ["{{ .Spec.Nope }}", "{{ shutdownTimeout .Spec.Template 15 }}"])
    def test_what_is_not_known_is_not_guessed(self, argument: str) -> None:
        with pytest.raises(NotModelledError):
            self.arguments(argument)


class TestAdapters:
    def service(self, *adapters: tuple[str, str], uri: str = "s3://m", **spec: Any) -> Manifest:
        lora = {"adapters": [{"name": name, "uri": each} for name, each in adapters]}
        service = recorded.llm_service(uri, **spec)
        service["spec"]["model"]["lora"] = lora
        return service

    def test_they_are_fetched_in_the_order_of_their_names(self) -> None:
        pod = built(self.service(("z", "s3://z"), ("a b", "hf://o/a"))).pod
        assert recorded.initializer(pod)["args"] == [
            *("s3://m", "/mnt/models"),
            *("hf://o/a", "/mnt/lora/a-b"),
            *("s3://z", "/mnt/lora/z"),
        ]
        assert "HF_XET_HIGH_PERFORMANCE" in recorded.environment(recorded.initializer(pod))
        assert main(pod)["args"][:3] == [
            "--enable-lora",
            "--lora-modules",
            """'{"name":"a b","path":"/mnt/lora/a-b"}'""",
        ]

    def test_limits_and_the_users_arguments_follow(self) -> None:
        template = {"containers": [{"name": "main", "args": ["--own"]}]}
        service = self.service(("a", "s3://a"), template=template)
        service["spec"]["model"]["lora"] |= {"maxRank": 64, "maxAdapters": 2, "maxCpuAdapters": 4}
        arguments = main(built(service).pod)["args"]
        assert arguments[:4] == ["--enable-lora", "--max-lora-rank=64", "--max-loras=2", "--max-cpu-loras=4"]
        assert arguments[-1] == "--own"

    def test_a_user_who_lists_modules_is_left_alone(self) -> None:
        template = {"containers": [{"name": "main", "args": ["--lora-modules", "x=/y"]}]}
        assert main(built(self.service(("a", "s3://a"), template=template)).pod)["args"] == ["--lora-modules", "x=/y"]

    def test_one_on_a_claim_is_mounted(self) -> None:
        pod = built(self.service(("a", "pvc://claim/sql"))).pod
        assert recorded.named(main(pod)["volumeMounts"], "lora-pvc-a") == {
            "name": "lora-pvc-a",
            "mountPath": "/mnt/lora/a",
            "readOnly": True,
            "subPath": "sql",
        }
        assert recorded.initializer(pod)["args"] == ["s3://m", "/mnt/models"]

    def test_a_model_on_a_claim_may_have_adapters_that_are_fetched(self) -> None:
        pod = built(self.service(("a", "s3://a"), uri="pvc://claim/m")).pod
        assert recorded.initializer(pod)["args"] == ["s3://a", "/mnt/lora/a"]

    @pytest.mark.parametrize(
        ("uri", "spec", "words"),
        [
            ("oci://r/a", {}, "oci:// is not supported for LoRA adapters"),
            ("gs://b/a", {}, 'unsupported URI scheme "gs://"'),
            ("a", {}, 'invalid URI "a"'),
            ("s3://a", OFF, "hf:// and s3:// require the storage initializer"),
            ("pvc://a", OFF, "pvc:// requires a mounted volume"),
        ],
    )
    def test_those_that_are_refused(self, uri: str, spec: Manifest, words: str) -> None:
        assert refusal(self.service(("sql", uri), **spec)).message.startswith(f'LoRA adapter "sql": {words}')


@pytest.mark.parametrize("uri", ["az://c/x", "runai-x://s3://b/x", "https://h/x", "oci+fetch://r/x:1"])
def test_other_schemes_are_refused_while_the_initializer_is_on(uri: str) -> None:
    refused = refusal(recorded.llm_service(uri, "wellhead"))
    assert refused.message.endswith(f"unsupported schema in model URI: {uri}")


@pytest.mark.parametrize("spec", [{}, OFF], ids=["on", "off"])
def test_a_scheme_with_an_underscore_cannot_be_read_at_all(spec: Manifest) -> None:
    """Go's net/url takes it for a path; so does KServe, whose URIs are of that type."""
    with pytest.raises(Refused) as caught:
        built(recorded.llm_service("runai_streamer://s3://b/x", **spec))
    assert caught.value.stage == "LLMInferenceService"
    assert caught.value.message == ('parse "runai_streamer://s3://b/x": first path segment in URL cannot contain colon')


def test_an_account_that_does_not_exist_is_refused() -> None:
    refused = refusal(recorded.llm_service(template={"serviceAccountName": "nowhere"}))
    assert refused.message == (
        "failed to reconcile service account: failed to get expected main deployment: failed to fetch existing single "
        'node main service account team-a/nowhere: ServiceAccount "nowhere" not found'
    )


def test_a_secret_that_does_not_exist_is_refused() -> None:
    own = recorded.account("own", "nowhere")
    refused = refusal(recorded.llm_service(template={"serviceAccountName": "own"}), own)
    assert refused.message.endswith('failed to attach model artifacts to main deployment: secrets "nowhere" not found')


@pytest.mark.parametrize("spec", [{"tracing": {"endpoint": "x"}}, {"kvCacheOffloading": {"enabled": True}}])
def test_what_nobody_has_recorded_is_not_guessed(spec: Manifest) -> None:
    with pytest.raises(NotModelledError):
        built(recorded.llm_service(**spec))
