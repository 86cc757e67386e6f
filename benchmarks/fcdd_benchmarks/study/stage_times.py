"""Spans of one run of fcdd-score -> what each stage takes of a study. Stages and rest add up to the whole."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.timing.stage_clock import Span
from fcdd_benchmarks.timing.stages import DECODE, SCORE_STAGES, WHOLE
from fcdd_runtime.errors import BackendError

INFER, QUEUE, REST = "infer", "queue", "rest"
_WATCHED = dict.fromkeys(watched.stage for watched in SCORE_STAGES if watched.stage != WHOLE)
STAGES = tuple(stage for name in _WATCHED for stage in ((QUEUE, INFER) if name == INFER else (name,)))
"""In the order of the flow; `REST` is what lies between them."""


def stage_times(spans: Sequence[Span], studies: int, threads: int, queue_s: float) -> npt.NDArray[np.float64]:
    """Divide a run's wall time among the stages.

    Slices are decoded by several threads while the flow's own thread waits in the stage that needs them. Of that
    stage's wall time decoding gets what the threads spent in it, divided by their number: its mean over the threads.

    Parameters
    ----------
    threads : that decode slices
    queue_s : how long all requests waited in the server; it belongs to no other stage

    Returns
    -------
    ms a study, float64 (stages, 2): wall and CPU time, the latter of all threads of the process; in the order of
    `STAGES`, `REST` last.

    Raises
    ------
    BackendError
        If other stages than decoding ran beside the flow, so that the sum would count time twice.
    """
    if beside := {span.stage for span in spans if span.under is not None} - {DECODE}:
        raise BackendError(
            f"{', '.join(sorted(beside))} ran in other threads, so that stages do not add up to the whole"
        )
    taken_s = {stage: np.zeros(2) for stage in (*STAGES, WHOLE)}
    for span in spans:
        taken = np.array([span.wall_s if span.under is None else span.wall_s / threads, span.cpu_s])
        taken_s[span.stage] += taken
        if span.under is not None:
            taken_s[span.under] -= taken
    taken_s[INFER][0] -= queue_s
    taken_s[QUEUE][0] += queue_s
    return np.array(list(taken_s.values())) * 1e3 / studies
