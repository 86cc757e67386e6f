"""Phases that a person has chosen, for studies in which they cannot be found for certain."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.dynamics import Phase, Stack, in_one_acquisition, in_one_region, phases_of, stacks_of
from fcdd_runtime.phases.regions import are_side_by_side
from fcdd_runtime.phases.series_filter import ruled_out
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study.protocol import same_protocol
from fcdd_runtime.study.read import Series, Study

_NUMBER = re.compile(r"[0-9]{1,4}")
SAME_ELAPSED_S = 30.0
"""Both breasts are read at the same time after contrast; phases that follow each other differ by a minute or more."""


@dataclass(frozen=True)
class ManualPhase:
    """One phase of one series."""

    series: str
    """Series number, or Series Instance UID."""
    phase: int
    """From 1, in temporal order within the series."""


@dataclass(frozen=True)
class ManualPair:
    """The two phases to subtract."""

    pre: ManualPhase
    post: ManualPhase


@dataclass(frozen=True)
class ManualPhases:
    """What to subtract in a study."""

    pairs: tuple[ManualPair, ...]
    """One, or one a breast where each has series of its own, in any order."""


def manual_phases(*choices: str) -> ManualPhases:
    """Parse choices, each written SERIES/PHASE such as `5/1`: pre and post, and again of the other breast.

    Raises
    ------
    StudyError
        If one is written otherwise, or they are not one or two pairs.
    """
    if len(choices) not in (2, 4):
        raise StudyError("give --pre and --post once, or once a breast where each has series of its own")
    parsed = [_parsed(choice) for choice in choices]
    return ManualPhases(tuple(map(ManualPair, parsed[::2], parsed[1::2])))


def find_manual_phases(study: Study, manual: ManualPhases) -> list[tuple[Phase, Phase]]:
    """Return the chosen pairs, of series that are ruled out by their description, too: of the right breast, the left.

    One choice names both breasts where one series shows them with a gap between them.

    Raises
    ------
    StudyError
        If a phase does not exist, several kinds of image in its series have one of that number, or two pairs do not
        show the two breasts.
    """
    stacks = [stack for series in study.series for stack in stacks_of(series)]
    pairs = [pair for choice in manual.pairs for pair in _pairs(study, stacks, choice)]
    if len(pairs) == 1:
        return pairs
    if len(pairs) > 2 or not are_side_by_side(*(pre.stack.box_mm for pre, _ in pairs)):
        names = " and ".join(f"{pre.name} with {post.name}" for pre, post in pairs)
        raise StudyError(
            f"the chosen pairs do not show the right and the left breast beside each other: {names}; choose one pair "
            "for each breast"
        )
    return sorted(pairs, key=lambda pair: float(pair[0].stack.box_mm[:, 0].mean()))


def not_chosen(study: Study, pairs: Sequence[tuple[Phase, Phase]]) -> Iterator[str]:
    """Warn of volumes that have the protocol of a chosen phase but lie elsewhere, and of unlike pairs."""
    if len(pairs) > 1:
        yield from _unlike(*pairs)
    stacks = [stack for series in study.series for stack in stacks_of(series)]
    chosen = [pre.stack for pre, _ in pairs]
    for stack in stacks:
        alike = any(same_protocol(stack.protocol, one.protocol) for one in chosen)
        shown = any(in_one_region(stack.box_mm, one.box_mm) for one in chosen)
        if alike and not shown and not ruled_out(stack.series.description):
            yield f"{stack.label} has the protocol of the chosen phases, but lies elsewhere and was not scored."


def _pairs(study: Study, stacks: Sequence[Stack], choice: ManualPair) -> list[tuple[Phase, Phase]]:
    before, after = _phases(study, stacks, choice.pre), _phases(study, stacks, choice.post)
    pairs = list(itertools.product(before, after))
    alike = [(pre, post) for pre, post in pairs if in_one_acquisition(pre.stack, post.stack)]
    sides = {pre.stack.side for pre, _ in alike}
    chosen = alike if len(alike) == len(sides) > 0 else pairs
    if len(chosen) > len({pre.stack.side for pre, _ in chosen}):
        raise StudyError(
            f"series {_named(choice.pre.series)} or {_named(choice.post.series)} mixes several kinds of image, so that "
            "the phase number does not name one of them; remove the kinds that are not meant"
        )
    return chosen


def _unlike(right: tuple[Phase, Phase], left: tuple[Phase, Phase]) -> Iterator[str]:
    """Warn where the breasts are not shown at the same time, so that their scores cannot be compared."""
    for one, other in zip(right, left, strict=True):
        if _number(one) != _number(other):
            yield (
                f"{one.name} was chosen for the right breast, but {other.name} for the left; scores of different "
                "phases cannot be compared."
            )
    right_s, left_s = _seconds_between(*right), _seconds_between(*left)
    if right_s is not None and left_s is not None and abs(right_s - left_s) > SAME_ELAPSED_S:
        yield (
            f"The chosen phases lie {right_s:.0f} s apart on the right and {left_s:.0f} s on the left; scores of "
            "different times cannot be compared."
        )


def _number(phase: Phase) -> int:
    """Return which phase of its stack it is, from 0."""
    return next(number for number, slices in enumerate(phase.stack.order.phases) if slices[0] is phase.slices[0])


def _seconds_between(pre: Phase, post: Phase) -> float | None:
    """Return the time from one phase to the next by AcquisitionTime; None where a slice has none."""
    starts = []
    for phase in (pre, post):
        times = [one.acquisition_time for one in phase.slices if one.acquisition_time is not None]
        if len(times) < len(phase.slices):
            return None
        starts.append(min(times))
    return starts[1] - starts[0]


def _named(series: str) -> str:
    """Name a series as it was chosen; anybody may have typed anything."""
    return series if _NUMBER.fullmatch(series) else quoted(series)


def _parsed(text: str) -> ManualPhase:
    series, _, number = text.strip().rpartition("/")
    if not series.strip() or not _NUMBER.fullmatch(number) or int(number) < 1:
        raise StudyError(
            "a choice of --pre or --post names no phase; write SERIES/PHASE with the series number and the phase from 1"
        )
    return ManualPhase(series.strip(), int(number))


def _phases(study: Study, stacks: Sequence[Stack], choice: ManualPhase) -> list[Phase]:
    series = _series(study, choice.series)
    own = [stack for stack in stacks if stack.series is series]
    found = [phase for stack in own for phase in phases_of(stack)[choice.phase - 1 : choice.phase]]
    if not found:
        count = max((len(stack.order.phases) for stack in own), default=0)
        raise StudyError(
            f"series {_named(choice.series)} has no phase {choice.phase}, only {count}; choose one of those"
        )
    return found


def _series(study: Study, name: str) -> Series:
    found = [one for one in study.series if name in (one.series_instance_uid, str(one.number))]
    if len(found) > 1:
        raise StudyError(f"several series have the number {_named(name)}; give the Series Instance UID instead")
    if not found:
        listed = "; ".join(one.label for one in study.series)
        raise StudyError(f"the study has no series {_named(name)}; choose one of: {listed}")
    return found[0]
