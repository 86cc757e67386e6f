"""What speaks against a choice of phases: a phase that was left out, times that contradict, a first phase that is none.

Each check raises StudyError where the number would be wrong, and yields a warning where it may be right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.dynamics import Dynamic, Phase, Stack, in_one_region, phases_of, stacks_of
from fcdd_runtime.phases.order import ATTRIBUTES, SAME_TIME_S, attribute_name, order_is_unclear
from fcdd_runtime.phases.series_filter import mentions_contrast, ruled_out, ruled_out_by_type, says_after_contrast
from fcdd_runtime.study.protocol import near_protocol, no_dynamic_t1, same_numbers, same_protocol
from fcdd_runtime.study.read import Series
from fcdd_runtime.study.slices import Slice
from fcdd_runtime.study.stacking import MIN_SLICES, STEP_TOLERANCE

CHOOSE = "choose with --pre and --post"

_BINDING = ("trigger_time", "acquisition_time")
"""Attributes that say when a slice was acquired; ContentTime and AcquisitionNumber may follow the reconstruction."""
_WITHIN_A_SERIES = ("temporal_position", "trigger_time", "acquisition_number")


def check_order(dynamic: Dynamic) -> Iterator[str]:
    """Refuse an unclear or contradicted order of phases, and one whose first phases are missing."""
    for doubt in dynamic.doubts:
        raise StudyError(f"the phases of {dynamic.name} cannot be ordered: {doubt}; {CHOOSE}")
    _check_numbering(dynamic)
    yield from _contradictions(dynamic)
    if dynamic.method == "InstanceNumber":
        yield "The phases could be told apart by InstanceNumber only, the least reliable way."


def check_description(pre: Phase) -> Iterator[str]:
    """Refuse a first phase whose series says that it was acquired after contrast."""
    description = pre.stack.series.description
    if word := says_after_contrast(description):
        raise StudyError(
            f"{pre.name} is the earliest phase, but its description says {word}; give the study with its pre-contrast "
            f"phase, or {CHOOSE}"
        )
    if word := mentions_contrast(description):
        yield f"The description of {pre.name}, which was taken as pre-contrast, says {word}."


def check_nothing_left_out(dynamic: Dynamic, pre: Phase, post: Phase, stacks: Sequence[Stack]) -> Iterator[str]:
    """Refuse where a volume that shows what the dynamic shows, but is outside it, may be a phase before contrast.

    Parameters
    ----------
    stacks : all of the study, also those that their description rules out as phases
    """
    for stack in (one for one in stacks if not any(_same_stack(one, own) for own in dynamic.stacks)):
        if no_dynamic_t1(stack.protocol) and not same_numbers(stack.protocol, dynamic.stacks[0].protocol):
            continue
        for phase in phases_of(stack):
            if not in_one_region(stack.box_mm, pre.stack.box_mm) or not _may_precede(phase, post):
                continue
            if ruled_out(stack.series.description) and not _has_own_time(phase, dynamic):
                continue
            alike = near_protocol, same_numbers
            if any(one(stack.protocol, dynamic.stacks[0].protocol) for one in alike):
                raise StudyError(
                    f"{phase.name} shows what {dynamic.name} shows and is not later, but differs in its grid, protocol "
                    f"or description; {CHOOSE} which are subtracted"
                )
            if not _on_one_grid(phase, pre):
                continue
            yield f"{phase.name} is not later than {post.name} and was not used, because its protocol differs."


def check_ruled_out_is_later(pre: Phase, series: Sequence[Series]) -> None:
    """Refuse where slices that ImageType rules out have the protocol and places of the first phase, but come before it.

    What a scanner computes bears the time of its source or a later one, so that these may be acquired, and the first.
    """
    for one in series:
        slices = tuple(replace(each, image_type=()) for each in one.slices if ruled_out_by_type(each.image_type))
        for stack in stacks_of(replace(one, slices=slices)):
            for phase in phases_of(stack):
                alike = same_protocol(stack.protocol, pre.stack.protocol) and _on_one_grid(phase, pre)
                if alike and _precedes(phase.slices, pre.slices):
                    raise StudyError(
                        f"slices of {one.label} lie where {pre.name} does and are earlier, but their ImageType says "
                        f"that they were computed; {CHOOSE} which are subtracted"
                    )


def check_unplaced_is_later(pre: Phase, series: Sequence[Series]) -> None:
    """Refuse where a series without positions has the protocol of the first phase and is not later."""
    for one in series:
        placed = any(each.plane is not None for each in one.slices)
        if placed or len(one.slices) < MIN_SLICES or not same_protocol(one.slices[0].protocol, pre.stack.protocol):
            continue
        hidden = ruled_out(one.description) or ruled_out_by_type(one.slices[0].image_type)
        earlier = _precedes(one.slices, pre.slices)
        if earlier or (earlier is None and not hidden):
            raise StudyError(
                f"{one.label} has the protocol of {pre.name} and is not later, but does not say where it lies; export "
                f"the study again, or {CHOOSE} which are subtracted"
            )


def check_one_time(dynamic: Dynamic) -> None:
    """Refuse phases put together of repeated slices from several times: a number that starts anew mixes phases."""
    if not any(stack.order.repeats for stack in dynamic.stacks):
        return
    times = [[one.acquisition_time for one in phase.slices] for phase in dynamic.phases]
    known = [[time for time in own if time is not None] for own in times]
    if known != times:
        return
    starts = sorted({min(own) for own in known})
    apart = min((after - before for before, after in pairwise(starts)), default=0.0)
    for phase, own in zip(dynamic.phases, known, strict=True):
        if apart and max(own) - min(own) > apart / 4:
            raise StudyError(
                f"slices of {phase.name} repeat and were acquired at several times, so that it is no single phase; "
                f"{CHOOSE}, or remove the repeats"
            )


def in_step(dynamics: Sequence[Dynamic]) -> bool:
    """Whether dynamics have as many phases each, and every phase of all comes before the next of any.

    Without times that all of them have, their numbers decide.
    """
    if len({len(dynamic.phases) for dynamic in dynamics}) > 1:
        return False
    for attribute in ("acquisition_time", "content_time"):
        times = [[_first(phase, attribute) for phase in dynamic.phases] for dynamic in dynamics]
        known = [[time for time in own if time is not None] for own in times]
        if known == times:
            return all(max(now) < min(later) for now, later in pairwise(zip(*known, strict=True)))
    return True


def not_scored(dynamics: Sequence[Dynamic], stacks: Sequence[Stack]) -> Iterator[str]:
    """Warn of volumes that have the protocol of a dynamic but show another part of the body, in one phase."""
    for stack in (one for one in stacks if not ruled_out(one.series.description)):
        alike = any(same_protocol(stack.protocol, dynamic.stacks[0].protocol) for dynamic in dynamics)
        shown = any(in_one_region(stack.box_mm, dynamic.stacks[0].box_mm) for dynamic in dynamics)
        if alike and not shown:
            yield f"{stack.series.label} has the protocol of the dynamic, but lies elsewhere and was not scored."


def _check_numbering(dynamic: Dynamic) -> None:
    numbers = [phase.slices[0].temporal_position for phase in dynamic.phases]
    known = sorted(number for number in numbers if number is not None)
    by_number = dynamic.method in ATTRIBUTES["temporal_position"]
    if len(known) < len(numbers) or len(set(known)) < len(known) or (not by_number and known[0] <= 1):
        return
    if known[0] > 1 or any(after - before > 1 for before, after in pairwise(known)):
        listed = ", ".join(f"{number:g}" for number in known)
        raise StudyError(
            f"a phase is missing: the temporal positions of {dynamic.name} are {listed}; give the whole study, or "
            f"{CHOOSE}"
        )


def _contradictions(dynamic: Dynamic) -> Iterator[str]:
    """Compare the order with what every other attribute says."""
    for attribute in ATTRIBUTES:
        name = attribute_name(attribute, dynamic.phases[0].slices[0])
        if name == dynamic.method or (len(dynamic.stacks) > 1 and attribute in _WITHIN_A_SERIES):
            continue
        firsts = [_first(phase, attribute) for phase in dynamic.phases]
        if order_is_unclear(attribute, firsts) or not _falls(attribute, firsts):
            continue
        sentence = f"{name} orders the phases of {dynamic.name} otherwise than {dynamic.method}"
        if attribute in _BINDING:
            raise StudyError(f"{sentence}; {CHOOSE}")
        yield f"{sentence}, which was followed."


def _first(phase: Phase, attribute: str) -> float | None:
    return _earliest(phase.slices, attribute)


def _earliest(slices: Sequence[Slice], attribute: str) -> float | None:
    values = [getattr(one, attribute) for one in slices]
    return None if None in values else min(values)


def _falls(attribute: str, values: Sequence[float | None]) -> bool:
    tolerance = 0.0 if attribute == "acquisition_number" else SAME_TIME_S
    known = [value for value in values if value is not None]
    return len(known) == len(values) and any(after < before - tolerance for before, after in pairwise(known))


def _same_stack(one: Stack, other: Stack) -> bool:
    return one.slices[0] is other.slices[0]


def _on_one_grid(one: Phase, other: Phase) -> bool:
    """Whether the outermost slices of two phases lie within a tenth of a pixel of each other, and as many between."""
    places, others = _outermost(one), _outermost(other)
    plane = other.slices[0].plane
    if len(one.slices) != len(other.slices) or plane is None:
        return False
    pixel = min(np.linalg.norm(plane.row_step_mm), np.linalg.norm(plane.column_step_mm))
    return bool(np.linalg.norm(places - others, axis=1).max() <= max(1.0, STEP_TOLERANCE * pixel))


def _outermost(phase: Phase) -> npt.NDArray[np.float64]:
    origins = np.array([one.plane.origin_mm for one in phase.slices if one.plane is not None])
    ends: npt.NDArray[np.float64] = origins[np.lexsort(np.round(origins, 2).T)][[0, -1]]
    return ends


def _may_precede(phase: Phase, other: Phase) -> bool:
    """Whether a phase was acquired before another, or they have no common clock."""
    return _precedes(phase.slices, other.slices) is not False


def _precedes(slices: Sequence[Slice], others: Sequence[Slice]) -> bool | None:
    """Whether slices were acquired before others; None if they have no common clock."""
    for attribute in ("acquisition_time", "content_time"):
        values = _earliest(slices, attribute), _earliest(others, attribute)
        if values[0] is not None and values[1] is not None and not order_is_unclear(attribute, values):
            return values[0] < values[1]
    return None


def _has_own_time(phase: Phase, dynamic: Dynamic) -> bool:
    """Whether a phase was acquired at a time of its own; what was computed bears the time of a phase or a later one."""
    own = [_first(one, "acquisition_time") for one in dynamic.phases]
    time = _first(phase, "acquisition_time")
    if time is not None and None not in own:
        return all(abs(time - other) > SAME_TIME_S for other in own if other is not None)
    times = [_first(one, "content_time") for one in (phase, dynamic.phases[0])]
    return times[0] is not None and times[1] is not None and times[0] < times[1]
