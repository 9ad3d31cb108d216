"""The use case: find services and what is around them, examine them, report, and say how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wellhead_cluster.doctor.checks import examine
from wellhead_cluster.doctor.findings import Report
from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.kserve import DEFAULT_CONTAINER, NAMESPACE
from wellhead_cluster.doctor.manifests import Manifest, name_of, section
from wellhead_cluster.doctor.quantities import quantity
from wellhead_cluster.doctor.reading import read_manifests
from wellhead_cluster.doctor.report import print_reports, summary
from wellhead_cluster.doctor.situation import SERVICES, Facts, Situation, situation_of
from wellhead_storage.errors import CheckFailed, InvalidConfiguration, ObjectNotFound

_NOT_GIVEN = "not among the files"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        name: of the service; empty for every service of the files.
        namespace: of the service; empty for the kubeconfig's, or `default` for files.
        files: files and folders; none: the cluster is asked.
        complete: the files hold everything, so what is not among them does not exist.
        context: of the kubeconfig.
        kserve: KServe's namespace.
        release: KServe's version; empty to find it out.
        probe: look into the store.
        model_size: a quantity, or empty.
        largest_tensor: a quantity, or empty.
        strict: warnings fail, too.
        as_json: print JSON.
    """

    name: str = ""
    namespace: str = ""
    files: Sequence[str] = ()
    complete: bool = False
    context: str = ""
    kserve: str = NAMESPACE
    release: str = ""
    probe: bool = False
    model_size: str = ""
    largest_tensor: str = ""
    strict: bool = False
    as_json: bool = False


def diagnose(options: Options) -> None:
    """Examine and report.

    Raises:
        CheckFailed: there is an error, or with `strict` a warning.
        ObjectNotFound, AccessDenied, StoreUnavailable, InvalidConfiguration: there is nothing to examine.
    """
    facts = Facts(_bytes(options.model_size, "--model-size"), _bytes(options.largest_tensor, "--largest-tensor"))
    reports = [_report(service, known, assumed, facts, options) for service, known, assumed in _services(options)]
    print_reports(reports, as_json=options.as_json)
    failing = [each for each in reports if each.count("error") or (options.strict and each.count("warning"))]
    if failing:
        names = ", ".join(f"{each.kind} {each.namespace}/{each.name}: {summary(each)}" for each in failing)
        raise CheckFailed(f"Found by wellhead doctor: {names}.", "See the report on standard output.")


def _report(service: Manifest, known: Known, assumed: tuple[str, ...], facts: Facts, options: Options) -> Report:
    situation = situation_of(service, known, facts, stated_release=options.release, kserve=options.kserve)
    situation = replace(situation, facts=_with_cache(situation))
    if options.probe:
        from wellhead_cluster.doctor.probe import probe

        situation = replace(situation, facts=_with_probe(replace(situation.facts, probed=probe(situation))))
    if situation.config.assumed:
        assumed += (f"KServe's ConfigMap is as KServe 0.20 ships it ({situation.config.assumed})",)
    return Report(
        kind=service["kind"],
        name=name_of(service),
        namespace=known.namespace,
        assumed=assumed,
        findings=examine(situation),
    )


def _services(options: Options) -> list[tuple[Manifest, Known, tuple[str, ...]]]:
    return _of_files(options) if options.files else _of_cluster(options)


def _of_files(options: Options) -> list[tuple[Manifest, Known, tuple[str, ...]]]:
    manifests = read_manifests(options.files)
    services = [each for each in manifests if each["kind"] in SERVICES and options.name in {"", name_of(each)}]
    if not services:
        named = f" called {options.name}" if options.name else ""
        raise ObjectNotFound(
            f"The files hold no InferenceService and no LLMInferenceService{named}.", "Add it with -f."
        )
    objects, assumed = _with_default(manifests) if not options.complete else (manifests, ())
    rest = "" if options.complete else _NOT_GIVEN
    return [(service, Known(tuple(objects), _namespace(service, options), rest=rest), assumed) for service in services]


def _namespace(service: Manifest, options: Options) -> str:
    return str(section(service, "metadata").get("namespace") or options.namespace or "default")


def _with_default(manifests: list[Manifest]) -> tuple[list[Manifest], tuple[str, ...]]:
    """With KServe's own storage container, which is in every cluster that has not removed it."""
    name = name_of(DEFAULT_CONTAINER)
    if any(each["kind"] == DEFAULT_CONTAINER["kind"] and name_of(each) == name for each in manifests):
        return manifests, ()
    assumed = f"KServe's own {DEFAULT_CONTAINER['kind']} {name} is in the cluster, as KServe 0.20 ships it"
    return [*manifests, DEFAULT_CONTAINER], (assumed,)


def _of_cluster(options: Options) -> list[tuple[Manifest, Known, tuple[str, ...]]]:
    if not options.name:
        raise InvalidConfiguration(
            "Nothing to examine is named.", "Write wellhead doctor NAME -n NAMESPACE, or wellhead doctor -f FILE."
        )
    from wellhead_cluster.doctor.api import connect
    from wellhead_cluster.doctor.survey import find_service, read_surroundings

    api, own = connect(options.context)
    namespace = options.namespace or own
    service = find_service(api, options.name, namespace)
    return [(service, read_surroundings(api, service, namespace, options.kserve), ())]


def _bytes(text: str, option: str) -> int:
    if not text:
        return 0
    number = quantity(text)
    if number is None:
        raise InvalidConfiguration(f"{option} {text} is no quantity.", "Write it like 140Gi or 150G.")
    return number


def _with_cache(situation: Situation) -> Facts:
    """A LocalModelCache states its model's size."""
    facts, cache = situation.facts, situation.serving.cache if situation.serving else None
    return replace(facts, size=facts.size or quantity(cache.size) or 0) if cache else facts


def _with_probe(facts: Facts) -> Facts:
    """What was seen wins over what was stated."""
    found = facts.probed.preview if facts.probed else None
    if found is None:
        return facts
    weights = found.plan.weights
    return replace(
        facts,
        size=found.figures.object_bytes or weights.total_bytes or facts.size,
        largest=weights.largest_tensor_bytes or facts.largest,
    )
