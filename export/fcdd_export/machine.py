"""What an export ran on, for its report."""

import platform
import resource
from pathlib import Path


def machine() -> str:
    """Return processor, number of cores and operating system in words."""
    return f"{_processor()}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, MB (1e6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _processor() -> str:
    """Return the model name that Linux knows; Arm kernels name none."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor() or platform.machine()
