"""Series -> dynamic acquisitions: which series belong together, and which of them is the one to subtract."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.order import (
    ATTRIBUTES,
    SAME_TIME_S,
    PhaseOrder,
    attribute_name,
    order_is_unclear,
    phase_order,
)
from fcdd_runtime.phases.regions import SAME_REGION, Box, are_side_by_side, box_of, overlaps
from fcdd_runtime.phases.series_filter import ruled_out, ruled_out_by_type
from fcdd_runtime.phases.slabs import breast_slabs
from fcdd_runtime.study.protocol import Protocol, kind_of_image, no_dynamic_t1, same_protocol
from fcdd_runtime.study.read import Series
from fcdd_runtime.study.slices import Plane, Slice
from fcdd_runtime.study.stacking import volume_from_slices
from fcdd_runtime.volumes.volume import Volume

MIN_PHASE_S = 5.0
"""Phases follow each other in no less; a TriggerTime that starts anew in every series differs by less."""


@dataclass(frozen=True)
class Stack:
    """Slices of one series, one protocol and one kind of image."""

    series: Series
    slices: tuple[Slice, ...]
    """All with a plane."""
    unplaced: tuple[Slice, ...]
    """Slices of the series that do not say where they lie, so that nobody knows which phase lacks them."""
    side: str = ""
    """`right` or `left`, where the series shows both breasts with a gap between them."""
    gap_mm: float = 0.0
    """How far the nearest slices of the two breasts lie apart there."""

    @property
    def label(self) -> str:
        """The series, and which part of it, for messages."""
        return f"{self.series.label}, {self.side} side" if self.side else self.series.label

    @property
    def protocol(self) -> Protocol:
        """That of its first slice."""
        return self.slices[0].protocol

    @cached_property
    def order(self) -> PhaseOrder:
        """Its slices, sorted into phases."""
        return phase_order(self.slices)

    @cached_property
    def box_mm(self) -> Box:
        """Smallest and largest x, y and z that its pixel centres reach: (2, 3)."""
        return box_of(self.slices)


@dataclass(frozen=True)
class Phase:
    """One phase and how it is called in messages."""

    stack: Stack
    slices: tuple[Slice, ...]
    name: str

    @cached_property
    def volume(self) -> Volume:
        """Its slices on a grid; StudyError if they cannot be put on one."""
        return volume_from_slices(self.slices, self.name)


@dataclass(frozen=True)
class Dynamic:
    """A dynamic acquisition: stacks of one protocol and region, in temporal order if `method` is not None."""

    stacks: tuple[Stack, ...]
    method: str | None
    doubts: tuple[str, ...]
    """Why the order is not certain, a sentence each."""

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """All phases of all stacks."""
        return tuple(phase for stack in self.stacks for phase in phases_of(stack))

    @property
    def name(self) -> str:
        """All series and the number of phases, for messages."""
        return f"{' + '.join(stack.label for stack in self.stacks)} ({len(self.phases)} phases)"

    @property
    def no_dynamic_t1(self) -> str:
        """Why the sequence is no dynamic T1; empty if it may be."""
        return no_dynamic_t1(self.stacks[0].protocol)


def phases_of(stack: Stack) -> list[Phase]:
    """Return the phases of a stack with their names."""
    count = len(stack.order.phases)
    return [
        Phase(stack, slices, f"{stack.label}, phase {number} of {count}")
        for number, slices in enumerate(stack.order.phases, start=1)
    ]


def stacks_of(series: Series) -> list[Stack]:
    """Sort the slices of a series by protocol, kind of image and breast, whatever its description says."""
    slices = [one for one in series.slices if not ruled_out_by_type(one.image_type)]
    groups: list[list[Slice]] = []
    for one in slices:
        if one.plane is None:
            continue
        group = next((group for group in groups if _belong_together(group[0], one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    unplaced = tuple(one for one in slices if one.plane is None)
    slabs = [slab for group in groups for slab in breast_slabs(group)]
    return [Stack(series, slab.slices, unplaced, slab.side, slab.gap_mm) for slab in slabs]


def find_dynamics(stacks: list[Stack]) -> list[Dynamic]:
    """Join stacks of one protocol, kind of image and region, unless their description rules them out.

    Raises
    ------
    StudyError
        If none is left.
    """
    groups: list[list[Stack]] = []
    for stack in (one for one in stacks if not ruled_out(one.series.description)):
        group = next((group for group in groups if in_one_acquisition(group[0], stack)), None)
        if group is None:
            groups.append([stack])
        else:
            group.append(stack)
    if not groups:
        raise StudyError(
            "the study holds no MR volume that can be a phase, only localizers, maps, projections or other contrasts; "
            "give the study with its dynamic series"
        )
    return [_in_temporal_order(group) for group in groups]


def choose_dynamics(dynamics: list[Dynamic]) -> tuple[Dynamic, ...]:
    """Return the one dynamic acquisition, or those of the right and of the left breast, in this order.

    What is no dynamic T1 by its protocol counts only where a study has nothing else.

    Raises
    ------
    StudyError
        If there is none, or it is ambiguous which.
    """
    candidates = [one for one in dynamics if not one.no_dynamic_t1] or dynamics
    _check_settled(candidates)
    dynamic = [one for one in candidates if len(one.phases) > 1]
    if not dynamic:
        raise StudyError(_no_pair(candidates))
    ordered = all(one.method is not None for one in dynamic)
    if ordered and len(dynamic) == 1:
        return (dynamic[0],)
    if ordered and len(dynamic) == 2 and are_side_by_side(dynamic[0].stacks[0].box_mm, dynamic[1].stacks[0].box_mm):
        first, second = sorted(dynamic, key=lambda one: float(one.stacks[0].box_mm[:, 0].mean()))
        return first, second
    names = "; ".join([*(one.name for one in dynamic), *_absences(dynamic)])
    raise StudyError(f"it is ambiguous which phases to subtract, choose with --pre and --post: {names}")


def in_one_region(one: Box, other: Box) -> bool:
    """Whether two boxes show the same part of the body."""
    return bool(overlaps(one, other).prod() > SAME_REGION)


def in_one_acquisition(one: Stack, other: Stack) -> bool:
    """Whether two stacks may hold phases of one acquisition: one protocol, one kind of image, one region."""
    return _belong_together(one.slices[0], other.slices[0]) and in_one_region(one.box_mm, other.box_mm)


def _belong_together(one: Slice, other: Slice) -> bool:
    return (
        kind_of_image(one.image_type) == kind_of_image(other.image_type)
        and same_protocol(one.protocol, other.protocol)
        and _axis(one.plane) == _axis(other.plane)
    )


def _axis(plane: Plane | None) -> int:
    """Return the patient axis (x, y, z) that is nearest to the normal."""
    return -1 if plane is None else int(np.argmax(np.abs(plane.normal)))


def _check_settled(dynamics: Sequence[Dynamic]) -> None:
    for stack in (stack for dynamic in dynamics for stack in dynamic.stacks):
        if not stack.order.is_settled:
            raise StudyError(
                f"the phases of {stack.label} cannot be told apart: {stack.order.absence}, and no other attribute "
                "orders all of them; export the study again, or choose with --pre and --post"
            )


def _absences(dynamics: Sequence[Dynamic]) -> Iterator[str]:
    for stack in (stack for dynamic in dynamics if dynamic.method is None for stack in dynamic.stacks):
        if stack.order.absence:
            yield f"in {stack.label}, {stack.order.absence}"


def _in_temporal_order(stacks: list[Stack]) -> Dynamic:
    """Order the series of an acquisition by the most trusted attribute in which they do not overlap."""
    doubts = [doubt for stack in stacks for doubt in stack.order.doubts]
    if len(stacks) == 1:
        return Dynamic(tuple(stacks), stacks[0].order.method, tuple(doubts))
    for attribute in (name for name in ATTRIBUTES if name != "trigger_time"):
        ranges = [_range(stack, attribute) for stack in stacks]
        if None in ranges:
            continue
        spans = sorted(((span, index) for index, span in enumerate(ranges) if span is not None))
        if doubt := order_is_unclear(attribute, [value for span, _ in spans for value in span]):
            doubts.append(doubt)
        elif all(before[0][1] < after[0][0] for before, after in pairwise(spans)):
            ordered = tuple(stacks[index] for _, index in spans)
            return Dynamic(ordered, attribute_name(attribute, ordered[0].slices[0]), tuple(doubts))
        elif attribute == "acquisition_time" and _are_reconstructions(stacks, spans):
            return Dynamic(tuple(stacks), None, tuple(doubts))
    if ordered := _by_trigger_time(stacks):
        return Dynamic(ordered, attribute_name("trigger_time"), tuple(doubts))
    return Dynamic(tuple(stacks), None, tuple(doubts))


def _by_trigger_time(stacks: list[Stack]) -> tuple[Stack, ...]:
    """Order series of one phase each by TriggerTime, where nothing else orders them and nothing says otherwise.

    Most scanners count it from the start of each series, which tells nothing of others. It counts on from series to
    series where it differs by a phase's duration between equal volumes, and rises with all other numbers and times.
    """
    spans = [_range(stack, "trigger_time") for stack in stacks]
    if None in spans or any(len(stack.order.phases) > 1 for stack in stacks):
        return ()
    known = sorted((span, index) for index, span in enumerate(spans) if span is not None)
    ordered = tuple(stacks[index] for _, index in known)
    counts_on = all(after[0] - before[1] >= MIN_PHASE_S for (before, _), (after, _) in pairwise(known))
    return ordered if counts_on and _are_alike(ordered) and not _falls(ordered) else ()


def _are_alike(stacks: Sequence[Stack]) -> bool:
    """Whether volumes have as many slices and lie within a millimetre of each other."""
    boxes = [stack.box_mm for stack in stacks]
    return len({len(stack.slices) for stack in stacks}) == 1 and np.allclose(boxes, boxes[0], rtol=0, atol=1.0)


def _falls(stacks: Sequence[Stack]) -> bool:
    """Whether numbers or times of series fall in this order."""
    tolerances = {"temporal_position": 0.0, "acquisition_time": SAME_TIME_S, "content_time": SAME_TIME_S}
    for attribute, tolerance in (tolerances | {"acquisition_number": 0.0}).items():
        spans = [_range(stack, attribute) for stack in stacks]
        if any(before and after and after[0] < before[0] - tolerance for before, after in pairwise(spans)):
            return True
    numbers = [stack.series.number for stack in stacks if stack.series.number is not None]
    return numbers != sorted(numbers)


def _are_reconstructions(stacks: list[Stack], spans: list[tuple[tuple[float, float], int]]) -> bool:
    """Whether series were acquired at one time and differ in ImageType, such as with and without correction.

    They show one acquisition twice, and no weaker attribute may make phases of them.
    """
    types = [stacks[index].slices[0].image_type for _, index in spans]
    ends = [span for span, _ in spans]
    together = [after[0] <= before[1] for before, after in pairwise(ends)]
    return any(both and one != other for both, (one, other) in zip(together, pairwise(types), strict=True))


def _range(stack: Stack, attribute: str) -> tuple[float, float] | None:
    values = [getattr(one, attribute) for phase in stack.order.phases for one in phase]
    return None if None in values else (min(values), max(values))


def _no_pair(dynamics: list[Dynamic]) -> str:
    names = "; ".join(dynamic.name for dynamic in dynamics)
    if len(dynamics) == 1:
        return f"only one phase was found, {names}; a pre- and a post-contrast phase are needed"
    return (
        "no pre- and post-contrast pair was found; none of these series belong together, choose with --pre and "
        f"--post if two of them do: {names}"
    )
