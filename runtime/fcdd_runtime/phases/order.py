"""Telling the phases of a dynamic series apart, by the attribute that deserves most trust among those present."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fcdd_runtime.study import phase_attributes
from fcdd_runtime.study.phase_attributes import PhaseAttribute
from fcdd_runtime.study.slices import Slice

SAME_POSITION_MM = 0.001
"""Slices closer than this along their normal are at one position for certain; positions jitter by more."""
FULL_PHASE = 0.75
"""Share of all positions that every phase but the last (which may be aborted) has at least. A grouping with less
is none by phase: two-dimensional sequences give every slice its own time."""

_DAY_S = 86400.0


@dataclass(frozen=True)
class PhaseOrder:
    """Slices sorted into phases."""

    method: str
    """Name of the DICOM attribute that told the phases apart; empty if there is one phase."""
    phases: tuple[tuple[Slice, ...], ...]
    """In temporal order; each with one slice at each position."""
    repeats: int
    """How many slices were left out because their position and phase had occurred before."""
    doubts: tuple[str, ...]
    """Why the order is not certain, a sentence each."""
    absence: str
    """Which slices lack the most trusted attribute that others have, as a clause; empty if none do."""
    is_settled: bool
    """Whether another attribute orders all slices in spite of that, and as those that have it say."""


@dataclass(frozen=True)
class _Grouping:
    """A phase number, from 0, for every slice."""

    attribute: PhaseAttribute | None
    """What told the phases apart; None if that was InstanceNumber, or nothing did."""
    method: str
    """Its name; empty for nothing."""
    phases: Sequence[int]
    positions: Sequence[int]
    """Where each slice lies, by number."""

    @property
    def repeats(self) -> int:
        """How many slices have the phase and position of another."""
        return len(self.positions) - len(set(zip(self.phases, self.positions, strict=True)))


def phase_order(slices: Sequence[Slice]) -> PhaseOrder:
    """Sort slices of one series, all with a plane, into phases.

    Of slices with the same position and phase the first is taken, by InstanceNumber and then by frame.
    """
    slices = sorted(slices, key=_reading_order)
    positions = position_numbers(slices)
    grouping = _group(slices, positions)
    phases: list[dict[int, Slice]] = [{} for _ in range(max(grouping.phases) + 1)]
    for image_slice, phase, position in zip(slices, grouping.phases, positions, strict=True):
        phases[phase].setdefault(position, image_slice)

    doubts = []
    for attribute in phase_attributes.TABLE:
        if attribute is grouping.attribute:
            break
        if doubt := order_is_unclear(attribute, [each.phase_value(attribute) for each in slices]):
            doubts.append(doubt)
    absence, is_settled = _absence(slices, grouping)
    return PhaseOrder(
        grouping.method,
        tuple(tuple(phase.values()) for phase in phases),
        grouping.repeats,
        tuple(doubts),
        absence,
        is_settled,
    )


def order_is_unclear(attribute: PhaseAttribute, values: Sequence[float | None]) -> str:
    """Say why the values of an attribute order nothing, in one sentence; empty if they do.

    A time without a date may be of the day before or after, which shows where times lie far apart.
    """
    known = [value for value in values if value is not None]
    if attribute.unit != "time of day" or not known or min(known) >= _DAY_S or max(known) - min(known) <= _DAY_S / 2:
        return ""
    return f"{attribute.name} has no date, and its values lie more than 12 hours apart, so that their order is unclear"


def falls(attribute: PhaseAttribute, values: Sequence[float]) -> bool:
    """Whether one of the values is less than the one before."""
    return any(after < before - attribute.tolerance for before, after in pairwise(values))


def earliest(slices: Sequence[Slice], attribute: PhaseAttribute) -> float | None:
    """Return the smallest value of an attribute; None where a slice has none."""
    values = [image_slice.phase_value(attribute) for image_slice in slices]
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None


def position_numbers(slices: Sequence[Slice]) -> list[int]:
    """Number the positions of slices, all with a plane, along the normal of the first, from 0.

    Positions that are meant to be equal jitter by some hundredths of a mm, but by far less than from one to the next:
    the widest jump in the distances of neighbours, as a ratio, parts the two.
    """
    planes = [image_slice.plane for image_slice in slices if image_slice.plane is not None]
    heights = np.array([plane.origin_mm for plane in planes]) @ np.array(planes[0].normal)
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    distances = np.sort([SAME_POSITION_MM, *gaps[gaps > SAME_POSITION_MM]])
    jump = int(np.argmax(distances[1:] / distances[:-1])) if len(distances) > 1 else 0
    numbers = np.zeros(len(slices), dtype=np.intp)
    numbers[order[1:]] = np.cumsum(gaps > distances[jump])
    return [int(number) for number in numbers]


def _reading_order(image_slice: Slice) -> tuple[float, int, str]:
    number = np.inf if image_slice.instance_number is None else image_slice.instance_number
    return number, image_slice.source.frame_number or 0, image_slice.source.sop_instance_uid


def _group(slices: Sequence[Slice], positions: Sequence[int]) -> _Grouping:
    """Choose by trust; a time or number that leaves repeats is used only where nothing else tells more apart."""
    candidates = []
    for attribute in phase_attributes.TABLE:
        values = [image_slice.phase_value(attribute) for image_slice in slices]
        known = [value for value in values if value is not None]
        if len(known) < len(values) or order_is_unclear(attribute, known):
            continue
        for tolerance in sorted({0.0, attribute.tolerance}):
            phases = _merge(known, tolerance)
            if _is_plausible(attribute, phases, positions):
                grouping = _Grouping(attribute, slices[0].name_of(attribute), phases, positions)
                if attribute.numbers_phases or not grouping.repeats:
                    return grouping
                candidates.append(grouping)
                break
    for attribute in phase_attributes.TABLE:
        if phases := _phases_by_own_times(slices, positions, attribute):
            return _Grouping(attribute, slices[0].name_of(attribute), phases, positions)
    if candidates:
        return candidates[0]
    if phases := _phases_by_instance_number(slices, positions):
        return _Grouping(None, "InstanceNumber", phases, positions)
    return _Grouping(None, "", [0] * len(slices), positions)


def _merge(values: Sequence[float], tolerance: float) -> list[int]:
    """Number the distinct values in ascending order; neighbours within the tolerance share a number."""
    distinct = sorted(set(values))
    numbers = dict.fromkeys(distinct[:1], 0)
    for before, after in pairwise(distinct):
        numbers[after] = numbers[before] + (after - before > tolerance)
    return [numbers[value] for value in values]


def _is_plausible(attribute: PhaseAttribute, phases: Sequence[int], positions: Sequence[int]) -> bool:
    count = max(phases) + 1
    if count < 2:
        return False
    if attribute.numbers_phases:
        # Wrong only where it numbers the slices; what a phase lacks is found when it is stacked.
        return 2 * count <= len(phases)
    places: list[set[int]] = [set() for _ in range(count)]
    for phase, position in zip(phases, positions, strict=True):
        places[phase].add(position)
    full = all(len(phase) >= FULL_PHASE * len(set(positions)) for phase in places[:-1])
    return full and 2 * len(places[-1] & places[0]) >= len(places[-1])


def _phases_by_own_times(slices: Sequence[Slice], positions: Sequence[int], attribute: PhaseAttribute) -> list[int]:
    """Sort by a time that every slice of every phase has of its own: the k-th at each position is of phase k.

    Returns
    -------
    a phase number for every slice; empty if a position has fewer than others, if a phase begins before another ends, or
    if none is longer than the tolerance: then it is a time of the phase, written inexactly
    """
    times = [image_slice.phase_value(attribute) for image_slice in slices]
    known = [time for time in times if time is not None]
    counts = Counter(positions)
    count = counts[positions[0]]
    if attribute.unit == "number" or len(known) < len(times) or count < 2 or set(counts.values()) != {count}:
        return []
    if order_is_unclear(attribute, known):
        return []
    seen: Counter[int] = Counter()
    phases = [0] * len(slices)
    for index in sorted(range(len(slices)), key=lambda index: known[index]):
        phases[index] = seen[positions[index]]
        seen[positions[index]] += 1
    spans = [[time for time, phase in zip(known, phases, strict=True) if phase == number] for number in range(count)]
    lasts = any(max(span) - min(span) > attribute.tolerance for span in spans)
    return phases if lasts and all(max(before) < min(after) for before, after in pairwise(spans)) else []


def _phases_by_instance_number(slices: Sequence[Slice], positions: Sequence[int]) -> list[int]:
    """Sort by InstanceNumber (or frame): every position equally often, phases one after another or interleaved.

    Returns
    -------
    a phase number for every slice; empty if that is not so
    """
    times = Counter(positions)
    count = times[positions[0]]
    keys = [_reading_order(image_slice)[:2] for image_slice in slices]
    if count < 2 or set(times.values()) != {count} or len(set(keys)) < len(keys):
        return []
    seen: Counter[int] = Counter()
    phases: list[int] = []
    for position in positions:
        phases.append(seen[position])
        seen[position] += 1
    in_blocks = phases == sorted(phases)
    interleaved = phases == [index % count for index in range(len(phases))]
    return phases if in_blocks or interleaved else []


def _absence(slices: Sequence[Slice], grouping: _Grouping) -> tuple[str, bool]:
    """Say how many slices lack a number that is meant to tell phases apart, if some but not all do.

    The second value is whether the order is settled without it: each phase has slices of one known number at most,
    rising from phase to phase, and nothing repeats.
    """
    for attribute in phase_attributes.TABLE:
        numbers = [image_slice.phase_value(attribute) for image_slice in slices]
        without = numbers.count(None)
        if not attribute.numbers_phases or without in (0, len(slices)):
            continue
        known = {(phase, number) for phase, number in zip(grouping.phases, numbers, strict=True) if number is not None}
        in_order = [number for _, number in sorted(known)]
        rising = all(before < after for before, after in pairwise(in_order))
        one_each = len({phase for phase, _ in known}) == len(known)
        clause = f"{slices[0].name_of(attribute)} is absent in {without} of {len(slices)} slices"
        return clause, rising and one_each and not grouping.repeats
    return "", True
