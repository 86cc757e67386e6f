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
import numpy.typing as npt

from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.study.report import ScoringFigures, StageFigures
from fcdd_benchmarks.study.stage_times import REST, STAGES, stage_times
from fcdd_benchmarks.timing.measured_command import CommandFacts, measured
from fcdd_benchmarks.timing.stages import STUDY_STARTS
from fcdd_benchmarks.timing.summary import BOOTSTRAPS
from fcdd_benchmarks.timing.timed_model import ModelIdentity
from fcdd_benchmarks.timing.triton_split import TritonStatistics
from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.errors import BackendError
from fcdd_runtime.volumes.volume import reading_threads

PLAIN, BY_STAGE = "fcdd-score", "fcdd-score by stage"


@dataclass(frozen=True)
class ScoringRun:
    """One process."""

    facts: CommandFacts
    whole_ms: float
    """All studies, without start and end of the process."""
    study_ms: npt.NDArray[np.float64]
    """Each of them."""
    stages: npt.NDArray[np.float64]
    """As `stage_times` returns them; meaningless where the run was timed as a whole."""

    @property
    def mean_ms(self) -> float:
        """A study, on the mean."""
        return self.whole_ms / len(self.study_ms)

    @property
    def start_ms(self) -> float:
        """Start and end of the process: imports, opening the model."""
        return self.facts.process_s * 1e3 - self.whole_ms


@dataclass(frozen=True)
class Scorer:
    """How drawn studies are scored."""

    model: Path | None
    url: str | None
    """One of the two."""
    dicom: bool
    """Write the DICOM objects, too."""

    def arguments(self, folders: Sequence[Path], out: Path) -> list[str]:
        """Return those of `fcdd-score`."""
        model = ["--url", self.url] if self.url is not None else ["--model", str(self.model)]
        return [*map(str, folders), *model, "--out", str(out), *(["--dicom"] if self.dicom else [])]

    def identity(self) -> ModelIdentity:
        """Return which model it is."""
        assert self.model is not None or self.url is not None
        opened = open_folder(self.model) if self.model is not None else open_url(self.url or "")
        with opened as backend:
            return ModelIdentity.of(backend.contract, served=self.url is not None)


def time_scoring(folders: Sequence[Path], scorer: Scorer, rounds: int) -> tuple[ModelIdentity, ScoringFigures]:
    """Score drawn studies as the command does, over and over; the first time to know the results.

    Parameters
    ----------
    folders : at least two studies

    Raises
    ------
    BackendError
        If the command fails, or a run that was timed wrote other results than the command does.
    """
    identity = scorer.identity()
    expected = results_of_the_command(folders, scorer)
    runs: dict[tuple[str, int], list[ScoringRun]] = defaultdict(list)
    ways = [(program, count) for count in (1, len(folders)) for program in (PLAIN, BY_STAGE)]
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for pick in rng.permutation(len(ways)):
            program, count = ways[pick]
            runs[program, count].append(_run(program, folders[:count], scorer, expected))
    single, single_by_stage, many, many_by_stage = (runs[way] for way in ways)
    many_ms, means = _mean_time(many), [run.mean_ms for run in many]
    of_one, of_many = (np.mean([run.stages for run in found], axis=0) for found in (single_by_stage, many_by_stage))
    stages = np.column_stack([of_one, of_many, of_many[:, 0] / of_many[:, 0].sum()]).tolist()
    return identity, ScoringFigures(
        model=identity.label,
        studies=len(folders),
        studies_per_hour=many_ms.reciprocal(3.6e6),
        many_ms=many_ms,
        one_ms=_mean_time(single),
        start_ms=Estimate.of_runs([run.start_ms for run in single]),
        stages=tuple(StageFigures(stage, *row) for stage, row in zip((*STAGES, REST), stages, strict=True)),
        clock_share=float(np.mean([run.mean_ms for run in many_by_stage])) / many_ms.value - 1,
        spread=(max(means) - min(means)) / many_ms.value,
        ready_mb=Estimate.of_runs([run.facts.ready_mb for run in many]),
        one_over_mb=Estimate.of_runs([run.facts.over_ready_mb for run in single]),
        many_over_mb=Estimate.of_runs([run.facts.over_ready_mb for run in many]),
        peak_mb=Estimate.of_runs([run.facts.peak_mb for run in many]),
    )


def results_of_the_command(folders: Sequence[Path], scorer: Scorer) -> dict[str, bytes]:
    """Run the command itself and return what `_results` does; this also leaves the studies in the page cache."""
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        command = [sys.executable, "-c", "from fcdd_runtime.cli import score; score()"]
        command += scorer.arguments(folders, Path(scratch))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BackendError(f"fcdd-score failed on the drawn studies: {done.stderr.strip()[-500:]}")
        return _results(Path(scratch))


def _results(out: Path) -> dict[str, bytes]:
    """Return every study's result.json: scores, peaks, phases, hashes; no time of day stands there."""
    return {path.parent.name: path.read_bytes() for path in out.glob("*/result.json")}


def _run(program: str, folders: Sequence[Path], scorer: Scorer, expected: Mapping[str, bytes]) -> ScoringRun:
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch, _queue_clock(scorer.url) as queue_s:
        facts = measured(program, scorer.arguments(folders, Path(scratch)))
        if facts.exit_code:
            raise BackendError(f"fcdd-score failed on the drawn studies: {facts.output[-500:]}")
        results = _results(Path(scratch))
        if len(results) != len(folders) or any(expected.get(name) != text for name, text in results.items()):
            raise BackendError("a timed run wrote other results than fcdd-score does, so it is not reported")
        whole = facts.whole
        if whole is None:
            raise BackendError("fcdd-score ended before it scored anything")
        starts = [span.started_s for span in facts.spans if span.stage == STUDY_STARTS.stage]
        study_ms = np.diff([*starts, whole.started_s + whole.whole_s]) * 1e3
        stages = stage_times(facts.spans, len(folders), reading_threads(), queue_s())
        return ScoringRun(facts, whole.whole_s * 1e3, study_ms, stages)


@contextlib.contextmanager
def _queue_clock(url: str | None) -> Iterator[Callable[[], float]]:
    """Yield what says how long requests have waited in the server since, s; nothing waits where there is none."""
    if url is None:
        yield lambda: 0.0
        return
    with contextlib.closing(TritonStatistics(url)) as statistics:
        before = statistics.settled().nanoseconds["queue"]
        yield lambda: (statistics.settled().nanoseconds["queue"] - before) / 1e9


def _mean_time(runs: Sequence[ScoringRun]) -> Estimate:
    """Return the mean time a study with a 95 % bootstrap interval, widened to the means of all rounds.

    Studies of a round follow each other, so a slow round makes all of them slow, which a bootstrap does not see.
    """
    times = np.concatenate([run.study_ms for run in runs])
    picks = np.random.default_rng(0).integers(0, len(times), (BOOTSTRAPS, len(times)))
    means = [run.mean_ms for run in runs]
    drawn = Estimate.of_draws(float(np.mean(means)), times[picks].mean(1))
    return Estimate(drawn.value, min(drawn.low, *means, drawn.high), max(drawn.low, *means, drawn.high))
