"""What a dossier says, fact by fact: each with where it stands, and where nothing stands, what to do about it; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_cli.ancestry import metric
from modelwright_cli.objects import Json, condition, name_of, number, part, parts, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelwright_cli.documents.holdings import Holdings


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is asked for.

    Attributes:
        label: what it is.
        said: what is known of it; empty: nothing is.
        source: where that stands.
        missing: how to have it there.
    """

    label: str
    said: tuple[str, ...]
    source: str
    missing: str

    @property
    def document(self) -> Json:
        """The fact for programs."""
        empty = {} if self.said else {"toFill": self.missing}
        return {"label": self.label, "values": list(self.said), "source": self.source, "empty": not self.said, **empty}


def told(label: str, said: Iterable[str], source: str, missing: str) -> Fact:
    """Return a fact of what is said; empty texts are left out."""
    return Fact(label, tuple(item for item in said if item), source, missing)


def outside(label: str, what: str) -> Fact:
    """Return what no field of the cluster holds."""
    return Fact(label, (), "nowhere in the cluster", f"attach {what}: no field holds it")


def identity(held: Holdings) -> Fact:
    """Return which model in which version it is."""
    spec = part(held.version, "spec")
    said = (
        f"model {text(spec, 'model')}, version {held.name}",
        f"digest {text(spec, 'artifact', 'digest')}",
        f"recorded {text(held.version, 'metadata', 'creationTimestamp')}",
        f"namespace {text(held.version, 'metadata', 'namespace')}",
    )
    return told("model and version", said, f"mv/{held.name}", "")


def siblings(held: Holdings) -> Fact:
    """Return the other versions of the model."""
    ordered = sorted(held.siblings, key=lambda item: text(item, "metadata", "creationTimestamp"))
    said = (f"{name_of(item)}, recorded {text(item, 'metadata', 'creationTimestamp')}" for item in ordered)
    return told("other versions of the model", said, "modelversions", "this is the only version that the namespace has")


def _card(held: Holdings, key: str, label: str) -> Fact:
    made = f"tj/{text(held.provenance, 'trainingJob', 'name')}" if held.provenance else f"mv/{held.name}"
    said = text(held.version, "spec", "card", key)
    missing = f"say it in spec.card.{key} of {made}; a version never changes, so the next one will have it"
    return told(label, [said], f"mv/{held.name} spec.card.{key}", missing)


def intended_use(held: Holdings) -> Fact:
    """Return what the model is for."""
    return _card(held, "intendedUse", "intended use")


def owner(held: Holdings) -> Fact:
    """Return who answers for it."""
    return _card(held, "owner", "who answers for the model")


def limitations(held: Holdings) -> Fact:
    """Return what it is not for."""
    return _card(held, "limitations", "limitations")


def risk_tier(held: Holdings) -> Fact:
    """Return how much harm a wrong answer may do."""
    return _card(held, "riskTier", "risk tier")


def interface(held: Holdings) -> Fact:
    """Return what the model takes and answers."""
    said: list[str] = []
    for kind, label in (("inputs", "takes"), ("outputs", "answers")):
        for item in parts(held.schema, kind):
            columns = texts(item, "columns")
            named = f": {', '.join(columns)}" if columns else ""
            nullable = ", values may be missing" if text(item, "nullable") == "true" else ""
            said.append(f"{label} {text(item, 'name')} ({text(item, 'datatype')} {item.get('shape')}{nullable}){named}")
    return told(
        "inputs and outputs (Open Inference Protocol)",
        said,
        f"mv/{held.name} schema",
        "the version is verified first; the artifact's schema.json has it in any case",
    )


