"""Values that cannot be right are refused by Helm, in words, before anything reaches a cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import CHART, RefusedValues, render
from tests.kserve import recorded

ON = {"enabled": True}
SERVICE = recorded.inference_service()["spec"]


def refusal(values: dict[str, Any], namespace: str = "team-a") -> str:
    with pytest.raises(RefusedValues) as caught:
        render(values, namespace)
    return str(caught.value)


def components(**of: dict[str, Any]) -> dict[str, Any]:
    return {"components": {name: {**ON, **own} for name, own in of.items()}}


def serving(**predictor: Any) -> dict[str, Any]:
    return {"inferenceServices": {"llama": {"spec": {"predictor": {**SERVICE["predictor"], **predictor}}}}}


# By the schema ----------------------------------------------------------------------------------------------------

TYPING = [
    ({"mdoe": "stream"}, "at '': additional properties 'mdoe' not allowed"),
    ({"mode": "streem"}, "at '/mode': value must be one of '', 'auto', 'stream', 'download'"),
    ({"loadFormat": "runai-streamer"}, "at '/loadFormat': value must be one of '', 'auto'"),
    ({"modelLoaderExtraConfig": [1]}, "at '/modelLoaderExtraConfig': got array, want"),
    ({"extraArgs": "--a"}, "at '/extraArgs': got string, want array"),
    ({"extraEnv": [{"name": "A", "value": 1}]}, "at '/extraEnv/0/value': got number, want string"),
    ({"extraEnv": [{"name": "A"}]}, "missing property 'value'"),
    (
        {"extraEnv": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        "at '/extraEnv/0/valueFrom': additional properties 'fieldRef' not allowed",
    ),
    ({"sharedMemorySize": "8 GB"}, "at '/sharedMemorySize'"),
    ({"images": {"registry": "https://registry.example/"}}, "at '/images/registry'"),
    ({"images": {"runtime": {"tag": 1}}}, "at '/images/runtime/tag': got number, want string"),
    ({"images": {"runtime": {"digest": "sha256:1"}}}, "at '/images/runtime/digest'"),
    ({"images": {"runtime": {"pullPolicy": "Sometimes"}}}, "'Always', 'IfNotPresent', 'Never'"),
    ({"initializer": {"resources": {"limit": {}}}}, "additional properties 'limit' not allowed"),
    ({"initializer": {"resources": {"limits": {"memory": "1GiB"}}}}, "at '/initializer/resources/limits/memory'"),
    ({"runtimes": {"gpu": {"tolerations": [{"efect": "NoSchedule"}]}}}, "additional properties 'efect' not allowed"),
    ({"llm": True}, "at '/llm': got boolean, want object"),
    ({"components": {"auto-select": ON}}, "at '/components': additional properties 'auto-select' not allowed"),
    (components(s3Irsa={"roleArn": "models"}), "at '/components/s3Irsa/roleArn'"),
    (components(azureWorkloadIdentity={"clientId": "x"}), "at '/components/azureWorkloadIdentity/clientId'"),
    (components(privateCa={"certificates": "ca.crt"}), "at '/components/privateCa/certificates'"),
    (components(knative={"progressDeadline": "2h"}), "at '/components/knative/progressDeadline'"),
    ({"inferenceServices": {"llama": {"predictor": {}}}}, "missing property 'spec'"),
    (serving(volumes="cache"), "at '/inferenceServices/llama/spec/predictor/volumes': got string, want array"),
    ({"inferenceServices": {"Llama": {"spec": SERVICE}}}, "invalid propertyName 'Llama'"),
]


@pytest.mark.parametrize(("values", "words"), TYPING)
def test_a_typing_mistake_is_named_with_its_place(values: dict[str, Any], words: str) -> None:
    assert words in refusal(values)


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for key, value in schema.items():
            yield from nodes(value, f"{path}/{key}")


def test_only_what_others_define_may_have_any_field() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    free = {
        path
        for path, node in nodes(schema)
        if node.get("type") == "object" and node.get("additionalProperties", True) is True
    }
    theirs = ("Affinity", "/predictor", "/spec")
    of_a_predictor = "/spec/properties/predictor/properties/"
    assert {path for path in free if not path.endswith(theirs) and of_a_predictor not in path} == {"/properties/global"}
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#", "the newest that Helm 3 knows, too"


# By the chart's own checks ----------------------------------------------------------------------------------------

KEYS = {"accessKeyId": "AKEXAMPLE", "secretAccessKey": "sk-very-secret"}
COMBINATIONS = [
    ({"mode": "download", "loadFormat": "runai_streamer"}, 'mode "download" contradicts loadFormat "runai_streamer"'),
    ({"mode": "stream", "loadFormat": "safetensors"}, 'mode "stream" contradicts loadFormat "safetensors"'),
    ({"mode": "auto", "loadFormat": "pt"}, 'mode "auto" contradicts loadFormat "pt"'),
    ({"mode": "download", **components(isolated={})}, 'mode "download" has no effect with components.isolated'),
    ({"loadFormat": "pt", **components(isolated={})}, 'loadFormat "pt" has no effect with components.isolated'),
    ({"modelLoaderExtraConfig": {"concurrency": 16}}, "name that format in loadFormat"),
    ({"mode": "stream", "modelLoaderExtraConfig": {"concurrency": 16}}, "name that format in loadFormat"),
    ({"loadFormat": "runai_streamer", "modelLoaderExtraConfig": "{"}, "modelLoaderExtraConfig is not a JSON object"),
    ({"loadFormat": "runai_streamer", "modelLoaderExtraConfig": "[1]"}, "modelLoaderExtraConfig is not a JSON object"),
    (
        {"loadFormat": "runai_streamer", "modelLoaderExtraConfig": {"threads": 4}},
        'modelLoaderExtraConfig.threads is unknown to loadFormat "runai_streamer": known are concurrency, distributed',
    ),
    (
        {"loadFormat": "runai_streamer", "modelLoaderExtraConfig": {"concurrency": "16"}},
        'modelLoaderExtraConfig.concurrency has to be a whole number, not "16"',
    ),
    (
        {"loadFormat": "runai_streamer", "modelLoaderExtraConfig": '{"distributed": 1}'},
        "modelLoaderExtraConfig.distributed has to be true or false, not 1",
    ),
    (
        {"loadFormat": "runai_streamer_sharded", "modelLoaderExtraConfig": {"concurrency": 16}},
        'modelLoaderExtraConfig.concurrency is unknown to loadFormat "runai_streamer_sharded": known are pattern',
    ),
    ({"extraArgs": ["--load_format", "pt"]}, "extraArgs has --load-format: state it in loadFormat"),
    ({"extraArgs": ["--model-loader-extra-config.concurrency=1"]}, "state it in modelLoaderExtraConfig"),
    ({"extraArgs": ["--served-model-name=a"]}, "extraArgs has --served-model-name, which KServe and Wellhead set"),
    ({"extraArgs": ["--a={{.Name}}"]}, 'extraArgs has "{{" in it'),
    ({"extraEnv": [{"name": "HOME", "value": "/"}]}, "extraEnv has HOME, which the chart sets itself: leave it out"),
    ({"extraEnv": [{"name": "WELLHEAD_MODE", "value": "stream"}]}, "state it in mode"),
    ({"extraEnv": [{"name": "VLLM_ADDITIONAL_ARGS", "value": "--a"}]}, "state it in extraArgs"),
    ({"extraEnv": [{"name": "PYTHONPATH", "value": "/x"}]}, "extraEnv has PYTHONPATH, which KServe refuses"),
    ({"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "extraEnv has A twice"),
    (
        {"initializer": {"extraEnv": [{"name": "WELLHEAD_ENGINE", "value": "x"}]}},
        "initializer.extraEnv has WELLHEAD_ENGINE",
    ),
    (
        {"initializer": {"extraEnv": [{"name": "A", "value": "1"}]}, **components(isolated={})},
        "initializer.extraEnv cannot go with components.isolated",
    ),
    (components(isolated={}, exclusive={}), "components.isolated and components.exclusive exclude each other"),
    (components(isolated={}, namespaced={}), "components.isolated and components.namespaced exclude each other"),
    (components(namespaced={}, exclusive={}), "components.namespaced and components.exclusive exclude each other"),
    ({"llm": ON, **components(namespaced={})}, 'llm.namespace is "kserve", but components.namespaced'),
    ({"storageContainer": {"enabled": False}, **components(exclusive={})}, "nobody would fetch models"),
    ({"storageContainer": {"enabled": False}}, "KServe would refuse their pods"),
    (
        {"runtimes": {"gpu": {"enabled": False}}, **components(autoselect={})},
        "components.autoselect chooses wellhead-vllm",
    ),
    (components(compileCache={}, openshift={}), "components.compileCache.fsGroup is 2000, and OpenShift refuses"),
    (components(knative={"progressDeadline": "600s"}), 'components.knative.progressDeadline is "600s"'),
    (
        components(s3Static=KEYS, gcsWorkloadIdentity={"googleServiceAccount": "a@b.iam.gserviceaccount.com"}),
        "components.s3Static and components.gcsWorkloadIdentity each set the service account",
    ),
    (components(s3Static={}), "components.s3Static needs accessKeyId and secretAccessKey"),
    (components(s3Static={"existingSecret": "own", "region": "x"}), "components.s3Static.existingSecret is yours"),
    (components(s3Irsa={}), "components.s3Irsa needs roleArn"),
    (components(gcsWorkloadIdentity={}), "components.gcsWorkloadIdentity needs googleServiceAccount"),
    (components(azureWorkloadIdentity={}), "components.azureWorkloadIdentity needs clientId"),
    (components(privateCa={}), "components.privateCa needs certificates"),
    (
        {**serving(serviceAccountName="own"), **components(s3Static=KEYS)},
        'inferenceServices.llama names the service account "own", and components.s3Static gives it another',
    ),
    (
        {
            **serving(model={"volumeMounts": [{"name": "own", "mountPath": "/var/cache/wellhead"}]}),
            **components(compileCache={}),
        },
        "inferenceServices.llama mounts a volume at /var/cache/wellhead",
    ),
    (
        {**serving(volumes=[{"name": "compile-cache", "emptyDir": {}}]), **components(compileCache={})},
        "inferenceServices.llama has a volume compile-cache",
    ),
    (
        {"inferenceServices": {"llama": {"spec": {"predictor": {}}}}, **components(compileCache={})},
        "inferenceServices.llama has no predictor.model",
    ),
]


@pytest.mark.parametrize(("values", "words"), COMBINATIONS)
def test_values_that_do_not_go_together_are_refused_with_the_way_out(values: dict[str, Any], words: str) -> None:
    said = refusal(values)
    assert words in said
    assert KEYS["secretAccessKey"] not in said


def test_every_problem_is_said_at_once() -> None:
    said = refusal(
        {"mode": "download", "loadFormat": "runai_streamer", "extraArgs": ["--port=1"], **components(s3Irsa={})}
    )
    assert len(re.findall(r"^(mode|extraArgs|components)", said, re.MULTILINE)) == 3


def test_configs_in_the_releases_own_namespace_need_no_other_rights() -> None:
    objects = render({"llm": {**ON, "namespace": "team-a"}, **components(namespaced={})}).objects
    assert {manifest["metadata"]["namespace"] for manifest in objects.values()} == {"team-a"}


def test_a_secret_of_ones_own_takes_the_place_of_the_charts() -> None:
    objects = render(components(s3Static={"existingSecret": "own"})).objects
    assert objects["ServiceAccount", "s3-models"]["secrets"] == [{"name": "own"}]
    assert ("Secret", "s3-models") not in objects
