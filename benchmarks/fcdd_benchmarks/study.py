"""From DICOM files to a MIP: ours, SimpleITK's fastest way, and what reading the bytes and one maximum cost."""

import dataclasses
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.drawn_study import write_study
from fcdd_benchmarks.machine import machine_facts
from fcdd_benchmarks.report import Metric, Report, Section, write_report
from fcdd_runtime.errors import BackendError

CONTENDERS = {
    "ours": "fcdd-edge: read_studies, split_phases, project",
    "simpleitk": "SimpleITK: its own series ordering, then slice by slice",
    "limit": "limit: the same bytes read, one subtraction and one running maximum",
}
BOOTSTRAPS = 2000


@dataclass(frozen=True)
class StudyOptions:
    """What is drawn, and how often it is read."""

    slices: int
    """A phase."""
    size: int
    """Rows and columns."""
    phases: int
    """On disk; the first two are subtracted."""
    transfer_syntax: str
    repeats: int
    """Processes a contender; every one reads the study three times and reports its median."""


@dataclass(frozen=True)
class Timing:
    """One contender's figures."""

    name: str
    median_ms: float
    lowest_ms: float
    highest_ms: float
    peak_mb: float
    """Largest resident memory over that after the imports, MB, median of the processes."""
    ratio: float
    """Median time as a multiple of ours."""
    ratio_low: float
    """2.5 % quantile of a bootstrap over processes."""
    ratio_high: float


def run_study_benchmark(options: StudyOptions, out: Path) -> str:
    """Draw a study, time the contenders in turn, write report.json and report.md, and return the latter.

    Raises
    ------
    BackendError
        If a contender's MIP is not that of the others: a time for a wrong answer is none.
    """
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        folder = Path(scratch) / "study"
        write_study(folder, options.slices, options.size, options.phases, options.transfer_syntax)
        runs = _interleaved(_contenders(options), folder, options.repeats)
    _check_answers(runs)
    timings = [_timing(name, found, runs["ours"]) for name, found in runs.items()]
    return write_report(_report(options, timings), out)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return machine_facts(("fcdd-edge", "numpy", "pydicom", "SimpleITK"))


def _contenders(options: StudyOptions) -> list[str]:
    names = ["ours"]
    if util.find_spec("SimpleITK") is not None:
        names.append("simpleitk")
    return [*names, "limit"] if options.transfer_syntax == "native" else names


def _interleaved(names: list[str], folder: Path, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Run the contenders in turn, so that a machine that slows down slows all of them; the first round is a warm-up."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for round_number in range(repeats + 1):
        for name in names:
            found = _run(name, folder)
            if round_number:
                runs[name].append(found)
    return runs


def _run(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "fcdd_benchmarks.contenders", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"the contender {name} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _check_answers(runs: dict[str, list[dict[str, Any]]]) -> None:
    answers = {run["sum"] for found in runs.values() for run in found}
    if len(answers) != 1:
        raise BackendError(f"the contenders do not agree on the MIP: {sorted(answers)}")


def _timing(name: str, runs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Timing:
    times, reference = (np.array([run["ms"] for run in found]) for found in (runs, ours))
    low, high = _ratio_interval(times, reference)
    return Timing(
        name=name,
        median_ms=float(np.median(times)),
        lowest_ms=float(times.min()),
        highest_ms=float(times.max()),
        peak_mb=float(np.median([run["peak_mb"] for run in runs])),
        ratio=float(np.median(times) / np.median(reference)),
        ratio_low=low,
        ratio_high=high,
    )


def _ratio_interval(times: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(times), (BOOTSTRAPS, len(times)))
    ratios = np.median(times[picks], axis=1) / np.median(reference[picks], axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def _report(options: StudyOptions, timings: list[Timing]) -> Report:
    where = machine()
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return Report(
        benchmark="study",
        title=f"Study to MIP: {options.slices} slices of {options.size} x {options.size}, {options.transfer_syntax}, "
        f"{options.phases} phases on disk",
        lead=f"{where['processor']}, {where['cores']} cores; Python {where['python']}, {versions}. From page cache; "
        f"{options.repeats} processes a contender, in turn; all MIPs equal.",
        command=f"fcdd-bench study --slices {options.slices} --size {options.size} --phases {options.phases} "
        f"--transfer-syntax {options.transfer_syntax} --repeats {options.repeats}",
        machine=where,
        sections=(_table(timings),),
        plots=(),
        metrics=tuple(_metric(timing) for timing in timings if timing.name != "ours"),
        document={
            "options": dataclasses.asdict(options),
            "timings": [dataclasses.asdict(timing) for timing in timings],
        },
    )


def _table(timings: list[Timing]) -> Section:
    headers = ("", "median ms", "lowest to highest", "peak MB over imports", "times ours (95 % interval)")
    rows = [
        (
            CONTENDERS[timing.name],
            f"{timing.median_ms:.0f}",
            f"{timing.lowest_ms:.0f} to {timing.highest_ms:.0f}",
            f"{timing.peak_mb:.0f}",
            f"{timing.ratio:.2f} ({timing.ratio_low:.2f} to {timing.ratio_high:.2f})",
        )
        for timing in timings
    ]
    return Section("", "", headers, tuple(rows))


def _metric(timing: Timing) -> Metric:
    """Compare by ratios, in which the machine's speed cancels: a contender should stay as much slower as it was."""
    name = f"{timing.name}, times ours"
    return Metric(name, timing.ratio, timing.ratio_low, timing.ratio_high, "higher", "times")
