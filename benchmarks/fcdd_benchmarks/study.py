"""From DICOM files to a MIP: ours, SimpleITK's fastest way, and what reading the bytes and one maximum cost."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.drawn_study import write_study
from fcdd_runtime.errors import BackendError
from fcdd_runtime.files import replaced_file

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
    document: dict[str, Any] = {"benchmark": "study", "options": dataclasses.asdict(options), "machine": machine()}
    document["timings"] = [dataclasses.asdict(timing) for timing in timings]
    report = _markdown(document, timings)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("report.json", json.dumps(document, indent=2) + "\n"), ("report.md", report)):
        with replaced_file(out / name) as path:
            path.write_text(text, encoding="utf-8")
    return report


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    packages = ("fcdd-edge", "numpy", "pydicom", "SimpleITK")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: _version(name) for name in packages},
    }


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


def _markdown(document: dict[str, Any], timings: list[Timing]) -> str:
    options, where = document["options"], document["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    lines = [
        f"# Study to MIP: {options['slices']} slices of {options['size']} x {options['size']}, "
        f"{options['transfer_syntax']}, {options['phases']} phases on disk",
        "",
        f"{where['processor']}, {where['cores']} cores; Python {where['python']}, {versions}. From page cache; "
        f"{options['repeats']} processes a contender, in turn; all MIPs equal.",
        "",
        "| | median ms | lowest to highest | peak MB over imports | times ours (95 % interval) |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {CONTENDERS[timing.name]} | {timing.median_ms:.0f} | {timing.lowest_ms:.0f} to {timing.highest_ms:.0f} "
        f"| {timing.peak_mb:.0f} | {timing.ratio:.2f} ({timing.ratio_low:.2f} to {timing.ratio_high:.2f}) |"
        for timing in timings
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
