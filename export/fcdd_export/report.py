"""What was exported and how far it drifted -> export_report.json and .md."""

import dataclasses
import json

from fcdd_export.verify import LIMITS, Drift
from fcdd_runtime.contract import ModelContract


def report_json(contract: ModelContract, drifts: tuple[Drift, ...], seconds: float, command: str) -> str:
    """Return the machine-readable report."""
    document = {
        "command": command,
        "seconds": round(seconds, 2),
        "contract": dataclasses.asdict(contract),
        "limits": dataclasses.asdict(LIMITS[contract.precision]),
        "drift": [dataclasses.asdict(drift) for drift in drifts],
    }
    return json.dumps(document, indent=2) + "\n"


def report_markdown(contract: ModelContract, drifts: tuple[Drift, ...], seconds: float, command: str) -> str:
    """Return the report for people."""
    limits = LIMITS[contract.precision]
    facts = {
        "Command": f"`{command}`",
        "Network": f"{contract.network}, objective {contract.objective}",
        "Precision, target": f"{contract.precision}, {contract.target}",
        "Normalisation": f"mean {contract.mean[0]:.8f}, std {contract.std[0]:.8f} (red channel)",
        "Operating point": _operating_point(contract),
        "Snapshot SHA-256": f"`{contract.snapshot_sha256}`",
        "Artefact SHA-256": f"`{contract.artefact_sha256}`",
        "Versions": ", ".join(f"{name} {version}" for name, version in contract.versions.items()),
        "Time": f"{seconds:.1f} s",
    }
    lines = [f"# {contract.name}", "", "Research use only. Not a medical device.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    lines += [
        "",
        "## Drift against torch in FP32",
        "",
        _DRIFT_HEAD,
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_drift_row(drift) for drift in drifts]
    lines += [
        "",
        f"Limits: score {limits.score:.0e}, map {limits.map:.0e}, either on extremes {limits.extreme:.0e}; "
        "no value that is not finite.",
    ]
    return "\n".join(lines) + "\n"


_DRIFT_HEAD = (
    "| run by | on | images | largest score error | mean score error | rank correlation | largest map error "
    "| decision flips | not finite | largest activation |"
)


def _drift_row(drift: Drift) -> str:
    optional = [
        "" if value is None else text.format(value)
        for value, text in (
            (drift.rank_correlation, "{:.6f}"),
            (drift.flips, "{}"),
            (drift.activation_largest, "{:.4g}"),
        )
    ]
    images = "extremes" if drift.extreme else "images"
    return (
        f"| {drift.way} | {images} | {drift.images} | {drift.score_largest:.2e} | {drift.score_mean:.2e} "
        f"| {optional[0]} | {drift.map_largest:.2e} | {optional[1]} | {drift.nonfinite} | {optional[2]} |"
    )


def _operating_point(contract: ModelContract) -> str:
    point = contract.operating_point
    if point is None:
        return "none"
    sensitivity = "" if point.sensitivity is None else f" for a sensitivity of {point.sensitivity:.2f}"
    return f"score >= {point.threshold:.6g}{sensitivity} ({point.source})"
