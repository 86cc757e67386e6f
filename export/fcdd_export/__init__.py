"""Trained FCDD snapshot -> verified models in a Triton model repository."""

import fcdd_runtime  # noqa: F401  # switches ONNX Runtime's telemetry off before anything imports it
