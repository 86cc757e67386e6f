"""DICOM studies to results: the way to the MIP beside others, and all of fcdd-score by stage."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fcdd_benchmarks.study.check import check_mips
from fcdd_benchmarks.study.drawn_study import StudyShape, write_study
from fcdd_benchmarks.study.mip_contest import MipTiming, mip_contest
from fcdd_benchmarks.study.scored_studies import Scoring, ScoringOptions, measure_scoring


@dataclass(frozen=True)
class StudyOptions:
    """What is drawn, and how often it is read."""

    shape: StudyShape
    """Of each; the first two phases are subtracted."""
    repeats: int
    """Processes a contender; every one reads a study three times and reports its median."""
    studies: int
    """At least two, all different."""
    scoring: ScoringOptions | None
    """None: studies are read to their MIP only."""


@dataclass(frozen=True)
class StudyTimes:
    """All figures."""

    timings: list[MipTiming]
    scoring: Scoring | None


def measure_studies(options: StudyOptions) -> StudyTimes:
    """Draw studies, check the product's answers on them, and time.

    Raises
    ------
    BackendError
        If an answer is not that of the reference: a time for a wrong answer is none.
    """
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        folders = [Path(scratch) / f"study{number}" for number in range(options.studies if options.scoring else 1)]
        for seed, folder in enumerate(folders):
            write_study(folder, options.shape, seed)
        check_mips(folders)
        scoring = measure_scoring(folders, options.scoring) if options.scoring else None
        return StudyTimes(mip_contest(folders[0], options.shape.transfer_syntax, options.repeats), scoring)
