"""From DICOM files to a MIP: ours, SimpleITK's fastest way, and what reading the bytes and one maximum cost."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from fcdd_benchmarks.study.check import reference_mip
from fcdd_benchmarks.study.contenders import mip_hash
from fcdd_benchmarks.timing.summary import Percentile, ratio_of_medians
from fcdd_runtime.errors import BackendError

CONTENDERS = {
    "ours": "fcdd-edge: read_studies, split_phases, project",
    "simpleitk": "SimpleITK: its own series ordering, then slice by slice",
    "limit": "limit: the same bytes read, one subtraction and one running maximum",
}


@dataclass(frozen=True)
class MipTiming:
    """One contender's figures."""

    name: str
    median_ms: float
    lowest_ms: float
    highest_ms: float
    over_mb: float
    """Largest resident memory over that after the imports, MB (1e6 bytes), median of the processes."""
    peak_mb: float
    """Largest resident memory of the process, likewise."""
    ratio: Percentile
    """Median time as a multiple of ours, with its 95 % interval over processes."""


def mip_contest(folder: Path, transfer_syntax: str, processes: int) -> list[MipTiming]:
    """Let every contender read a drawn study in processes of its own, in turns.

    Raises
    ------
    BackendError
        If a contender's MIP is not that of the reference, bit for bit: a time for a wrong answer is none.
    """
    runs = _interleaved(_contenders(transfer_syntax), folder, processes)
    _check_answers(runs, mip_hash(reference_mip(folder)))
    return [_timing(name, found, runs["ours"]) for name, found in runs.items()]


def _contenders(transfer_syntax: str) -> list[str]:
    names = ["ours"]
    if util.find_spec("SimpleITK") is not None:
        names.append("simpleitk")
    return [*names, "limit"] if transfer_syntax == "native" else names


def _interleaved(names: Sequence[str], folder: Path, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Run the contenders in turn, so that a machine that slows down slows all of them; the first round is a warm-up."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for round_number in range(repeats + 1):
        for name in names:
            found = _run(name, folder)
            if round_number:
                runs[name].append(found)
    return runs


def _run(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "fcdd_benchmarks.study.contenders", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"the contender {name} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _check_answers(runs: dict[str, list[dict[str, Any]]], expected: str) -> None:
    wrong = sorted(name for name, found in runs.items() if any(run["mip"] != expected for run in found))
    if wrong:
        raise BackendError(f"the MIP of {', '.join(wrong)} is not that of the reference, so nothing is reported")


def _timing(name: str, runs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> MipTiming:
    times, reference = ([float(run["ms"]) for run in found] for found in (runs, ours))
    return MipTiming(
        name=name,
        median_ms=float(np.median(times)),
        lowest_ms=min(times),
        highest_ms=max(times),
        over_mb=float(np.median([run["over_mb"] for run in runs])),
        peak_mb=float(np.median([run["peak_mb"] for run in runs])),
        ratio=ratio_of_medians(times, reference),
    )
