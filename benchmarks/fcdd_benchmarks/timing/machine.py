"""What figures were measured on: processor, memory, system, package versions and GPUs."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from fcdd_export.machine import processor

GOVERNOR_FILE = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
GPU_FACTS = ("name", "driver_version", "memory.total", "clocks.sm", "power.draw", "temperature.gpu")
"""As `nvidia-smi --query-gpu` names them."""


def machine_facts(packages: Iterable[str]) -> dict[str, Any]:
    """Return what the figures were measured on; `packages` are distributions whose versions belong to them.

    Entries: `processor`, `cores` (those this process may use), `memory_gb` (1e9 bytes), `governor` of the first core
    (None where it cannot be read), `system`, `python`, `versions`, `gpus` (one set of `GPU_FACTS` each).
    """
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "governor": _governor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "gpus": _gpus(),
    }


def machine_rows(facts: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return facts as pairs of words for a table."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    gpus = [", ".join(str(value) for value in gpu.values()) for gpu in facts["gpus"]]
    return (
        ("Processor", f"{facts['processor']}, {facts['cores']} cores"),
        ("Frequency governor", facts["governor"] or "not readable"),
        ("Memory", f"{facts['memory_gb']:g} GB"),
        ("GPU", "; ".join(gpus) or "none"),
        ("System", facts["system"]),
        ("Software", f"Python {facts['python']}, {versions}"),
    )


def _governor() -> str | None:
    try:
        return GOVERNOR_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _gpus() -> list[dict[str, str]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(GPU_FACTS)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    return [dict(zip(GPU_FACTS, row, strict=False)) for row in rows]
