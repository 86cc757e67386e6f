"""Study -> the pre-contrast and the post-contrast volume of its dynamic series."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.headers import Plane, Slice
from fcdd_runtime.phase_order import ATTRIBUTES, PhaseOrder, attribute_name, phase_order
from fcdd_runtime.result import PhaseChoice
from fcdd_runtime.series_filter import ruled_out
from fcdd_runtime.stacking import check_equal_grids, volume_from_slices
from fcdd_runtime.study import Series, Study
from fcdd_runtime.volume import Volume


@dataclass(frozen=True)
class Phases:
    """The two volumes that are subtracted, on the same grid."""

    pre: Volume
    post: Volume
    choice: PhaseChoice
    warnings: tuple[str, ...]
    """One sentence each."""


class _Kind(NamedTuple):
    """What phases of one acquisition have in common. Grids are compared later, so that unequal ones are refused."""

    image_type: tuple[str, ...]
    protocol: tuple[str, ...]
    axis: int


@dataclass(frozen=True)
class _Stack:
    """Slices of one series and one kind."""

    series: Series
    kind: _Kind
    order: PhaseOrder
    unplaced: tuple[Slice, ...]
    """Slices of the series that do not say where they lie, so that nobody knows which phase lacks them."""


@dataclass(frozen=True)
class _Phase:
    """One phase and how it is called in messages."""

    stack: _Stack
    slices: tuple[Slice, ...]
    name: str


@dataclass(frozen=True)
class _Dynamic:
    """A dynamic acquisition: stacks of one protocol, in temporal order if `method` is not None."""

    stacks: tuple[_Stack, ...]
    method: str | None

    @property
    def phases(self) -> list[_Phase]:
        return [
            _Phase(stack, slices, f"{stack.series.label}, phase {number} of {len(stack.order.phases)}")
            for stack in self.stacks
            for number, slices in enumerate(stack.order.phases, start=1)
        ]

    @property
    def name(self) -> str:
        return f"{' + '.join(stack.series.label for stack in self.stacks)} ({len(self.phases)} phases)"


def split_phases(study: Study, recipe: MipRecipe) -> Phases:
    """Find the dynamic series and take the first phase as pre-contrast, and the recipe's as post-contrast.

    Phases are told apart by TemporalPositionIdentifier, TriggerTime, AcquisitionTime, ContentTime, AcquisitionNumber
    or InstanceNumber, in this order of trust. They may lie in one series, in a series each, or in a mixture of both.

    Raises
    ------
    StudyError
        If there is no pre/post pair, if it is ambiguous, or if a volume is incomplete, damaged or on another grid.
    """
    dynamic = _largest(_dynamics(_stacks(study)))
    phases = dynamic.phases
    for stack in dynamic.stacks:
        _check_placed(stack)
    if len(phases) <= recipe.post_contrast_phase:
        raise StudyError(
            f"the recipe asks for post-contrast phase {recipe.post_contrast_phase}, but {dynamic.name} has only "
            f"{len(phases) - 1}; change post_contrast_phase or give the whole study"
        )
    before, after = phases[0], phases[recipe.post_contrast_phase]
    pre, post = volume_from_slices(before.slices, before.name), volume_from_slices(after.slices, after.name)
    _check_same_frame_of_reference(before, after)
    check_equal_grids(pre, post)
    _check_complete(before)
    choice = PhaseChoice(before.name, after.name, dynamic.method or "", len(phases))
    return Phases(pre, post, choice, (*study.warnings, *_warnings(dynamic, before, after)))


def _stacks(study: Study) -> list[_Stack]:
    stacks = [stack for series in study.series for stack in _stacks_of(series)]
    if not stacks:
        raise StudyError(
            "the study holds no MR volume that can be a phase, only localizers, maps, projections or other contrasts; "
            "give the study with its dynamic series"
        )
    return stacks


def _stacks_of(series: Series) -> list[_Stack]:
    slices = [one for one in series.slices if not ruled_out(series.description, one.image_type)]
    groups: dict[_Kind, list[Slice]] = {}
    for one in slices:
        if one.plane is not None:
            groups.setdefault(_Kind(one.image_type, one.protocol, _axis(one.plane)), []).append(one)
    unplaced = tuple(one for one in slices if one.plane is None)
    return [_Stack(series, kind, phase_order(group), unplaced) for kind, group in groups.items()]


def _axis(plane: Plane) -> int:
    """Return the patient axis (x, y, z) that is nearest to the normal."""
    return int(np.argmax(np.abs(plane.normal)))


def _dynamics(stacks: list[_Stack]) -> list[_Dynamic]:
    groups: dict[_Kind, list[_Stack]] = {}
    for stack in stacks:
        groups.setdefault(stack.kind, []).append(stack)
    return [_in_temporal_order(group) for group in groups.values()]


def _in_temporal_order(stacks: list[_Stack]) -> _Dynamic:
    """Order the series of an acquisition by the most trusted attribute in which they do not overlap."""
    if len(stacks) == 1:
        return _Dynamic(tuple(stacks), stacks[0].order.method)
    for attribute in ATTRIBUTES:
        ranges = [_range(stack, attribute) for stack in stacks]
        if None in ranges:
            continue
        spans = sorted(((span, index) for index, span in enumerate(ranges) if span is not None))
        if all(before[0][1] < after[0][0] for before, after in pairwise(spans)):
            ordered = tuple(stacks[index] for _, index in spans)
            return _Dynamic(ordered, attribute_name(attribute, ordered[0].order.phases[0][0]))
    return _Dynamic(tuple(stacks), None)


def _range(stack: _Stack, attribute: str) -> tuple[float, float] | None:
    values = [getattr(one, attribute) for phase in stack.order.phases for one in phase]
    return None if None in values else (min(values), max(values))


def _largest(dynamics: list[_Dynamic]) -> _Dynamic:
    count = max(len(dynamic.phases) for dynamic in dynamics)
    largest = [dynamic for dynamic in dynamics if len(dynamic.phases) == count]
    names = "; ".join(dynamic.name for dynamic in (largest if count > 1 else dynamics))
    if count == 1 and len(dynamics) == 1:
        raise StudyError(f"only one phase was found, {names}; a pre- and a post-contrast phase are needed")
    if count == 1:
        raise StudyError(f"no pre- and post-contrast pair was found; none of these series belong together: {names}")
    if len(largest) > 1 or largest[0].method is None:
        raise StudyError(f"it is ambiguous which phases to subtract, remove what does not belong: {names}")
    return largest[0]


def _check_placed(stack: _Stack) -> None:
    for one in stack.unplaced:
        raise StudyError(
            f"{one.path.name} in {stack.series.label} {one.damage or 'says not where it lies'}; export the study again"
        )


def _check_same_frame_of_reference(before: _Phase, after: _Phase) -> None:
    uids = {phase.stack.series.frame_of_reference_uid for phase in (before, after)} - {""}
    if len(uids) > 1:
        raise StudyError(
            f"{before.name} and {after.name} have different frames of reference, so their positions cannot be "
            "compared; give a study without repositioning"
        )


def _check_complete(phase: _Phase) -> None:
    """Refuse a phase that lacks an outermost slice which another phase of its series has."""
    most = max(len(slices) for slices in phase.stack.order.phases)
    if len(phase.slices) < most:
        raise StudyError(
            f"a slice is missing: {phase.name} has {len(phase.slices)} slices where another phase has {most}; "
            "export the study again"
        )


def _warnings(dynamic: _Dynamic, before: _Phase, after: _Phase) -> Iterator[str]:
    for stack in dynamic.stacks:
        if repeats := stack.order.repeats:
            yield (
                f"In {stack.series.label} {repeats} slices repeat a position and phase; the first of each was taken, "
                "by InstanceNumber or frame."
            )
    if dynamic.method == "InstanceNumber":
        yield "The phases could be told apart by InstanceNumber only, the least reliable way."
    for body_part in sorted({phase.stack.series.body_part for phase in (before, after)} - {""}):
        if "BREAST" not in body_part:
            yield f"The body part is {body_part}, which is not the breast; the scores mean nothing."
    for phase in dynamic.phases:
        if len(phase.slices) < len(before.slices):
            yield f"{phase.name} is incomplete ({len(phase.slices)} of {len(before.slices)} slices) and was left out."
