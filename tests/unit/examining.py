"""`wellhead doctor`'s checks on manifests, without files and without a cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from tests.kserve import Cluster, recorded
from tests.kserve.manifests import Manifest, namespace_of
from tests.unit.builders import python
from wellhead_cluster.doctor.checks import examine
from wellhead_cluster.doctor.findings import Finding, Level
from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.situation import Facts, Situation, situation_of

_MAIN = "import sys; sys.argv[0] = 'wellhead'; from wellhead_cluster.cli import main; main()"
NOT_GIVEN = "not among the files"


def situation(
    service: Manifest, *manifests: Manifest, rest: str = "", release: str = "0.20", **facts: Any
) -> Situation:
    """In a cluster that has KServe's own objects besides; `rest` says why there may be more."""
    cluster = Cluster.with_stock([*manifests, service])
    return in_cluster(service, cluster, rest=rest, release=release, **facts)


def recorded_situation(service: Manifest, *manifests: Manifest, **facts: Any) -> Situation:
    """In the cluster of the recordings."""
    return in_cluster(service, recorded.cluster(*manifests, service), **facts)


def in_cluster(
    service: Manifest, cluster: Cluster, *, rest: str = "", release: str = "0.20", gaps: Any = None, **facts: Any
) -> Situation:
    known = Known(cluster.objects, namespace_of(service), gaps or {}, rest)
    return situation_of(service, known, Facts(**facts), stated_release=release)


def findings(found: Situation, topic: str = "", *levels: Level) -> list[Finding]:
    """Of one topic and these levels; of all without."""
    return [each for each in examine(found) if topic in {"", each.topic} and (not levels or each.level in levels)]


def only(found: Situation, topic: str, level: Level) -> Finding:
    """The one finding of that topic and level; there must be one."""
    [finding] = findings(found, topic, level)
    return finding


def faults(found: Situation) -> set[tuple[str, str]]:
    """(level, topic) of every warning and error."""
    return {(each.level, each.topic) for each in findings(found, "", "warning", "error")}


def doctor(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    return python("-c", _MAIN, "doctor", *arguments, environment=environment)
