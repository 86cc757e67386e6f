"""What was not chosen: volumes that may be phases, too, and why each series was not used."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.dynamics import Dynamic, Phase, Stack, phases_of, ruled_out_stacks_of, stacks_of
from fcdd_runtime.phases.order import earliest, order_is_unclear
from fcdd_runtime.phases.regions import in_one_region
from fcdd_runtime.phases.series_filter import ruled_out_by_description, ruled_out_by_type
from fcdd_runtime.result import UnusedSeries
from fcdd_runtime.study.phase_attributes import ACQUISITION_TIME, CONTENT_TIME, clocks
from fcdd_runtime.study.protocol import near_protocol, no_dynamic_t1, same_numbers, same_protocol
from fcdd_runtime.study.read import Series, Study
from fcdd_runtime.study.slices import Slice
from fcdd_runtime.study.stacking import MIN_SLICES, STEP_TOLERANCE


def check_nothing_left_out(dynamic: Dynamic, pre: Phase, post: Phase, study: Study) -> tuple[Finding, ...]:
    """Doubt a choice beside which there are other volumes that could be a phase: of its protocol and on its grid.

    Nothing counts that was certainly acquired after the post-contrast phase. What ImageType or the description rules
    out counts only if it was acquired at a time of its own: what a scanner computes bears the time of its source, or a
    later one.
    """
    findings = []
    own = {stack.slices[0].source for stack in dynamic.stacks}
    protocol = dynamic.stacks[0].protocol
    for series in study.series:
        for stack in (*stacks_of(series), *ruled_out_stacks_of(series)):
            alike = near_protocol(stack.protocol, protocol) or same_numbers(stack.protocol, protocol)
            if stack.slices[0].source in own or not in_one_region(stack.box_mm, pre.stack.box_mm):
                continue
            hidden = why_no_phase(stack) != ""
            for phase in phases_of(stack):
                earlier = _precedes(phase.slices, post.slices)
                if not _on_one_grid(phase, pre) or earlier is False or (hidden and not _has_own_time(phase, dynamic)):
                    continue
                later = "cannot be told to be later" if earlier is None else "is not later"
                if alike:
                    sentence = f"{phase.name} could be a phase of {dynamic.name}, too: it lies there and {later}."
                    findings.append(Finding("phases-ambiguous", sentence))
                elif not no_dynamic_t1(stack.protocol):
                    sentence = f"{phase.name} {later} than {post.name} and was not used, because its protocol differs."
                    findings.append(Finding("not-used", sentence))
        if _has_no_places(series) and same_protocol(series.slices[0].protocol, protocol):
            why = ruled_out_by_description(series.description) or ruled_out_by_type(series.slices[0].image_type)
            earlier = _precedes(series.slices, pre.slices)
            if earlier or (earlier is None and not why):
                sentence = f"{series.label} has the protocol of {pre.name}, but does not say where it lies."
                findings.append(Finding("phases-ambiguous", sentence))
    return tuple(findings)


def lie_elsewhere(phases: Sequence[Phase], stacks: Sequence[Stack]) -> list[Stack]:
    """Return the volumes that have the protocol of one of the phases but show another part of the body than all."""
    return [
        stack
        for stack in stacks
        if not ruled_out_by_description(stack.series.description)
        and any(same_protocol(stack.protocol, phase.stack.protocol) for phase in phases)
        and not any(in_one_region(stack.box_mm, phase.stack.box_mm) for phase in phases)
    ]


def why_no_phase(stack: Stack) -> str:
    """Say why a stack is never taken as a phase unless a person chooses it; empty if it may be one."""
    if reason := ruled_out_by_type(stack.slices[0].image_type):
        return f"{reason} by its ImageType"
    if reason := ruled_out_by_description(stack.series.description):
        return f"{reason} by its description"
    reason = no_dynamic_t1(stack.protocol)
    return f"no dynamic T1 ({reason})" if reason else ""


def unused_series(study: Study, used: Sequence[Phase]) -> tuple[UnusedSeries, ...]:
    """Return the series of a study that none of the phases is from, in the order of their numbers."""
    taken = {phase.stack.series.series_instance_uid for phase in used}
    return tuple(
        UnusedSeries(series.series_instance_uid, series.number, _why_unused(series, used))
        for series in study.series
        if series.series_instance_uid not in taken
    )


def why_stack_unused(stack: Stack, used: Sequence[Phase]) -> str:
    """Say why a stack was not used, as a few words."""
    if reason := why_no_phase(stack):
        return reason
    if not used:
        return "may be a phase"
    pre = used[0]
    if not any(in_one_region(stack.box_mm, phase.stack.box_mm) for phase in used):
        return "lies elsewhere"
    if not same_protocol(stack.protocol, pre.stack.protocol):
        return "another protocol"
    if not any(_on_one_grid(phase, pre) for phase in phases_of(stack)):
        return "another grid"
    return "another phase"


def _why_unused(series: Series, used: Sequence[Phase]) -> str:
    stacks = stacks_of(series) or ruled_out_stacks_of(series)
    if not stacks:
        return "does not say where it lies"
    return "; ".join(dict.fromkeys(why_stack_unused(stack, used) for stack in stacks))


def _has_no_places(series: Series) -> bool:
    return len(series.slices) >= MIN_SLICES and all(image_slice.plane is None for image_slice in series.slices)


def _on_one_grid(first: Phase, second: Phase) -> bool:
    """Whether the outermost slices of two phases lie within a tenth of a pixel of each other, and as many between."""
    plane, pixels, other = second.slices[0].plane, second.slices[0].pixels, first.slices[0].pixels
    if len(first.slices) != len(second.slices) or plane is None or pixels is None or other is None:
        return False
    pixel = min(np.linalg.norm(plane.row_step_mm), np.linalg.norm(plane.column_step_mm))
    apart = np.linalg.norm(_outermost(first) - _outermost(second), axis=1)
    same_matrix = (pixels.rows, pixels.columns) == (other.rows, other.columns)
    return same_matrix and bool(apart.max() <= max(1.0, STEP_TOLERANCE * pixel))


def _outermost(phase: Phase) -> npt.NDArray[np.float64]:
    """Return the origins of the two outermost slices: (2, 3), LPS, mm."""
    origins = np.array([each.plane.origin_mm for each in phase.slices if each.plane is not None])
    ends: npt.NDArray[np.float64] = origins[np.lexsort(np.round(origins, 2).T)][[0, -1]]
    return ends


def _has_own_time(phase: Phase, dynamic: Dynamic) -> bool:
    """Whether a phase was acquired at another time than all those of a dynamic, or made before the first of them."""
    time = earliest(phase.slices, ACQUISITION_TIME)
    others = [earliest(other.slices, ACQUISITION_TIME) for other in dynamic.phases]
    if time is not None and None not in others:
        return all(abs(time - other) > ACQUISITION_TIME.tolerance for other in others if other is not None)
    made, first = earliest(phase.slices, CONTENT_TIME), earliest(dynamic.phases[0].slices, CONTENT_TIME)
    return made is not None and first is not None and made < first


def _precedes(slices: Sequence[Slice], others: Sequence[Slice]) -> bool | None:
    """Whether slices were acquired before others; None if they have no common clock."""
    for clock in clocks():
        time, other = earliest(slices, clock), earliest(others, clock)
        if time is not None and other is not None and not order_is_unclear(clock, (time, other)):
            return time < other
    return None
