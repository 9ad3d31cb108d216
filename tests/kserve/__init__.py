"""A stand-in for KServe: the pod that KServe 0.20 would build, worked out from manifests, without a cluster.

It is held against what the real KServe v0.20.0 (and, for one difference, v0.18.1) made of the same manifests on a real
kube-apiserver: tests/data/kserve. It follows rules, so it also answers for manifests that nobody has recorded; where
nobody knows the rule it raises `NotModelledError` instead of guessing.

    python -m tests.kserve manifest.yaml …    prints the pod, or the refusal in KServe's words
    build(Cluster.with_stock(manifests), service).pod

It knows Standard mode, predictors (a model with a runtime, or a container of the user's own), storage in every form,
LLMInferenceServices as far as images, init containers, models and volumes go, and the Jobs of LocalModelCache.
It does not know Knative, transformers and explainers in pods of their own, canaries, multi-node InferenceServices,
loggers, batchers, multi-model serving, confidential models, or anything about networking and scaling.
"""

from __future__ import annotations

from tests.kserve.building import WORKLOAD_KINDS, Outcome, build, build_all
from tests.kserve.cluster import Cluster, Release, parse
from tests.kserve.errors import NotModelledError, Refused

__all__ = [
    "WORKLOAD_KINDS",
    "Cluster",
    "NotModelledError",
    "Outcome",
    "Refused",
    "Release",
    "build",
    "build_all",
    "parse",
]