def method(held: Holdings) -> Fact:
    """Return how the model was trained."""
    trainer = part(held.job, "spec", "trainer")
    sklearn, container = part(trainer, "sklearn"), part(trainer, "container")
    said = [f"task {held.task}" if held.task else "", f"target {text(held.job, 'spec', 'target')}" if held.job else ""]
    if sklearn:
        said.append(f"estimator {text(sklearn, 'estimator')}")
        said += [f"parameter {key}={value}" for key, value in sorted(part(sklearn, "parameters").items())]
    if container:
        said.append(f"own code in image {text(container, 'image')}")
    tuning = part(held.job, "spec", "tuning")
    if tuning:
        said.append(f"search {text(tuning, 'algorithm')} for the best {text(tuning, 'metric')}")
    said += [
        f"best trial: {key}={value}"
        for key, value in sorted(part(held.job, "status", "bestTrial", "parameters").items())
    ]
    for key, label in (("trials", "trials tried"), ("seed", "seed"), ("parametersDigest", "digest of all parameters")):
        said.append(f"{label} {text(held.provenance, key)}" if key in held.provenance else "")
    return told(
        "method and parameters",
        said,
        f"tj/{text(held.provenance, 'trainingJob', 'name')} spec, mv/{held.name} spec.provenance",
        "the version was imported: train it by a TrainingJob, which records how",
    )


def source_code(held: Holdings) -> Fact:
    """Return which code the run belonged to."""
    source = part(held.provenance, "source")
    said = [f"{text(source, 'repository')} at {text(source, 'commit')}"] if source else []
    return told(
        "source code", said, f"mv/{held.name} spec.provenance.source", "say it in spec.source of the TrainingJob"
    )


def software(held: Holdings) -> Fact:
    """Return what the model was made with."""
    provenance = held.provenance
    said = [f"training image {text(provenance, 'image')}" if text(provenance, "image") else ""]
    said.append(f"its digest {text(provenance, 'imageDigest')}" if text(provenance, "imageDigest") else "")
    said += [f"own image of {text(item, 'stage')}: {text(item, 'image')}" for item in parts(provenance, "ownImages")]
    return told(
        "software", said, f"mv/{held.name} spec.provenance.image", "train it by a TrainingJob, which records its images"
    )


def data(held: Holdings) -> Fact:
    """Return what the model was made from."""
    provenance = held.provenance
    said = [
        f"{text(item, 'name')}: {text(item, 'uri')}, {text(item, 'digest')}{_rows(item)}"
        for item in parts(provenance, "data")
    ]
    said += [
        f"prepared {text(item, 'name')}: {text(item, 'digest')}{_rows(item)}" for item in parts(provenance, "prepared")
    ]
    if features := part(provenance, "features"):
        said.append(f"features of a store: {', '.join(texts(features, 'names'))}")
    return told(
        "training, validation and test data",
        said,
        f"mv/{held.name} spec.provenance.data",
        "the version was imported: train it by a TrainingJob, which records digests of its data",
    )


def _rows(item: Json) -> str:
    return f", {text(item, 'rows')} rows" if text(item, "rows") else ""


def holdout(held: Holdings) -> Fact:
    """Return on what the model was tested."""
    evaluation = part(held.job, "spec", "evaluation")
    said = [f"data set {text(evaluation, 'holdout')}" if text(evaluation, "holdout") else ""]
    percent = text(evaluation, "holdoutPercent")
    said.append(f"{percent} percent of the rows, kept from training" if percent else "")
    slices = texts(evaluation, "slices")
    said.append(f"groups measured by {', '.join(slices)}" if slices else "")
    return told(
        "how it was tested",
        said,
        f"tj/{text(held.provenance, 'trainingJob', 'name')} spec.evaluation",
        "the TrainingJob is gone or there was none: keep it, its spec says how",
    )


def warnings(held: Holdings) -> Fact:
    """Return what was odd about the data."""
    said = texts(held.job, "status", "warnings")
    if held.job is not None and not said:
        said = ["none was found"]
    return told(
        "what was odd about the data",
        said,
        f"tj/{text(held.provenance, 'trainingJob', 'name')} status.warnings",
        "the TrainingJob is gone or there was none: keep it, its status says so",
    )


