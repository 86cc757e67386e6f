"""From DICOM files to a MIP: ours, SimpleITK's fastest way, and what reading the bytes and one maximum cost."""

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from fcdd_benchmarks.study.mip_readers import READERS, mip_hash, our_reader, reference_mip
from fcdd_benchmarks.study.report import MipTiming
from fcdd_benchmarks.timing.summary import ratio_of_medians
from fcdd_runtime.errors import BackendError


def check_mips(folders: Iterable[Path]) -> None:
    """Compare the product's MIP of each drawn study with the reference, bit for bit.

    Raises
    ------
    BackendError
        If they differ in one pixel: a time for a wrong answer is none.
    """
    read = our_reader()
    for folder in folders:
        if not np.array_equal(read(folder), reference_mip(folder)):
            raise BackendError(
                f"the MIP of the drawn study {folder.name} is not that of the reference; nothing is timed"
            )


def time_mips(folder: Path, transfer_syntax: str, processes: int) -> tuple[MipTiming, ...]:
    """Let every reader read a drawn study in processes of its own, in turns, so that a slow moment slows all of them.

    Raises
    ------
    BackendError
        If a reader's MIP is not that of the reference, bit for bit: a time for a wrong answer is none.
    """
    absent = {"simpleitk"} if util.find_spec("SimpleITK") is None else set()
    absent |= {"limit"} if transfer_syntax != "native" else set()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in READERS if name not in absent}
    for round_number in range(processes + 1):
        for name, found in runs.items():
            run = _run(name, folder)
            if round_number:  # the first is a warm-up
                found.append(run)
    expected = mip_hash(reference_mip(folder))
    if wrong := sorted(name for name, found in runs.items() if any(run["mip"] != expected for run in found)):
        raise BackendError(f"the MIP of {', '.join(wrong)} is not that of the reference, so nothing is reported")
    times = {name: [float(run["ms"]) for run in found] for name, found in runs.items()}
    return tuple(
        MipTiming(
            name=name,
            median_ms=float(np.median(times[name])),
            lowest_ms=min(times[name]),
            highest_ms=max(times[name]),
            over_mb=float(np.median([run["over_mb"] for run in found])),
            peak_mb=float(np.median([run["peak_mb"] for run in found])),
            ratio=ratio_of_medians(times[name], times["ours"]),
        )
        for name, found in runs.items()
    )


def _run(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "fcdd_benchmarks.study.mip_readers", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"reading by {name} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
