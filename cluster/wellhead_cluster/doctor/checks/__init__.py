"""The checks of `wellhead doctor`: each looks at a situation and says what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wellhead_cluster.doctor.checks.accelerators import check_accelerators
from wellhead_cluster.doctor.checks.accounts import check_account
from wellhead_cluster.doctor.checks.arguments import check_arguments
from wellhead_cluster.doctor.checks.cache import check_cache
from wellhead_cluster.doctor.checks.claims import check_claims
from wellhead_cluster.doctor.checks.credentials import check_credentials
from wellhead_cluster.doctor.checks.handover import check_handover
from wellhead_cluster.doctor.checks.llm import check_llm
from wellhead_cluster.doctor.checks.patience import check_patience
from wellhead_cluster.doctor.checks.placeholders import check_placeholders
from wellhead_cluster.doctor.checks.release import check_release
from wellhead_cluster.doctor.checks.runtime import check_runtime
from wellhead_cluster.doctor.checks.secrets import check_secrets
from wellhead_cluster.doctor.checks.settings import check_settings
from wellhead_cluster.doctor.checks.shape import check_shape
from wellhead_cluster.doctor.checks.sizes import check_sizes
from wellhead_cluster.doctor.checks.storage_container import check_storage_container
from wellhead_cluster.doctor.checks.store import check_store
from wellhead_cluster.doctor.checks.uris import check_uris
from wellhead_cluster.doctor.findings import Finding
from wellhead_cluster.doctor.situation import Situation

Check = Callable[[Situation], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "KServe": check_release,
    "service": check_shape,
    "LLM configs": check_llm,
    "URI": check_uris,
    "runtime": check_runtime,
    "storage container": check_storage_container,
    "local cache": check_cache,
    "service account": check_account,
    "secrets": check_secrets,
    "credentials": check_credentials,
    "hand-over": check_handover,
    "settings": check_settings,
    "arguments": check_arguments,
    "placeholders": check_placeholders,
    "accelerators": check_accelerators,
    "claims": check_claims,
    "memory and disk": check_sizes,
    "patience": check_patience,
    "store": check_store,
}


def examine(situation: Situation) -> tuple[Finding, ...]:
    """What every check says, in their order; the same sentence about several pods once."""
    found = [
        finding.model_copy(update={"topic": topic}) for topic, check in CHECKS.items() for finding in check(situation)
    ]
    return tuple(dict.fromkeys(found))
