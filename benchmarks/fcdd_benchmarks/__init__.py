"""Benchmarks of exported FCDD models: accuracy figures with their intervals."""

import fcdd_runtime  # noqa: F401  # switches ONNX Runtime's telemetry off before anything imports it
