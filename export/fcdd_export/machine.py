"""What an export ran on, for its report."""

import os
import platform
import resource
from pathlib import Path


def machine() -> str:
    """Return processor, number of cores and operating system in words."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} x {processor()}, {system}"


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, MB (1e6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def processor() -> str:
    """Return the model name that Linux knows; Arm kernels name none."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
