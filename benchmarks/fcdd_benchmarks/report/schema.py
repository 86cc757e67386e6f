"""What report.json of each benchmark holds, checked in plain Python."""

from typing import Any

from fcdd_benchmarks.report.timing_schemas import COMPARE, EXPORT, IDENTITY, LATENCY

SCHEMA_VERSION = 1

Shape = Any
"""A type or a tuple of types; a list with the shape of every element; a dict with the shapes of the keys that must be
there (others may be)."""

NUMBER = (int, float)
ESTIMATE = {"value": NUMBER, "low": NUMBER, "high": NUMBER}
METRIC = {"name": str, **ESTIMATE, "better": str, "unit": str}
MACHINE = {"processor": str, "cores": int, "system": str, "python": str, "versions": dict}
COMMON = {
    "schema_version": int,
    "benchmark": str,
    "title": str,
    "command": str,
    "machine": MACHINE,
    "metrics": [METRIC],
}

STUDY = {
    "options": {"slices": int, "size": int, "phases": int, "transfer_syntax": str, "repeats": int},
    "models": [IDENTITY],
    "timings": [
        {
            "name": str,
            "median_ms": NUMBER,
            "lowest_ms": NUMBER,
            "highest_ms": NUMBER,
            "over_mb": NUMBER,
            "peak_mb": NUMBER,
            "ratio": ESTIMATE,
        },
    ],
    "scoring": (dict, type(None)),
}
SCORED = {
    "model": str,
    "studies": int,
    "studies_per_hour": ESTIMATE,
    "many_ms": ESTIMATE,
    "one_ms": ESTIMATE,
    "stages": [
        {
            "stage": str,
            "one_ms": NUMBER,
            "one_cpu_ms": NUMBER,
            "many_ms": NUMBER,
            "many_cpu_ms": NUMBER,
            "many_share": NUMBER,
        }
    ],
    "clock_share": NUMBER,
    "spread": NUMBER,
    "ready_mb": ESTIMATE,
    "one_over_mb": ESTIMATE,
    "many_over_mb": ESTIMATE,
    "peak_mb": ESTIMATE,
}
"""`scoring` of a study where models took part."""
NAMED = {"name": str, **ESTIMATE}
ACCURACY = {
    "options": {"prevalence": NUMBER, "sensitivity": NUMBER, "resamples": int},
    "images": {"sha256": str, "labels": [int], "groups": (list, type(None))},
    "models": [
        {
            "name": str,
            "network": str,
            "precision": str,
            "snapshot_sha256": str,
            "artefact_sha256": str,
            "notes": [str],
            "estimates": [NAMED],
            "changes": [NAMED],
            "scores": [float],
            "pixel_aucs": [(float, type(None))],
        }
    ],
    "operating_point": {"wanted_sensitivity": NUMBER, "threshold": NAMED, "held_out": (list, type(None)), "folds": int},
}
DRIFT = {
    "of": str,
    "base_sha256": str,
    "new_sha256": str,
    "paired": bool,
    "options": {"slower_by": NUMBER, "less_accurate_by": NUMBER},
    "changes": [{"metric": METRIC, "new": (*NUMBER, type(None)), "change": (dict, type(None)), "verdict": str}],
    "worse": [str],
}
SCHEMAS: dict[str, Shape] = {
    "study": STUDY,
    "accuracy": ACCURACY,
    "drift": DRIFT,
    "latency": LATENCY,
    "compare": COMPARE,
    "export": EXPORT,
}
"""By benchmark: the entries beside `COMMON`."""


def check_document(document: Any) -> None:
    """Check a report.json.

    Raises
    ------
    ValueError
        If it is of another schema version, of an unknown kind, or an entry is missing or mistyped.
    """
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema version {version} instead of {SCHEMA_VERSION}")
    _check(document, COMMON, "report")
    if document["benchmark"] not in SCHEMAS:
        raise ValueError(f"no benchmark is called {document['benchmark']!r}")
    _check(document, SCHEMAS[document["benchmark"]], "report")
    if document["benchmark"] == "study" and document["scoring"] is not None:
        _check(document["scoring"], SCORED, "report.scoring")


def _check(value: Any, shape: Shape, where: str) -> None:
    if isinstance(shape, dict):
        _check_kind(value, dict, where)
        for key, inner in shape.items():
            if key not in value:
                raise ValueError(f"{where} has no {key!r}")
            _check(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        _check_kind(value, list, where)
        for index, entry in enumerate(value):
            _check(entry, shape[0], f"{where}[{index}]")
    else:
        _check_kind(value, shape, where)


def _check_kind(value: Any, kinds: Any, where: str) -> None:
    # A bool is an int to Python, but no number of anything.
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds in (int, NUMBER)):
        raise ValueError(f"{where} is {type(value).__name__}")
