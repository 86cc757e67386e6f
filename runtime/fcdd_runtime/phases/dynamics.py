"""Series -> dynamic acquisitions: which series belong together, and which of them is the one to subtract."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.order import PhaseOrder, falls, order_is_unclear, phase_order
from fcdd_runtime.phases.regions import Box, are_side_by_side, box_of, in_one_region
from fcdd_runtime.phases.series_filter import ruled_out_by_description, ruled_out_by_type
from fcdd_runtime.phases.slabs import breast_slabs
from fcdd_runtime.study import phase_attributes
from fcdd_runtime.study.phase_attributes import ACQUISITION_TIME, PhaseAttribute
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


@dataclass(frozen=True, eq=False)
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
    return _stacks(series, [each for each in series.slices if not ruled_out_by_type(each.image_type)])


def ruled_out_stacks_of(series: Series) -> list[Stack]:
    """Do the same with the slices whose ImageType says that they are no phase."""
    return _stacks(series, [each for each in series.slices if ruled_out_by_type(each.image_type)])


def _stacks(series: Series, slices: Sequence[Slice]) -> list[Stack]:
    groups = _group((image_slice for image_slice in slices if image_slice.plane is not None), _belong_together)
    slabs = [slab for group in groups for slab in breast_slabs(group)]
    return [Stack(series, slab.slices, slab.side, slab.gap_mm) for slab in slabs]


def find_dynamics(stacks: list[Stack]) -> list[Dynamic]:
    """Join stacks of one protocol, kind of image and region, unless their description rules them out.

    Raises
    ------
    StudyError
        If none is left.
    """
    groups = _group(
        (stack for stack in stacks if not ruled_out_by_description(stack.series.description)), in_one_acquisition
    )
    if not groups:
        raise StudyError(
            "the study holds no MR volume that can be a phase, only localizers, maps, projections or other contrasts; "
            "give the study with its dynamic series",
            "no-pair",
        )
    return [_order_series(group) for group in groups]


def choose_dynamics(dynamics: Sequence[Dynamic]) -> tuple[tuple[Dynamic, ...], tuple[Finding, ...]]:
    """Choose the one dynamic acquisition, or those of the right and of the left breast, in this order.

    What is no dynamic T1 by its protocol counts only where a study has nothing else. Of several, the likeliest has an
    order, and then the most phases and slices.

    Returns
    -------
    dynamics : each with an order and at least two phases
    findings : what else could be meant

    Raises
    ------
    StudyError
        If there is none.
    """
    candidates = [dynamic for dynamic in dynamics if not dynamic.no_dynamic_t1] or dynamics
    several = [dynamic for dynamic in candidates if len(dynamic.phases) > 1]
    if not several:
        names = "; ".join(dynamic.name for dynamic in candidates)
        for stack in (stack for dynamic in candidates for stack in dynamic.stacks if not stack.order.is_settled):
            raise StudyError(
                f"the phases of {stack.label} cannot be told apart: {stack.order.absence}, and no other attribute "
                "orders all of them; export the study again",
                "no-pair",
            )
        if len(candidates) == 1:
            raise StudyError(
                f"only one phase was found, {names}; a pre- and a post-contrast phase are needed", "no-pair"
            )
        raise StudyError(
            "no pre- and post-contrast pair was found; none of these series belong together, choose with --pre and "
            f"--post if two of them do: {names}",
            "no-pair",
        )
    ordered = sorted((_with_order(dynamic) for dynamic in several), key=_likelihood, reverse=True)
    best, *others = ordered
    beside = [other for other in others if are_side_by_side(best.stacks[0].box_mm, other.stacks[0].box_mm)]
    chosen = sorted((best, *beside[:1]), key=lambda dynamic: float(dynamic.stacks[0].box_mm[:, 0].mean()))
    findings = []
    if sum(len(dynamic.phases) for dynamic in several) > sum(len(dynamic.phases) for dynamic in chosen):
        taken = " and ".join(dynamic.name for dynamic in chosen)
        names = "; ".join(dynamic.name for dynamic in several)
        findings.append(
            Finding("phases-ambiguous", f"It is ambiguous which phases to subtract, {names}; {taken} was taken.")
        )
    for stack in (stack for dynamic in chosen for stack in dynamic.stacks if not stack.order.is_settled):
        sentence = f"The phases of {stack.label} cannot be told apart for certain: {stack.order.absence}."
        findings.append(Finding("order-unclear", sentence))
    return tuple(chosen), tuple(findings)


def _with_order(dynamic: Dynamic) -> Dynamic:
    """Give series that nothing orders the likeliest order.

    Series that show one acquisition several times, such as with and without correction, are alternatives, of which one
    is taken. Otherwise their numbers order them.
    """
    if dynamic.method is not None:
        return dynamic
    alone = [_order_series([stack]) for stack in dynamic.stacks if len(stack.order.phases) > 1]
    alike = [_order_series(group) for group in _group(dynamic.stacks, _are_processed_alike) if len(group) > 1]
    alternatives = [each for each in (*alone, *alike) if each.method is not None and len(each.phases) > 1]
    if alternatives:
        return max(alternatives, key=_likelihood)
    ordered = sorted(dynamic.stacks, key=lambda stack: stack.series.number or 0)
    absences = [f"in {stack.label}, {stack.order.absence}" for stack in ordered if stack.order.absence]
    doubt = "; ".join(["nothing but their numbers orders the series", *absences])
    return Dynamic(tuple(ordered), "SeriesNumber", (*dynamic.doubts, doubt))


def _are_processed_alike(first: Stack, second: Stack) -> bool:
    return first.slices[0].image_type == second.slices[0].image_type


def _likelihood(dynamic: Dynamic) -> tuple[bool, int, int]:
    certain = not dynamic.doubts and all(stack.order.is_settled for stack in dynamic.stacks)
    return certain, len(dynamic.phases), len(dynamic.phases[0].slices)


def in_one_acquisition(first: Stack, second: Stack) -> bool:
    """Whether two stacks may hold phases of one acquisition: one protocol, one kind of image, one region."""
    return _belong_together(first.slices[0], second.slices[0]) and in_one_region(first.box_mm, second.box_mm)


_Grouped = TypeVar("_Grouped")


def _group(items: Iterable[_Grouped], alike: Callable[[_Grouped, _Grouped], bool]) -> list[list[_Grouped]]:
    """Put each item to the first group whose first item it is like."""
    groups: list[list[_Grouped]] = []
    for item in items:
        group = next((group for group in groups if alike(group[0], item)), None)
        if group is None:
            groups.append([item])
        else:
            group.append(item)
    return groups


def _belong_together(first: Slice, second: Slice) -> bool:
    return (
        kind_of_image(first.image_type) == kind_of_image(second.image_type)
        and same_protocol(first.protocol, second.protocol)
        and _axis(first.plane) == _axis(second.plane)
    )


def _axis(plane: Plane | None) -> int:
    """Return the patient axis (x, y, z) that is nearest to the normal."""
    return -1 if plane is None else int(np.argmax(np.abs(plane.normal)))


def _order_series(stacks: list[Stack]) -> Dynamic:
    """Order the series of an acquisition by the most trusted attribute in which they do not overlap."""
    doubts = [doubt for stack in stacks for doubt in stack.order.doubts]
    if len(stacks) == 1:
        return Dynamic(tuple(stacks), stacks[0].order.method, tuple(doubts))
    goes_on = [attribute for attribute in phase_attributes.TABLE if attribute.over_series != "starts anew"]
    starts_anew = [attribute for attribute in phase_attributes.TABLE if attribute.over_series == "starts anew"]
    for attribute in goes_on:
        ranges = [_range(stack, attribute) for stack in stacks]
        if None in ranges:
            continue
        spans = sorted((span, index) for index, span in enumerate(ranges) if span is not None)
        ordered = [stacks[index] for _, index in spans]
        if doubt := order_is_unclear(attribute, [value for span, _ in spans for value in span]):
            doubts.append(doubt)
        elif all(before[1] < after[0] for (before, _), (after, _) in pairwise(spans)):
            return Dynamic(tuple(ordered), ordered[0].slices[0].name_of(attribute), tuple(doubts))
        elif attribute is ACQUISITION_TIME and _are_reconstructions(ordered):
            return Dynamic(tuple(stacks), None, tuple(doubts))
    for attribute in starts_anew:
        if counted := _order_by_count(stacks, attribute):
            return Dynamic(counted, counted[0].slices[0].name_of(attribute), tuple(doubts))
    return Dynamic(tuple(stacks), None, tuple(doubts))


def _are_reconstructions(stacks: Sequence[Stack]) -> bool:
    """Whether series, in the order of their times, were acquired at one time and differ in ImageType.

    Such as with and without correction. They show one acquisition twice, and no weaker attribute may make phases of
    them.
    """
    for before, after in pairwise(stacks):
        earlier, later = _range(before, ACQUISITION_TIME), _range(after, ACQUISITION_TIME)
        together = earlier is not None and later is not None and later[0] <= earlier[1]
        if together and before.slices[0].image_type != after.slices[0].image_type:
            return True
    return False


def _order_by_count(stacks: Sequence[Stack], attribute: PhaseAttribute) -> tuple[Stack, ...]:
    """Order series of one phase each by a time that mostly starts anew in every series, such as TriggerTime.

    It does so where nothing else orders them and nothing says otherwise: where the time differs by a phase's duration
    between equal volumes, so that it counts on from series to series, and rises with all other numbers and times.
    """
    spans = [_range(stack, attribute) for stack in stacks]
    if None in spans or any(len(stack.order.phases) > 1 for stack in stacks):
        return ()
    known = sorted((span, index) for index, span in enumerate(spans) if span is not None)
    counts_on = all(after[0] - before[1] >= MIN_PHASE_S for (before, _), (after, _) in pairwise(known))
    ordered = tuple(stacks[index] for _, index in known)
    boxes = [stack.box_mm for stack in ordered]
    equal = len({len(stack.slices) for stack in ordered}) == 1 and np.allclose(boxes, boxes[0], rtol=0, atol=1.0)
    return ordered if counts_on and equal and not _contradicted(ordered) else ()


def _contradicted(stacks: Sequence[Stack]) -> bool:
    """Whether numbers or times of series fall in this order."""
    for attribute in (row for row in phase_attributes.TABLE if row.over_series != "starts anew"):
        spans = [_range(stack, attribute) for stack in stacks]
        for before, after in pairwise(spans):
            if before is not None and after is not None and falls(attribute, (before[0], after[0])):
                return True
    numbers = [stack.series.number for stack in stacks if stack.series.number is not None]
    return numbers != sorted(numbers)


def _range(stack: Stack, attribute: PhaseAttribute) -> tuple[float, float] | None:
    """Return the smallest and largest value in all phases; None where a slice has none."""
    values = [image_slice.phase_value(attribute) for phase in stack.order.phases for image_slice in phase]
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if len(known) == len(values) else None
