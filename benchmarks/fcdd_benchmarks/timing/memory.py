"""How much memory this process has taken, from Linux.

`getrusage` is no use for a process that was started by another: its maximum counts what its parent held at that moment.
"""

from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"
"""As proc(5) says of clear_refs."""


def resident_mb() -> float:
    """Return the resident memory, MB (1e6 bytes)."""
    return _entry_mb("VmRSS")


def peak_resident_mb() -> float:
    """Return the largest resident memory since the program started, or since `forget_peak`, MB (1e6 bytes)."""
    return _entry_mb("VmHWM")


def forget_peak() -> None:
    """Count the peak from now on. Where the kernel does not allow it, the peak stays an upper bound of what follows."""
    try:
        CLEAR.write_text(FORGET_PEAK, encoding="ascii")
    except OSError:
        return


def _entry_mb(name: str) -> float:
    for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"{STATUS} has no {name}")
