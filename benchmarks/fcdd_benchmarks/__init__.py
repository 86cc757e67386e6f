"""Benchmarks of exported FCDD models: accuracy figures with their intervals."""

import sys
from typing import Any

import fcdd_runtime  # noqa: F401  # switches ONNX Runtime's telemetry off before anything imports it

# OpenVINO reports its import to its maker through this package, and has no switch; without the package it goes without.
_modules: dict[str, Any] = sys.modules
_modules["openvino_telemetry"] = None
