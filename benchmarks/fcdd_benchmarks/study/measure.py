"""DICOM studies to results: the way to the MIP beside others, and all of fcdd-score by stage."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from fcdd_benchmarks.report.estimate import Metric
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.study.drawn_study import write_study
from fcdd_benchmarks.study.mip_times import check_mips, time_mips
from fcdd_benchmarks.study.report import MipTiming, ScoringFigures, StudyOptions, StudyReport
from fcdd_benchmarks.study.score_times import Scorer, time_scoring
from fcdd_benchmarks.timing.timed_model import ModelIdentity

PACKAGES = ("fcdd-edge", "numpy", "pydicom", "onnxruntime", "tritonclient", "SimpleITK", "imagecodecs")


def measure_studies(options: StudyOptions, model: Path | None, command: str) -> StudyReport:
    """Draw studies, check the product's answers on them, and time.

    Parameters
    ----------
    model : folder of the model that `options.model` names

    Raises
    ------
    BackendError
        If an answer is not that of the reference: a time for a wrong answer is none.
    """
    scoring: ScoringFigures | None = None
    models: tuple[ModelIdentity, ...] = ()
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        folders = [Path(scratch) / f"study{number}" for number in range(options.studies if options.rounds else 1)]
        for seed, folder in enumerate(folders):
            write_study(folder, options, seed)
        check_mips(folders)
        if options.rounds:
            identity, scoring = time_scoring(folders, Scorer(model, options.url, options.dicom), options.rounds)
            models = (identity,)
        timings = time_mips(folders[0], options.transfer_syntax, options.repeats)
    what = f"{options.slices} slices of {options.size} x {options.size}, {options.transfer_syntax}"
    rate = "Study to MIP" if scoring is None else f"{scoring.studies_per_hour.value:,.0f} studies an hour"
    return StudyReport(
        title=f"{rate}: {what}",
        command=command,
        machine=this_machine(PACKAGES),
        metrics=tuple(_metrics(scoring, timings)),
        options=options,
        models=models,
        timings=timings,
        scoring=scoring,
    )


def _metrics(scoring: ScoringFigures | None, timings: Sequence[MipTiming]) -> Iterator[Metric]:
    """Compare ways to the MIP by ratios, in which the machine's speed cancels: others should stay as much slower."""
    if scoring is not None:
        yield scoring.studies_per_hour.metric(f"{scoring.model}: studies an hour", "higher", "studies/h")
        yield scoring.one_ms.metric(f"{scoring.model}: one study", "lower", "ms")
        yield scoring.many_over_mb.metric(f"{scoring.model}: memory of scoring", "lower", "MB")
    for timing in timings[1:]:
        yield timing.ratio.metric(f"{timing.name}, times ours", "higher", "times")
