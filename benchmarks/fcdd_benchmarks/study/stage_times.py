"""Spans of one run of fcdd-score -> what each stage takes of a study. Stages and rest add up to the whole."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fcdd_benchmarks.timing.stage_clock import Span
from fcdd_benchmarks.timing.stages import DECODE, SCORE_STAGES, WHOLE
from fcdd_runtime.errors import BackendError

INFER, QUEUE, REST = "infer", "queue", "rest"
STAGES = tuple(
    stage
    for one in dict.fromkeys(watched.stage for watched in SCORE_STAGES if watched.stage != WHOLE)
    for stage in ((QUEUE, INFER) if one == INFER else (one,))
)
"""In the order of the flow; `REST` is what lies between them."""


@dataclass(frozen=True)
class StageTime:
    """What a stage takes of a study, ms."""

    stage: str
    wall_ms: float
    cpu_ms: float
    """Of all threads of the process."""


def stage_times(spans: Sequence[Span], studies: int, threads: int, queue_s: float) -> tuple[StageTime, ...]:
    """Divide a run's wall time among the stages.

    Slices are decoded by several threads while the flow's own thread waits in the stage that needs them. Of that
    stage's wall time decoding gets what the threads spent in it, divided by their number: its mean over the threads.

    Parameters
    ----------
    threads : that decode slices
    queue_s : how long all requests waited in the server; it belongs to no other stage

    Raises
    ------
    BackendError
        If other stages than decoding ran beside the flow, so that the sum would count time twice.
    """
    if beside := {span.stage for span in spans if span.under is not None} - {DECODE}:
        raise BackendError(
            f"{', '.join(sorted(beside))} ran in other threads, so that stages do not add up to the whole"
        )
    wall, cpu = defaultdict[str, float](float), defaultdict[str, float](float)
    for span in spans:
        _add(span, wall, cpu, threads)
    wall[INFER] -= queue_s
    wall[QUEUE] += queue_s
    wall[REST], cpu[REST] = wall[WHOLE], cpu[WHOLE]
    return tuple(StageTime(one, wall[one] * 1e3 / studies, cpu[one] * 1e3 / studies) for one in (*STAGES, REST))


def _add(span: Span, wall: dict[str, float], cpu: dict[str, float], threads: int) -> None:
    if span.under is None:
        wall[span.stage] += span.wall_s
        cpu[span.stage] += span.cpu_s
        return
    share = span.wall_s / threads
    wall[span.stage] += share
    wall[span.under] -= share
    cpu[span.stage] += span.cpu_s
    cpu[span.under] -= span.cpu_s
