"""What the store said, where somebody asked (`--probe`)."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, error, ok, unknown
from wellhead_cluster.doctor.situation import Situation
from wellhead_storage.errors import StoreUnavailable
from wellhead_storage.files import in_gib


def check_store(situation: Situation) -> Iterator[Finding]:
    """The plan that the init container would make, or its failure."""
    probed = situation.facts.probed
    if probed is None:
        return
    if probed.untried:
        yield unknown("the store was not asked", f"{probed.untried}.")
    elif isinstance(probed.failure, StoreUnavailable):
        yield unknown(
            f"the store was not reached from here: {probed.failure.problem}",
            "A pod may reach what this machine does not.",
            "Run the probe where the pods run, or look at the endpoint.",
        )
    elif probed.failure:
        yield error(probed.failure.problem, "The init container ends with this sentence.", probed.failure.hint)
    elif probed.preview:
        plan = probed.preview.plan
        size = in_gib(plan.weights.total_bytes) if probed.preview.figures.objects is not None else "an unknown amount"
        yield ok(f"mode {plan.mode}, {size} of weights: {'; '.join(plan.reasons)}")
