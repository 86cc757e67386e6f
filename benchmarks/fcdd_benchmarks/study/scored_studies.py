"""fcdd-score on drawn studies, in fresh processes: studies an hour, time by stage, and memory.

Runs that are timed as a whole and runs that are timed by stage take turns; the former give the headline.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcdd_benchmarks.study.stage_times import StageTime, stage_times
from fcdd_benchmarks.timing.measured_command import CommandFacts, measured
from fcdd_benchmarks.timing.stages import STUDY_STARTS
from fcdd_benchmarks.timing.timed_model import ModelIdentity
from fcdd_benchmarks.timing.triton_split import TritonStatistics
from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.errors import BackendError
from fcdd_runtime.volumes.volume import reading_threads

PLAIN, BY_STAGE = "fcdd-score", "fcdd-score by stage"


@dataclass(frozen=True)
class ScoringOptions:
    """What is scored, and how often."""

    model: Path | None
    url: str | None
    """One of the two."""
    dicom: bool
    """Write the DICOM objects, too."""
    rounds: int


@dataclass(frozen=True)
class ScoringRun:
    """One process."""

    studies: int
    wall_ms: float
    """All studies, without start and end of the process."""
    study_ms: tuple[float, ...]
    """Each of them."""
    start_ms: float
    """Start and end of the process: imports, opening the model."""
    ready_mb: float
    over_ready_mb: float
    peak_mb: float
    stages: tuple[StageTime, ...]
    """A study; empty where the run was timed as a whole."""


@dataclass(frozen=True)
class Scoring:
    """All runs."""

    model: ModelIdentity
    threads: int
    """That decode slices."""
    one: tuple[ScoringRun, ...]
    """Of one study, timed as a whole."""
    many: tuple[ScoringRun, ...]
    """Of all."""
    one_by_stage: tuple[ScoringRun, ...]
    many_by_stage: tuple[ScoringRun, ...]

    @property
    def label(self) -> str:
        """The model, such as `fcdd_fp16, in this process`."""
        return self.model.label


def measure_scoring(folders: Sequence[Path], options: ScoringOptions) -> Scoring:
    """Score drawn studies as the command does, over and over; the first time to know the results.

    Parameters
    ----------
    folders : at least two studies

    Raises
    ------
    BackendError
        If the command fails, or a run that was timed wrote other results than the command does.
    """
    model = _identity(options)
    expected = _results_of_the_command(folders, options)
    runs: dict[tuple[str, int], list[ScoringRun]] = defaultdict(list)
    ways = [(program, count) for count in (1, len(folders)) for program in (PLAIN, BY_STAGE)]
    rng = np.random.default_rng(0)
    for _ in range(options.rounds):
        for pick in rng.permutation(len(ways)):
            program, count = ways[pick]
            runs[program, count].append(_run(program, folders[:count], options, expected))
    one, one_by_stage, many, many_by_stage = (tuple(runs[way]) for way in ways)
    return Scoring(model, reading_threads(), one, many, one_by_stage, many_by_stage)


def _identity(options: ScoringOptions) -> ModelIdentity:
    opened = open_url(options.url) if options.url is not None else open_folder(_model(options))
    with opened as backend:
        return ModelIdentity.of(backend.contract, served=options.url is not None)


def _model(options: ScoringOptions) -> Path:
    if options.model is None:
        raise BackendError("no model to score with; give --model or --url")
    return options.model


def _results_of_the_command(folders: Sequence[Path], options: ScoringOptions) -> dict[str, bytes]:
    """Run the command itself; this also leaves the studies in the page cache."""
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        command = [sys.executable, "-c", "from fcdd_runtime.cli import score; score()"]
        command += _arguments(folders, options, Path(scratch))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BackendError(f"fcdd-score failed on the drawn studies: {done.stderr.strip()[-500:]}")
        return _results(Path(scratch))


def _arguments(folders: Sequence[Path], options: ScoringOptions, out: Path) -> list[str]:
    model = ["--url", options.url] if options.url is not None else ["--model", str(_model(options))]
    return [*map(str, folders), *model, "--out", str(out), *(["--dicom"] if options.dicom else [])]


def _results(out: Path) -> dict[str, bytes]:
    """Return every study's result.json: scores, peaks, phases, hashes; no time of day stands there."""
    return {path.parent.name: path.read_bytes() for path in out.glob("*/result.json")}


def _run(program: str, folders: Sequence[Path], options: ScoringOptions, expected: Mapping[str, bytes]) -> ScoringRun:
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch, _queue_clock(options.url) as queue_s:
        facts = measured(program, _arguments(folders, options, Path(scratch)))
        if facts.exit_code:
            raise BackendError(f"fcdd-score failed on the drawn studies: {facts.output[-500:]}")
        _check_results(_results(Path(scratch)), expected, len(folders))
        return _scoring_run(facts, len(folders), by_stage=program == BY_STAGE, queue_s=queue_s())


def _check_results(found: Mapping[str, bytes], expected: Mapping[str, bytes], count: int) -> None:
    if len(found) != count or any(expected.get(name) != result for name, result in found.items()):
        raise BackendError("a timed run wrote other results than fcdd-score does, so it is not reported")


@contextlib.contextmanager
def _queue_clock(url: str | None) -> Iterator[Callable[[], float]]:
    """Yield what says how long requests have waited in the server since, s; nothing waits where there is none."""
    if url is None:
        yield lambda: 0.0
        return
    with contextlib.closing(TritonStatistics(url)) as statistics:
        before = statistics.settled().nanoseconds["queue"]
        yield lambda: (statistics.settled().nanoseconds["queue"] - before) / 1e9


def _scoring_run(facts: CommandFacts, studies: int, *, by_stage: bool, queue_s: float) -> ScoringRun:
    whole = facts.whole
    if whole is None:
        raise BackendError("fcdd-score ended before it scored anything")
    starts = [span.started_s for span in facts.spans if span.stage == STUDY_STARTS.stage]
    return ScoringRun(
        studies=studies,
        wall_ms=whole.whole_s * 1e3,
        study_ms=tuple(float(one) * 1e3 for one in np.diff([*starts, whole.started_s + whole.whole_s])),
        start_ms=(facts.process_s - whole.whole_s) * 1e3,
        ready_mb=facts.ready_mb,
        over_ready_mb=facts.over_ready_mb,
        peak_mb=facts.peak_mb,
        stages=stage_times(facts.spans, studies, reading_threads(), queue_s) if by_stage else (),
    )
