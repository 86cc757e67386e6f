"""Telling the phases of a dynamic series apart, by the attribute that deserves most trust among those present."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fcdd_runtime.study.slices import Slice

SAME_POSITION_MM = 0.01
"""Slices closer than this along their normal are at one position."""
SAME_TIME_S = 1.0
"""Times that follow each other within this belong to one phase, where the exact times do not tell phases apart."""
FULL_PHASE = 0.75
"""Share of all positions that every phase but the last (which may be aborted) has at least. A grouping with less
is none by phase: two-dimensional sequences give every slice its own time."""

ATTRIBUTES = {
    "temporal_position": ("TemporalPositionIdentifier", "TemporalPositionIndex"),
    "trigger_time": ("TriggerTime", "TriggerTime"),
    "acquisition_time": ("AcquisitionTime", "FrameAcquisitionDateTime"),
    "content_time": ("ContentTime", "ContentTime"),
    "acquisition_number": ("AcquisitionNumber", "FrameAcquisitionNumber"),
}
"""Attributes of Slice in the order of trust, with their DICOM names in single-frame and in multi-frame files."""

_TIMES = ("trigger_time", "acquisition_time", "content_time")
_TIMES_OF_DAY = ("acquisition_time", "content_time")
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
class _Labels:
    """A phase number, from 0, for every slice."""

    attribute: str
    phases: tuple[int, ...]
    repeats: int


def phase_order(slices: Sequence[Slice]) -> PhaseOrder:
    """Sort slices of one series, all with a plane, into phases.

    Of slices with the same position and phase the first is taken, by InstanceNumber and then by frame.
    """
    slices = sorted(slices, key=_reading_order)
    positions = position_numbers(slices)
    labels = _labels(slices, positions)
    phases: list[dict[int, Slice]] = [{} for _ in range(max(labels.phases) + 1)]
    for one, phase, position in zip(slices, labels.phases, positions, strict=True):
        phases[phase].setdefault(position, one)
    return PhaseOrder(
        attribute_name(labels.attribute, slices[0]),
        tuple(tuple(phase.values()) for phase in phases),
        labels.repeats,
        tuple(_doubts(slices, labels.attribute)),
        _absence(slices),
        _is_settled([one.temporal_position for one in slices], labels),
    )


def order_is_unclear(attribute: str, values: Sequence[float | None]) -> str:
    """Say why the values of an attribute order nothing, in one sentence; empty if they do.

    A time without a date may be of the day before or after, which shows where times lie far apart.
    """
    known = [value for value in values if value is not None]
    if attribute not in _TIMES_OF_DAY or not known or min(known) >= _DAY_S or max(known) - min(known) <= _DAY_S / 2:
        return ""
    return (
        f"{attribute_name(attribute)} has no date, and its values lie more than 12 hours apart, so that their order "
        "is unclear"
    )


def attribute_name(attribute: str, one: Slice | None = None) -> str:
    """Return the DICOM name of an attribute of Slice, as it is called in the kind of file that a slice is from."""
    names = ATTRIBUTES.get(attribute, (attribute, attribute))
    return names[0] if one is None or one.source.frame_number is None else names[1]


def position_numbers(slices: Sequence[Slice]) -> list[int]:
    """Number the positions of slices, all with a plane, along the normal of the first, from 0."""
    planes = [one.plane for one in slices if one.plane is not None]
    heights = np.array([plane.origin_mm for plane in planes]) @ np.array(planes[0].normal)
    order = np.argsort(heights, kind="stable")
    numbers = np.zeros(len(slices), dtype=np.intp)
    numbers[order[1:]] = np.cumsum(np.diff(heights[order]) > SAME_POSITION_MM)
    return [int(number) for number in numbers]


def _doubts(slices: Sequence[Slice], chosen: str) -> Iterator[str]:
    """Yield what is unclear about attributes that deserve more trust than the chosen one."""
    for attribute in ATTRIBUTES:
        if attribute == chosen:
            return
        if doubt := order_is_unclear(attribute, [getattr(one, attribute) for one in slices]):
            yield doubt


def _absence(slices: Sequence[Slice]) -> str:
    """Say how many slices lack a number that is meant to tell phases apart, if some but not all do."""
    without = sum(one.temporal_position is None for one in slices)
    if without in (0, len(slices)):
        return ""
    return f"{attribute_name('temporal_position', slices[0])} is absent in {without} of {len(slices)} slices"


def _is_settled(numbers: Sequence[float | None], labels: _Labels) -> bool:
    """Whether each phase has slices of one known number at most, rising from phase to phase, and nothing repeats."""
    if None not in numbers:
        return True
    known = {(phase, number) for phase, number in zip(labels.phases, numbers, strict=True) if number is not None}
    in_order = [number for _, number in sorted(known)]
    rising = all(before < after for before, after in pairwise(in_order))
    return not known or (rising and len({phase for phase, _ in known}) == len(known) and not labels.repeats)


def _reading_order(one: Slice) -> tuple[float, int, str]:
    number = np.inf if one.instance_number is None else one.instance_number
    return number, one.source.frame_number or 0, one.source.sop_instance_uid


def _labels(slices: Sequence[Slice], positions: list[int]) -> _Labels:
    """Choose by trust; a time or number that leaves repeats is used only where nothing else tells more apart."""
    candidates = list(_candidates(slices, positions))
    for candidate in candidates:
        if candidate.attribute == "temporal_position" or not candidate.repeats:
            return candidate
    if candidates:
        return candidates[0]
    return _by_instance_number(slices, positions) or _label([0] * len(slices), "", positions)


def _candidates(slices: Sequence[Slice], positions: list[int]) -> Iterator[_Labels]:
    for attribute in ATTRIBUTES:
        values = [getattr(one, attribute) for one in slices]
        if None in values or order_is_unclear(attribute, values):
            continue
        for tolerance in (0.0, SAME_TIME_S) if attribute in _TIMES else (0.0,):
            labels = _merged(values, tolerance)
            if _plausible(attribute, labels, positions):
                yield _label(labels, attribute, positions)
                break


def _label(labels: Sequence[int], attribute: str, positions: list[int]) -> _Labels:
    repeats = len(positions) - len(set(zip(labels, positions, strict=True)))
    return _Labels(attribute, tuple(labels), repeats)


def _merged(values: Sequence[float], tolerance: float) -> list[int]:
    """Number the distinct values in ascending order; neighbours within the tolerance share a number."""
    distinct = sorted(set(values))
    numbers = dict.fromkeys(distinct[:1], 0)
    for before, after in pairwise(distinct):
        numbers[after] = numbers[before] + (after - before > tolerance)
    return [numbers[value] for value in values]


def _plausible(attribute: str, labels: list[int], positions: list[int]) -> bool:
    count = max(labels) + 1
    if count < 2:
        return False
    if attribute == "temporal_position":
        # Meant for phases, so wrong only where it numbers the slices; what is missing is found when it is stacked.
        return 2 * count <= len(labels)
    places = [
        {place for place, label in zip(positions, labels, strict=True) if label == phase} for phase in range(count)
    ]
    full = all(len(phase) >= FULL_PHASE * len(set(positions)) for phase in places[:-1])
    return full and 2 * len(places[-1] & places[0]) >= len(places[-1])


def _by_instance_number(slices: Sequence[Slice], positions: list[int]) -> _Labels | None:
    """Sort by InstanceNumber (or frame): every position equally often, phases one after another or interleaved."""
    times = Counter(positions)
    count = times[positions[0]]
    keys = [_reading_order(one)[:2] for one in slices]
    if count < 2 or set(times.values()) != {count} or len(set(keys)) < len(keys):
        return None
    seen: Counter[int] = Counter()
    labels = []
    for position in positions:
        labels.append(seen[position])
        seen[position] += 1
    in_blocks = labels == sorted(labels)
    interleaved = labels == [index % count for index in range(len(labels))]
    return _label(labels, "InstanceNumber", positions) if in_blocks or interleaved else None
