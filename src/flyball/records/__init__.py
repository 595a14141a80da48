"""The eleven records: learn these and you can read the platform. Each has one writer and is never changed."""

from flyball.records.build import (
    Check,
    Constraint,
    DatasetVersion,
    EngineSettings,
    EvalReport,
    FileRef,
    GateDecision,
    Measure,
    Message,
    ModelVersion,
    Preparation,
    Release,
    ScoresFile,
    SourceRef,
    SplitRef,
    SuiteOverlap,
    SuiteRef,
    TrainingRun,
    Verdict,
)
from flyball.records.canonical import JSON, canonical_bytes, canonical_json, fingerprint, fingerprint_of, parse
from flyball.records.runtime import (
    Deployment,
    DeploymentState,
    Feedback,
    Finding,
    Proposal,
    RequestRecord,
    Strategy,
    Transition,
)

Record = (
    DatasetVersion
    | TrainingRun
    | ModelVersion
    | Release
    | EvalReport
    | GateDecision
    | Deployment
    | RequestRecord
    | Feedback
    | Finding
    | Proposal
)

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        DatasetVersion,
        TrainingRun,
        ModelVersion,
        Release,
        EvalReport,
        GateDecision,
        Deployment,
        RequestRecord,
        Feedback,
        Finding,
        Proposal,
    )
}


def name_of(record: Record) -> str:
    """A record's name: its UUID where it has one, else its fingerprint."""
    identifier = getattr(record, "id", None)
    return identifier if isinstance(identifier, str) else fingerprint(record)


def parents_of(record: Record) -> tuple[tuple[str, str], ...]:
    """The records that this one came from, as (relation, name); the edges of the lineage graph."""
    links: dict[str, tuple[str | None, ...]]
    match record:
        case DatasetVersion():
            links = {"parent": record.parents}
        case TrainingRun():
            links = {
                "dataset": (record.dataset,),
                "base_model": (record.base_model,),
                "teacher": (record.teacher,),
            }
        case ModelVersion():
            links = {"training_run": (record.training_run,)}
        case Release():
            links = {"model": (record.model,), "adapter": (record.adapter,)}
        case EvalReport():
            links = {"release": (record.release,), "dataset": (record.dataset,)}
        case GateDecision():
            links = {"report": (record.report,), "release": (record.release,), "baseline": (record.baseline_report,)}
        case Deployment():
            links = {"release": (record.release,), "decision": (record.decision,)}
        case RequestRecord():
            answering = record.answered_by or record.release
            links = {"release": (answering,), "deployment": (record.deployment,)}
        case Feedback():
            links = {"request": (record.request,)}
        case Finding():
            links = {"release": (record.release,)}
        case Proposal():
            links = {"finding": record.findings}
    return tuple((relation, name) for relation, names in links.items() for name in names if name)


__all__ = [
    "JSON",
    "KINDS",
    "Check",
    "Constraint",
    "DatasetVersion",
    "Deployment",
    "DeploymentState",
    "EngineSettings",
    "EvalReport",
    "Feedback",
    "FileRef",
    "Finding",
    "GateDecision",
    "Measure",
    "Message",
    "ModelVersion",
    "Preparation",
    "Proposal",
    "Record",
    "Release",
    "RequestRecord",
    "ScoresFile",
    "SourceRef",
    "SplitRef",
    "Strategy",
    "SuiteOverlap",
    "SuiteRef",
    "TrainingRun",
    "Transition",
    "Verdict",
    "canonical_bytes",
    "canonical_json",
    "fingerprint",
    "fingerprint_of",
    "name_of",
    "parents_of",
    "parse",
]
