"""What was exported and how far it drifted -> export_report.json and .md."""

import dataclasses
import json
from pathlib import Path

from fcdd_export.gate.drift import LIMITS, Drift
from fcdd_export.gate.layer_drift import layer_table
from fcdd_export.gate.verified_model import ExportRecord, VerifiedModel
from fcdd_export.markdown import markdown_table
from fcdd_runtime.contract import ModelContract


def report_json(contract: ModelContract, record: ExportRecord) -> str:
    """Return the machine-readable report."""
    document = {
        **dataclasses.asdict(record),
        "seconds": round(record.seconds, 2),
        "contract": dataclasses.asdict(contract),
        "limits": dataclasses.asdict(LIMITS[contract.precision]),
    }
    return json.dumps(document, indent=2) + "\n"


def report_markdown(contract: ModelContract, record: ExportRecord) -> str:
    """Return the report for people."""
    parts = [
        [f"# {contract.name}", "", "Research use only. Not a medical device.", ""],
        _accepted(record),
        [*markdown_table(["", ""], _facts(contract, record).items()), ""],
        ["## Drift against torch in FP32", ""],
        markdown_table(
            ["measure", *(_column(drift) for drift in record.drifts), "limit"], _drift_rows(contract, record)
        ),
        ["", _MEASURES, *_about_grad_cam(contract), _about_extremes(contract), ""],
        _layers(record),
        _method(record),
        _engine(record),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def summary_line(model: VerifiedModel, path: Path) -> str:
    """Say in one line what was published."""
    contract, record = model.contract, model.record
    drifts = [drift for drift in record.drifts if not drift.extreme]
    score, anomaly_map = (max(getattr(one, name) for one in drifts) for name in ("score_largest", "map_of_set"))
    size = sum(len(contents) for contents in model.files.values()) / 1e6
    return (
        f"{contract.precision}  {contract.target}  {size:.1f} MB  "
        f"drift: score {score:.1e}, map {anomaly_map:.1e}  {record.seconds:.1f} s  {path}"
    )


_MEASURES = (
    "Columns say what ran the ONNX graph, which an engine is built from, and on which images: the verification images, "
    "or drawn ones at the ends of the input range (black, white, one step above black, a chessboard, a square, faint "
    "and saturated breasts). Score errors are relative; map errors are shares of the image's, or of all images', "
    "largest map value."
)
_LAYERS = (
    "Root mean square of the difference to FP32 in each layer's output, as a share of that output, after fitting each "
    "channel's scale."
)


def _layers(record: ExportRecord) -> list[str]:
    """Say nothing of FP32, which is the graph that others are compared with."""
    return ["## Where the drift enters", "", _LAYERS, "", *layer_table(record.layers), ""] if record.layers else []


def _accepted(record: ExportRecord) -> list[str]:
    return [f"**Accepted beyond the limits:** {'; '.join(record.accepted)}.", ""] if record.accepted else []


def _facts(contract: ModelContract, record: ExportRecord) -> dict[str, str]:
    return {
        "Command": f"`{record.command}`",
        "Network": f"{contract.network}, objective {contract.objective}, inputs {' and '.join(contract.inputs)}",
        "Precision, target": f"{contract.precision}, {contract.target}",
        "Normalisation": f"mean {_listed(contract.mean)}, std {_listed(contract.std)}",
        "Operating point": _operating_point(contract),
        "Notes": "; ".join(contract.notes) or "none",
        "Snapshot SHA-256": f"`{contract.snapshot_sha256}`",
        "Artefact SHA-256": f"`{contract.artefact_sha256}` ({contract.artefact})",
        **_engine_source(contract, record),
        "Verification images": _verification(record),
        "Versions": ", ".join(f"{name} {version}" for name, version in contract.versions.items()),
        "Machine": record.machine,
        "Time, memory": f"{record.seconds:.1f} s, peak {record.peak_memory_mb:.0f} MB",
    }


def _engine_source(contract: ModelContract, record: ExportRecord) -> dict[str, str]:
    """Name the graph for TensorRT that lies beside another artefact; an engine's own stands with the engine."""
    source = contract.engine_source
    if source is None:
        return {"Graph for TensorRT": contract.engine_refusal or "none"}
    if record.engine is not None or source.sha256 == contract.artefact_sha256:
        return {}
    return {"Graph for TensorRT, SHA-256": f"`{source.sha256}` ({source.file})"}


def _verification(record: ExportRecord) -> str:
    facts = record.verification
    if facts is None:
        return "not recorded"
    classes = ", ".join(f"{count} {name}" for name, count in (facts.classes or {}).items())
    parts = [f"{facts.images} " + (f"of the folder `{facts.folder}`" if facts.folder else "drawn ones")]
    parts += [f"({classes})"] if classes else []
    parts += [f"compared with: {facts.references}"] if facts.references else []
    return f"{' '.join(parts)}; SHA-256 of their pixels `{facts.sha256}`"


def _drift_rows(contract: ModelContract, record: ExportRecord) -> list[list[str]]:
    limits = LIMITS[contract.precision]
    rows = [
        ("images", "images", "{}", ""),
        ("largest score error", "score_largest", "{:.2e}", _limit(limits.score)),
        ("mean score error", "score_mean", "{:.2e}", _limit(limits.score_mean)),
        ("rank correlation of scores", "rank_correlation", "{:.6f}", _limit(limits.rank)),
        ("largest map error (own image)", "map_largest", "{:.2e}", _limit(limits.map)),
        ("largest map error (all images)", "map_of_set", "{:.2e}", _limit(limits.map_of_set)),
        ("smallest map correlation", "map_correlation", "{:.6f}", ""),
        ("PSNR of heatmaps, dB", "heatmap_psnr_db", "{:.1f}", ""),
        ("decision flips", "flips", "{}", f"1, and {limits.flips:.0%} of the images"),
        ("values not finite", "nonfinite", "{}", "0"),
        ("largest activation", "activation_largest", "{:.4g}", "65504" if contract.precision == "fp16" else ""),
    ]
    table = [[what, *(_cell(drift, name, form) for drift in record.drifts), limit] for what, name, form, limit in rows]
    return [*table, ["AUC; change, 95 % interval", *(_auc(drift) for drift in record.drifts), _limit(limits.auc)]]


def _column(drift: Drift) -> str:
    return f"{drift.way}, {'extremes' if drift.extreme else 'images'}"


def _cell(drift: Drift, name: str, form: str) -> str:
    value = getattr(drift, name)
    if name == "rank_correlation" and value is None:
        return f"not judged: {drift.rank_not_judged or 'not known'}"
    return "" if value is None else form.format(value)


def _auc(drift: Drift) -> str:
    auc = drift.auc
    return "" if auc is None else f"{auc.auc:.3f}; {auc.change:+.4f} ({auc.low:+.4f} to {auc.high:+.4f})"


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _about_extremes(contract: ModelContract) -> str:
    limit = LIMITS[contract.precision].extreme
    return "Extremes have no limit." if limit is None else f"The limit of extremes is {limit:g}, for scores and maps."


def _about_grad_cam(contract: ModelContract) -> list[str]:
    if contract.map_kind != "grad_cam":
        return []
    return [
        "The image's own value of Grad-CAM is taken before what is below 0 is cut off: rounding errs in proportion."
    ]


def _engine(record: ExportRecord) -> list[str]:
    if record.engine is None:
        return []
    return ["## Engine", "", *markdown_table(["", ""], record.engine.items()), ""]


def _method(record: ExportRecord) -> list[str]:
    if record.method is None:
        return []
    rows = [[name, f"{value:.4g}" if isinstance(value, float) else str(value)] for name, value in record.method.items()]
    return ["## How INT8 was made", "", *markdown_table(["", ""], rows), ""]


def _listed(values: tuple[float, ...]) -> str:
    return f"{values[0]:.8f}" if len(set(values)) == 1 else " ".join(f"{value:.8f}" for value in values)


def _operating_point(contract: ModelContract) -> str:
    point = contract.operating_point
    if point is None:
        return "none"
    sensitivity = "" if point.sensitivity is None else f" for a sensitivity of {point.sensitivity:.2f}"
    return f"score >= {point.threshold:.6g}{sensitivity} ({point.source})"
