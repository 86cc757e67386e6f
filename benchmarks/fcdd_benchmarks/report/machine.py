"""What figures were measured on: processor, memory, system, package versions and GPUs."""

import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fcdd_export.machine import processor

GOVERNOR_FILE = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
GPU_FACTS = ("name", "driver_version", "memory.total", "clocks.sm", "power.draw", "temperature.gpu")
"""As `nvidia-smi --query-gpu` names them."""


VECTOR_FLAGS = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve"),
)
"""As /proc/cpuinfo names them, on x86-64 and on Arm."""


@dataclass(frozen=True)
class Machine:
    """A machine while it measured."""

    processor: str
    cores: int
    """Those that the process may use."""
    memory_gb: float
    """1e9 bytes."""
    governor: str | None
    """Of the first core's frequency; None where it cannot be read."""
    system: str
    python: str
    versions: dict[str, str]
    """By package; `not installed` where it is not."""
    gpus: tuple[dict[str, str], ...]
    """`GPU_FACTS` of each."""
    vector_instructions: str = ""
    """Those that matter to networks, such as `avx2 avx512f avx512_vnni`: the same model name has more or fewer of them
    in front of it on another host. Empty in reports of earlier releases, and where Linux names none."""

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Return pairs of words for a table."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            ("Processor", f"{self.processor}, {self.cores} cores"),
            *((("Vector instructions", self.vector_instructions),) if self.vector_instructions else ()),
            ("Frequency governor", self.governor or "not readable"),
            ("Memory", f"{self.memory_gb:g} GB"),
            ("GPU", "; ".join(", ".join(gpu.values()) for gpu in self.gpus) or "none"),
            ("System", self.system),
            ("Software", f"Python {self.python}, {versions}"),
        )


def this_machine(packages: Iterable[str]) -> Machine:
    """Return what is measured on now; `packages` are distributions whose versions belong to it."""
    try:
        governor = GOVERNOR_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        governor = None
    return Machine(
        processor=processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        governor=governor,
        system=platform.platform(),
        python=platform.python_version(),
        versions={name: _version(name) for name in packages},
        gpus=_gpus(),
        vector_instructions=_vector_instructions(),
    )


def _vector_instructions() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return " ".join(flag for flag in VECTOR_FLAGS if flag in flags.split())
    return ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _gpus() -> tuple[dict[str, str], ...]:
    command = ["nvidia-smi", f"--query-gpu={','.join(GPU_FACTS)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(dict(zip(GPU_FACTS, line.split(", "), strict=False)) for line in done.stdout.splitlines())
