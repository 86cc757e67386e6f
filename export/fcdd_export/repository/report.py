"""What was exported and how far it drifted -> export_report.json and .md."""

import dataclasses
import json
from pathlib import Path

from fcdd_export.gate.drift import Drift, layer_table
from fcdd_export.gate.proven_model import ExportRecord, ImageFacts, ProvenModel
from fcdd_export.gate.roc import AucChange
from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_export.markdown import markdown_table
from fcdd_runtime.contract import ModelContract


def report_json(contract: ModelContract, record: ExportRecord) -> str:
    """Return the machine-readable report."""
    document = {
        **dataclasses.asdict(record),
        "seconds": round(record.seconds, 2),
        "contract": dataclasses.asdict(contract),
        "limits": dataclasses.asdict(PRECISIONS[contract.precision].limits),
    }
    return json.dumps(document, indent=2) + "\n"


def report_markdown(contract: ModelContract, record: ExportRecord) -> str:
    """Return the report for people."""
    lines = [f"# {contract.name}", "", "Research use only. Not a medical device.", ""]
    if record.accepted:
        lines += [f"**Accepted beyond the limits:** {'; '.join(record.accepted)}.", ""]
    lines += [*markdown_table(["", ""], _facts(contract, record).items()), ""]
    lines += ["## Drift against torch in FP32", "", *_drift_table(contract, record), "", _MEASURES]
    if contract.map_kind == "grad_cam":
        lines.append(
            "The image's own value of Grad-CAM is taken before what is below 0 is cut off: rounding errs in proportion."
        )
    extreme = PRECISIONS[contract.precision].limits.extreme
    limited = f"The limit of extremes is {extreme:g}, for scores and maps." if extreme is not None else None
    lines += [limited or "Extremes have no limit.", ""]
    # None of FP32, which is the graph that others are compared with.
    if record.layers:
        lines += ["## Where the drift enters", "", _LAYERS, "", *layer_table(record.layers), ""]
    if record.method is not None:
        method = {
            name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in record.method.items()
        }
        lines += [f"## How {contract.precision.upper()} was made", "", *markdown_table(["", ""], method.items()), ""]
    if record.engine is not None:
        lines += ["## Engine", "", *markdown_table(["", ""], record.engine.items()), ""]
    return "\n".join(lines).rstrip() + "\n"


def summary_line(model: ProvenModel, path: Path) -> str:
    """Say in one line what was published."""
    contract, record = model.contract, model.record
    drifts = [drift for drift in record.drifts if not drift.extreme]
    score, anomaly_map = (max(getattr(drift, name) for drift in drifts) for name in ("score_largest", "map_of_set"))
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


def _facts(contract: ModelContract, record: ExportRecord) -> dict[str, str]:
    point, operating_point = contract.operating_point, "none"
    if point is not None:
        sensitivity = "" if point.sensitivity is None else f" for a sensitivity of {point.sensitivity:.2f}"
        operating_point = f"score >= {point.threshold:.6g}{sensitivity} ({point.source})"
    source, graph = contract.engine_source, {}
    if source is None:
        graph = {"Graph for TensorRT": contract.engine_refusal or "none"}
    elif record.engine is None and source.sha256 != contract.artefact_sha256:
        # The graph lies beside another artefact; an engine's own stands with the engine.
        graph = {"Graph for TensorRT, SHA-256": f"`{source.sha256}` ({source.file})"}
    return {
        "Command": f"`{record.command}`",
        "Network": f"{contract.network}, objective {contract.objective}, inputs {' and '.join(contract.inputs)}",
        "Precision, target": f"{contract.precision}, {contract.target}",
        "Normalisation": f"mean {_listed(contract.mean)}, std {_listed(contract.std)}",
        "Operating point": operating_point,
        "Recipe": ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(contract.recipe).items()),
        "Notes": "; ".join(contract.notes) or "none",
        "Snapshot SHA-256": f"`{contract.snapshot_sha256}`",
        "Artefact SHA-256": f"`{contract.artefact_sha256}` ({contract.artefact})",
        **graph,
        "Verification images": _images_in_words(record.verification),
        "Versions": ", ".join(f"{name} {version}" for name, version in contract.versions.items()),
        "Machine": record.machine,
        "Time, memory": f"{record.seconds:.1f} s, peak {record.peak_memory_mb:.0f} MB",
    }


def _images_in_words(facts: ImageFacts | None) -> str:
    if facts is None:
        return "not recorded"
    classes = ", ".join(f"{count} {name}" for name, count in (facts.classes or {}).items())
    parts = [f"{facts.images} " + (f"of the folder `{facts.folder}`" if facts.folder else "drawn ones")]
    parts += [f"({classes})"] if classes else []
    parts += [f"compared with: {facts.references}"] if facts.references else []
    return f"{' '.join(parts)}; SHA-256 of their pixels `{facts.sha256}`"


def _listed(values: tuple[float, ...]) -> str:
    return f"{values[0]:.8f}" if len(set(values)) == 1 else " ".join(f"{value:.8f}" for value in values)


def _drift_table(contract: ModelContract, record: ExportRecord) -> list[str]:
    """Return the lines of a table with a row a measure and a column a way of running the graph."""
    spec = PRECISIONS[contract.precision]
    limits = spec.limits
    measures = [
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
        ("largest activation", "activation_largest", "{:.4g}", _limit(spec.largest_activation)),
        ("AUC; change, 95 % interval", "auc", "", _limit(limits.auc)),
    ]
    ways = [f"{drift.way}, {'extremes' if drift.extreme else 'images'}" for drift in record.drifts]
    rows = [
        [what, *(_cell(drift, name, form) for drift in record.drifts), limit] for what, name, form, limit in measures
    ]
    return markdown_table(["measure", *ways, "limit"], rows)


def _cell(drift: Drift, name: str, form: str) -> str:
    value = getattr(drift, name)
    if name == "rank_correlation" and value is None:
        return f"not judged: {drift.rank_not_judged or 'not known'}"
    if isinstance(value, AucChange):
        return f"{value.auc:.3f}; {value.change:+.4f} ({value.low:+.4f} to {value.high:+.4f})"
    return "" if value is None else form.format(value)


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
