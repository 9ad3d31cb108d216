"""`[NAME=]URI`: what a model is called in a catalog."""

from __future__ import annotations

import pytest

from wellhead_cluster.catalog.look import refuse_uri, split_name
from wellhead_storage.errors import InvalidUri
from wellhead_storage.settings import Settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("argument", "name", "uri"),
    [
        ("s3://models/llama", "llama", "s3://models/llama"),
        ("s3://models/team/llama/", "llama", "s3://models/team/llama/"),
        ("s3://models", "models", "s3://models"),
        ("org/llama=s3://models/l", "org/llama", "s3://models/l"),
        ("s3://models/a?endpoint=http://minio:9000", "a", "s3://models/a?endpoint=http://minio:9000"),
        ("a=s3://models/b?region=x", "a", "s3://models/b?region=x"),
        ("hf://Qwen/Qwen3-8B@main", "Qwen/Qwen3-8B", "hf://Qwen/Qwen3-8B@main"),
        (f"s3://models/hub/Qwen/Qwen3-8B/{COMMIT}", "Qwen/Qwen3-8B", f"s3://models/hub/Qwen/Qwen3-8B/{COMMIT}"),
        ("az://models@account/llama", "llama", "az://models@account/llama"),
        ("model-registry://llama/v1", "llama/v1", "model-registry://llama/v1"),
    ],
)
def test_the_name_is_given_or_that_of_the_folder(argument: str, name: str, uri: str) -> None:
    assert split_name(argument) == (name, uri)


@pytest.mark.parametrize("argument", ["", "=s3://models/llama", " =s3://models/llama", "a=", "a=b"])
def test_what_names_no_model_is_refused(argument: str) -> None:
    with pytest.raises(InvalidUri):
        split_name(argument)


def test_hugging_face_models_may_have_a_mirror() -> None:
    refuse_uri("hf://Qwen/Qwen3-8B", Settings(mirror="s3://models/hub"))
    with pytest.raises(InvalidUri, match="scheme hf"):
        refuse_uri("hf://Qwen/Qwen3-8B", Settings())
