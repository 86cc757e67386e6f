"""What report.json of `latency`, `compare` and `export` holds, as `schema.check_document` reads it."""

NUMBER = (int, float)
INTERVAL = {"value": NUMBER, "low": NUMBER, "high": NUMBER}
MAYBE = (dict, type(None))
"""An entry that is null where it could not be measured."""

SUMMARY = {"samples": int, "mean_ms": NUMBER, "max_ms": NUMBER, "spread": NUMBER, "noisy": bool}
OPEN_LOOP = {"model": str, "batch": int, "rate": NUMBER, "summary": MAYBE, "gave_up": bool}
IDENTITY = {"label": str, "name": str, "precision": str, "snapshot_sha256": str, "artefact_sha256": str}
LATENCY = {
    "options": {"models": list, "urls": list, "seconds": NUMBER},
    "models": [IDENTITY],
    "points": [
        {
            "model": str,
            "batch": int,
            "concurrency": int,
            "summary": {**SUMMARY, "p50": INTERVAL, "p90": MAYBE, "p95": MAYBE, "p99": MAYBE},
            "images_per_second": NUMBER,
            "throughput": INTERVAL,
            "warm": bool,
            "split": MAYBE,
        }
    ],
    "open_loops": [OPEN_LOOP],
    "rate_limits": [
        {
            "model": str,
            "batch": int,
            "p99_limit_ms": NUMBER,
            "rate": (*NUMBER, type(None)),
            "failed_rate": (*NUMBER, type(None)),
            "tried": [OPEN_LOOP],
        }
    ],
}
COMPARE = {
    "options": {"net": str, "snapshot_sha256": str, "batch": int, "repeats": int, "int8": bool},
    "contenders": [
        {"name": str, "precision": str, "drift": dict, "refused": (str, type(None)), "timing": MAYBE},
    ],
    "absent": dict,
    "int8_forms": [{"name": str, "seconds": NUMBER, "share": NUMBER}],
    "targets": [{"name": str, "target": str, "figure": MAYBE, "verdict": str}],
    "images": int,
    "multiply_adds": int,
    "products_ms": {"fp32": NUMBER, "int8": NUMBER},
    "torch_threads": int,
    "heatmaps": {"ms": dict, "ratio": INTERVAL, "error": NUMBER},
    "client_overhead_ms": MAYBE,
}
EXPORT = {
    "options": {"networks": [str], "precisions": [str], "target": str, "repeats": int},
    "exports": [
        {
            "network": str,
            "precision": str,
            "limit_s": NUMBER,
            "limit_mb": NUMBER,
            "within": bool,
            "runs": [
                {
                    "seconds": NUMBER,
                    "peak_mb": NUMBER,
                    "stages": dict,
                    "artefact_mb": (*NUMBER, type(None)),
                    "refused": (str, type(None)),
                }
            ],
        }
    ],
}
