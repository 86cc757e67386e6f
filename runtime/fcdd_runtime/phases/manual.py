"""Phases that a person has chosen, for studies in which they cannot be found for certain."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.dynamics import Phase, Stack, in_one_acquisition, phases_of, stacks_of
from fcdd_runtime.phases.order import earliest
from fcdd_runtime.phases.regions import are_side_by_side
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study.phase_attributes import ACQUISITION_TIME
from fcdd_runtime.study.read import Study

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
        raise StudyError(
            "give --pre and --post once, or once a breast where each has series of its own", "no-such-phase"
        )
    phases = []
    for choice in choices:
        series, _, number = choice.strip().rpartition("/")
        if not series.strip() or not _NUMBER.fullmatch(number) or int(number) < 1:
            raise StudyError(
                "a choice of --pre or --post names no phase; write SERIES/PHASE with the series number and the phase "
                "from 1",
                "no-such-phase",
            )
        phases.append(ManualPhase(series.strip(), int(number)))
    return ManualPhases(tuple(map(ManualPair, phases[::2], phases[1::2])))


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
    pairs = [pair for choice in manual.pairs for pair in _find_pairs(study, stacks, choice)]
    if len(pairs) == 1:
        return pairs
    if len(pairs) > 2 or not are_side_by_side(*(pre.stack.box_mm for pre, _ in pairs)):
        names = " and ".join(f"{pre.name} with {post.name}" for pre, post in pairs)
        raise StudyError(
            f"the chosen pairs do not show the right and the left breast beside each other: {names}; choose one pair "
            "for each breast",
            "no-such-phase",
        )
    return sorted(pairs, key=lambda pair: float(pair[0].stack.box_mm[:, 0].mean()))


def check_sides_alike(right: tuple[Phase, Phase], left: tuple[Phase, Phase]) -> tuple[Finding, ...]:
    """Warn where the breasts are not shown at the same time, so that their scores cannot be compared."""
    findings = []
    for on_right, on_left in zip(right, left, strict=True):
        if _number_of(on_right) != _number_of(on_left):
            findings.append(
                Finding(
                    "sides-differ",
                    f"{on_right.name} was chosen for the right breast, but {on_left.name} for the left; scores of "
                    "different phases cannot be compared.",
                )
            )
    right_s, left_s = _seconds_between(*right), _seconds_between(*left)
    if right_s is not None and left_s is not None and abs(right_s - left_s) > SAME_ELAPSED_S:
        findings.append(
            Finding(
                "sides-differ",
                f"The chosen phases lie {right_s:.0f} s apart on the right and {left_s:.0f} s on the left; scores of "
                "different times cannot be compared.",
            )
        )
    return tuple(findings)


def _find_pairs(study: Study, stacks: Sequence[Stack], choice: ManualPair) -> list[tuple[Phase, Phase]]:
    before, after = _find_phases(study, stacks, choice.pre), _find_phases(study, stacks, choice.post)
    pairs = list(itertools.product(before, after))
    alike = [(pre, post) for pre, post in pairs if in_one_acquisition(pre.stack, post.stack)]
    sides = {pre.stack.side for pre, _ in alike}
    chosen = alike if len(alike) == len(sides) > 0 else pairs
    if len(chosen) > len({pre.stack.side for pre, _ in chosen}):
        raise StudyError(
            f"series {_shown(choice.pre.series)} or {_shown(choice.post.series)} mixes several kinds of image, so that "
            "the phase number does not name one of them; remove the kinds that are not meant",
            "no-such-phase",
        )
    return chosen


def _find_phases(study: Study, stacks: Sequence[Stack], choice: ManualPhase) -> list[Phase]:
    found = [each for each in study.series if choice.series in (each.series_instance_uid, str(each.number))]
    name = _shown(choice.series)
    if len(found) > 1:
        raise StudyError(
            f"several series have the number {name}; give the Series Instance UID instead", "no-such-phase"
        )
    if not found:
        listed = "; ".join(series.label for series in study.series)
        raise StudyError(f"the study has no series {name}; choose one of: {listed}", "no-such-phase")
    own = [stack for stack in stacks if stack.series is found[0]]
    phases = [phase for stack in own for phase in phases_of(stack)[choice.phase - 1 : choice.phase]]
    if not phases:
        count = max((len(stack.order.phases) for stack in own), default=0)
        raise StudyError(
            f"series {name} has no phase {choice.phase}, only {count}; choose one of those", "no-such-phase"
        )
    return phases


def _shown(series: str) -> str:
    """Name a series as it was chosen; anybody may have typed anything."""
    return series if _NUMBER.fullmatch(series) else quoted(series)


def _number_of(phase: Phase) -> int:
    """Return which phase of its stack it is, from 0."""
    return next(number for number, slices in enumerate(phase.stack.order.phases) if slices[0] is phase.slices[0])


def _seconds_between(pre: Phase, post: Phase) -> float | None:
    """Return the time from one phase to the next by AcquisitionTime; None where a slice has none."""
    start, end = (earliest(phase.slices, ACQUISITION_TIME) for phase in (pre, post))
    return None if start is None or end is None else end - start
