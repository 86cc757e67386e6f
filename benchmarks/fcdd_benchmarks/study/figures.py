"""Runs of fcdd-score -> studies an hour, time a study, memory, and the mean of each stage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fcdd_benchmarks.study.scored_studies import Scoring, ScoringRun
from fcdd_benchmarks.study.stage_times import REST, STAGES, StageTime
from fcdd_benchmarks.timing.summary import BOOTSTRAPS, NOISY, Percentile


@dataclass(frozen=True)
class StageFigures:
    """One stage, ms a study, means over the rounds."""

    stage: str
    one_ms: float
    """Wall time where a process scores one study."""
    one_cpu_ms: float
    many_ms: float
    """Wall time a study where a process scores all of them."""
    many_cpu_ms: float
    many_share: float
    """Of the wall time of all studies."""


@dataclass(frozen=True)
class StudyFigures:
    """What a report says about scoring."""

    studies: int
    studies_per_hour: Percentile
    """Of the runs of many studies, with a 95 % interval."""
    many_ms: Percentile
    """Mean wall time a study there."""
    one_ms: Percentile
    """Wall time where a process scores one study, without its start."""
    start_ms: Percentile
    """Start and end of a process."""
    stages: tuple[StageFigures, ...]
    """In the order of the flow; the rest last."""
    clock_share: float
    """How much longer runs by stage took than runs as a whole, as a share."""
    spread: float
    """Largest minus smallest mean time a study among the rounds, as a share of the mean."""
    ready_mb: Percentile
    """Resident memory with everything imported and opened: median, smallest and largest of the rounds."""
    one_over_mb: Percentile
    """Largest resident memory over that, one study."""
    many_over_mb: Percentile
    peak_mb: Percentile
    """Largest resident memory of a process, many studies."""

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy with other things for the figures to be trusted."""
        return self.spread > NOISY


def figures_of(scoring: Scoring) -> StudyFigures:
    """Summarise all rounds."""
    many_ms = _mean_time(scoring.many)
    means = [run.wall_ms / run.studies for run in scoring.many]
    by_stage = float(np.mean([run.wall_ms / run.studies for run in scoring.many_by_stage]))
    return StudyFigures(
        studies=scoring.many[0].studies,
        studies_per_hour=Percentile(3.6e6 / many_ms.value, 3.6e6 / many_ms.high, 3.6e6 / many_ms.low),
        many_ms=many_ms,
        one_ms=_mean_time(scoring.one),
        start_ms=_middle(scoring.one, lambda run: run.start_ms),
        stages=_stages(scoring),
        clock_share=by_stage / many_ms.value - 1,
        spread=(max(means) - min(means)) / many_ms.value,
        ready_mb=_middle(scoring.many, lambda run: run.ready_mb),
        one_over_mb=_middle(scoring.one, lambda run: run.over_ready_mb),
        many_over_mb=_middle(scoring.many, lambda run: run.over_ready_mb),
        peak_mb=_middle(scoring.many, lambda run: run.peak_mb),
    )


def _mean_time(runs: Sequence[ScoringRun]) -> Percentile:
    """Return the mean time a study with a 95 % bootstrap interval, widened to the means of all rounds.

    Studies of a round follow each other, so a slow round makes all of them slow, which a bootstrap does not see.
    """
    times = np.concatenate([run.study_ms for run in runs])
    picks = np.random.default_rng(0).integers(0, len(times), (BOOTSTRAPS, len(times)))
    low, high = np.quantile(times[picks].mean(1), (0.025, 0.975))
    means = [run.wall_ms / run.studies for run in runs]
    return Percentile(float(np.mean(means)), float(min(low, *means, high)), float(max(low, *means, high)))


def _middle(runs: Sequence[ScoringRun], figure: Callable[[ScoringRun], float]) -> Percentile:
    values = [figure(run) for run in runs]
    return Percentile(float(np.median(values)), min(values), max(values))


def _stages(scoring: Scoring) -> tuple[StageFigures, ...]:
    one, many = (_mean_stages(runs) for runs in (scoring.one_by_stage, scoring.many_by_stage))
    whole = sum(stage.wall_ms for stage in many)
    return tuple(
        StageFigures(first.stage, first.wall_ms, first.cpu_ms, all_.wall_ms, all_.cpu_ms, all_.wall_ms / whole)
        for first, all_ in zip(one, many, strict=True)
    )


def _mean_stages(runs: Sequence[ScoringRun]) -> list[StageTime]:
    columns = zip(*(run.stages for run in runs), strict=True)
    found = {column[0].stage: column for column in columns}
    return [
        StageTime(
            name,
            float(np.mean([one.wall_ms for one in found[name]])),
            float(np.mean([one.cpu_ms for one in found[name]])),
        )
        for name in (*STAGES, REST)
    ]