def metrics(held: Holdings) -> Fact:
    """Return how good the model is."""
    said = (metric(item) for item in parts(held.version, "spec", "metrics"))
    return told(
        "metrics with intervals of 95 percent",
        said,
        f"mv/{held.name} spec.metrics",
        "train it by a TrainingJob, which measures it, or say them in spec.metrics of an imported version",
    )


def gates(held: Holdings) -> Fact:
    """Return what the model had to reach, and whether it did."""
    said = (_gate(item) for item in parts(held.job, "status", "gates") if not text(item, "slice"))
    missing = "set spec.gates of the TrainingJob; of a TrainingJob that is gone nothing is known"
    return told("gates before it became a version", said, _status(held, "gates"), missing)


def fairness(held: Holdings) -> Fact:
    """Return what was asked of the groups of slices."""
    said = (_gate(item) for item in parts(held.job, "status", "gates") if text(item, "slice"))
    missing = (
        "set spec.evaluation.slices and spec.gates with slice of the TrainingJob; measured slices without a gate are "
        "in metrics.json of the artifact"
    )
    return told("groups of people or cases (slices)", said, _status(held, "gates"), missing)


def _status(held: Holdings, key: str) -> str:
    return f"tj/{text(held.provenance, 'trainingJob', 'name')} status.{key}"


def _gate(item: Json) -> str:
    limits = [f"{key} {text(item, key)}" for key in ("min", "max", "maxRegression") if key in item]
    where = f" of {text(item, 'slice')}" if text(item, "slice") else ""
    group = f" in {text(item, 'group')}" if text(item, "group") else ""
    observed = number(item, "observed")
    seen = f", observed {observed:.4g}{group}" if observed is not None else ""
    return f"{text(item, 'metric')}{where} {' '.join(limits)}: {text(item, 'verdict')}{seen}"


def champion(held: Holdings) -> Fact:
    """Return what the model was compared with."""
    found = part(held.job, "status", "resolved", "champion")
    said = [f"{text(found, 'version')} {text(found, 'digest')}"] if found else []
    return told(
        "the model it was compared with",
        said,
        _status(held, "resolved.champion"),
        "set spec.evaluation.champion of the TrainingJob to the Deployment that it competes with",
    )


def integrity(held: Holdings) -> Fact:
    """Return how the files are held to be what they were."""
    verified = condition(held.version, "Verified")
    said = [f"verified: {text(verified, 'message')} ({text(verified, 'reason')})"] if verified else []
    if text(verified, "status") != "True":
        said = [item.replace("verified:", "not verified:") for item in said]
    return told(
        "integrity of the model",
        said,
        f"mv/{held.name} condition Verified",
        "the operator verifies each version by itself: is it running?",
    )


def approval(held: Holdings) -> Fact:
    """Return who let it into traffic."""
    given = part(held.version, "spec", "approval")
    reason = f": {text(given, 'reason')}" if text(given, "reason") else ""
    said = [f"{text(given, 'state')} by {text(given, 'by')}{reason}"] if given else []
    said += [
        f"{text(item, 'at')} {text(item, 'event')}: {text(item, 'message')}"
        for item in parts(held.version, "status", "history")
        if text(item, "event").startswith("Approv")
    ]
    missing = f"have somebody who may approve say so: `kubectl modelwright approve mv/{held.name} --reason …`"
    return told("approval", said, f"mv/{held.name} spec.approval, status.history", missing)


def independence(held: Holdings) -> Fact:
    """Return whether who approved is another than who asked for the model."""
    asked, by = text(held.provenance, "requestedBy"), text(held.version, "spec", "approval", "by")
    said: list[str] = []
    if asked and by:
        said.append(f"requested by {asked}, decided by {by}: {'two persons' if asked != by else 'the same person'}")
    missing = "set spec.requestedBy of the TrainingJob and have somebody else approve (chart value approval.fourEyes)"
    source = f"mv/{held.name} spec.provenance.requestedBy, spec.approval.by"
    return told("independence of who decided from who developed", said, source, missing)
