"""What was not chosen and may be a phase: volumes beside a dynamic, that ImageType rules out, or without positions.

A check raises StudyError where the number would be wrong, and returns a warning where it may be right.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.checks import CHOOSE
from fcdd_runtime.phases.dynamics import Dynamic, Phase, Stack, phases_of, stacks_of
from fcdd_runtime.phases.order import earliest, order_is_unclear
from fcdd_runtime.phases.regions import in_one_region
from fcdd_runtime.phases.series_filter import ruled_out, ruled_out_by_type
from fcdd_runtime.study.phase_attributes import ACQUISITION_TIME, CONTENT_TIME, clocks
from fcdd_runtime.study.protocol import near_protocol, no_dynamic_t1, same_numbers, same_protocol
from fcdd_runtime.study.read import Series
from fcdd_runtime.study.slices import Slice
from fcdd_runtime.study.stacking import MIN_SLICES, STEP_TOLERANCE


def check_nothing_left_out(dynamic: Dynamic, pre: Phase, post: Phase, stacks: Sequence[Stack]) -> tuple[Finding, ...]:
    """Refuse where a volume that shows what the dynamic shows, but is outside it, may be a phase before contrast.

    Parameters
    ----------
    stacks : all of the study, also those that their description rules out as phases
    """
    findings = []
    own = {id(stack.slices[0]) for stack in dynamic.stacks}
    protocol = dynamic.stacks[0].protocol
    for stack in (stack for stack in stacks if id(stack.slices[0]) not in own):
        if no_dynamic_t1(stack.protocol) and not same_numbers(stack.protocol, protocol):
            continue
        alike = near_protocol(stack.protocol, protocol) or same_numbers(stack.protocol, protocol)
        for phase in phases_of(stack):
            if not in_one_region(stack.box_mm, pre.stack.box_mm) or _precedes(phase.slices, post.slices) is False:
                continue
            if ruled_out(stack.series.description) and not _has_own_time(phase, dynamic):
                continue
            if alike:
                raise StudyError(
                    f"{phase.name} shows what {dynamic.name} shows and is not later, but differs in its grid, protocol "
                    f"or description; {CHOOSE} which are subtracted",
                    "phases-ambiguous",
                )
            if _on_one_grid(phase, pre):
                sentence = f"{phase.name} is not later than {post.name} and was not used, because its protocol differs."
                findings.append(Finding("not-used", sentence))
    return tuple(findings)


def check_ruled_out_is_later(pre: Phase, all_series: Sequence[Series]) -> None:
    """Refuse where slices that ImageType rules out have the protocol and places of the first phase, but come before it.

    What a scanner computes bears the time of its source or a later one, so that these may be acquired, and the first.
    """
    for series in all_series:
        slices = tuple(replace(each, image_type=()) for each in series.slices if ruled_out_by_type(each.image_type))
        for stack in stacks_of(replace(series, slices=slices)):
            for phase in phases_of(stack):
                alike = same_protocol(stack.protocol, pre.stack.protocol) and _on_one_grid(phase, pre)
                if alike and _precedes(phase.slices, pre.slices):
                    raise StudyError(
                        f"slices of {series.label} lie where {pre.name} does and are earlier, but their ImageType says "
                        f"that they were computed; {CHOOSE} which are subtracted",
                        "phases-ambiguous",
                    )


def check_unplaced_is_later(pre: Phase, all_series: Sequence[Series]) -> None:
    """Refuse where a series without positions has the protocol of the first phase and is not later."""
    for series in all_series:
        placed = any(image_slice.plane is not None for image_slice in series.slices)
        if placed or len(series.slices) < MIN_SLICES:
            continue
        if not same_protocol(series.slices[0].protocol, pre.stack.protocol):
            continue
        hidden = ruled_out(series.description) or ruled_out_by_type(series.slices[0].image_type)
        earlier = _precedes(series.slices, pre.slices)
        if earlier or (earlier is None and not hidden):
            raise StudyError(
                f"{series.label} has the protocol of {pre.name} and is not later, but does not say where it lies; "
                f"export the study again, or {CHOOSE} which are subtracted",
                "phases-ambiguous",
            )


def lie_elsewhere(phases: Sequence[Phase], stacks: Sequence[Stack]) -> list[Stack]:
    """Return the volumes that have the protocol of one of the phases but show another part of the body than all."""
    return [
        stack
        for stack in stacks
        if not ruled_out(stack.series.description)
        and any(same_protocol(stack.protocol, phase.stack.protocol) for phase in phases)
        and not any(in_one_region(stack.box_mm, phase.stack.box_mm) for phase in phases)
    ]


def _on_one_grid(first: Phase, second: Phase) -> bool:
    """Whether the outermost slices of two phases lie within a tenth of a pixel of each other, and as many between."""
    plane = second.slices[0].plane
    if len(first.slices) != len(second.slices) or plane is None:
        return False
    pixel = min(np.linalg.norm(plane.row_step_mm), np.linalg.norm(plane.column_step_mm))
    apart = np.linalg.norm(_outermost(first) - _outermost(second), axis=1)
    return bool(apart.max() <= max(1.0, STEP_TOLERANCE * pixel))


def _outermost(phase: Phase) -> npt.NDArray[np.float64]:
    """Return the origins of the two outermost slices: (2, 3), LPS, mm."""
    origins = np.array([each.plane.origin_mm for each in phase.slices if each.plane is not None])
    ends: npt.NDArray[np.float64] = origins[np.lexsort(np.round(origins, 2).T)][[0, -1]]
    return ends


def _precedes(slices: Sequence[Slice], others: Sequence[Slice]) -> bool | None:
    """Whether slices were acquired before others; None if they have no common clock."""
    for clock in clocks():
        time, other = earliest(slices, clock), earliest(others, clock)
        if time is not None and other is not None and not order_is_unclear(clock, (time, other)):
            return time < other
    return None


def _has_own_time(phase: Phase, dynamic: Dynamic) -> bool:
    """Whether a phase was acquired at a time of its own; what was computed bears the time of a phase or a later one."""
    time = earliest(phase.slices, ACQUISITION_TIME)
    others = [earliest(other.slices, ACQUISITION_TIME) for other in dynamic.phases]
    if time is not None and None not in others:
        return all(abs(time - other) > ACQUISITION_TIME.tolerance for other in others if other is not None)
    made, first = earliest(phase.slices, CONTENT_TIME), earliest(dynamic.phases[0].slices, CONTENT_TIME)
    return made is not None and first is not None and made < first
