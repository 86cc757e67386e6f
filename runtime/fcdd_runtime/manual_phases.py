"""Phases that a person has chosen, for studies in which they cannot be found for certain."""

import itertools
from dataclasses import dataclass

from fcdd_runtime.dynamics import Phase, in_one_acquisition, phases_of, stacks_of
from fcdd_runtime.errors import StudyError
from fcdd_runtime.study import Series, Study


@dataclass(frozen=True)
class ManualPhase:
    """One phase of one series."""

    series: str
    """Series number, or Series Instance UID."""
    phase: int
    """From 1, in temporal order within the series."""


@dataclass(frozen=True)
class ManualPhases:
    """The two phases to subtract."""

    pre: ManualPhase
    post: ManualPhase


def manual_phases(pre: str, post: str) -> ManualPhases:
    """Parse two choices, each written SERIES/PHASE such as `5/1`.

    Raises
    ------
    StudyError
        If one is written otherwise.
    """
    return ManualPhases(_parsed(pre), _parsed(post))


def find_manual_phases(study: Study, manual: ManualPhases) -> tuple[Phase, Phase]:
    """Return the chosen phases, of series that are ruled out by their description, too.

    Raises
    ------
    StudyError
        If a phase does not exist, or several kinds of image in its series have one of that number.
    """
    before, after = (_phases(study, choice) for choice in (manual.pre, manual.post))
    pairs = list(itertools.product(before, after))
    alike = [(pre, post) for pre, post in pairs if in_one_acquisition(pre.stack, post.stack)]
    chosen = alike if len(alike) == 1 else pairs
    if len(chosen) > 1:
        raise StudyError(
            f"series {manual.pre.series} or {manual.post.series} mixes several kinds of image, so that the phase "
            "number does not name one of them; remove the kinds that are not meant"
        )
    return chosen[0]


def _parsed(text: str) -> ManualPhase:
    series, separator, number = text.strip().rpartition("/")
    if not separator or not series or not number.isdecimal() or int(number) < 1:
        raise StudyError(f"{text!r} names no phase; write SERIES/PHASE with the series number and the phase from 1")
    return ManualPhase(series.strip(), int(number))


def _phases(study: Study, choice: ManualPhase) -> list[Phase]:
    stacks = stacks_of(_series(study, choice.series))
    found = [phase for stack in stacks for phase in phases_of(stack)[choice.phase - 1 : choice.phase]]
    if not found:
        count = max((len(stack.order.phases) for stack in stacks), default=0)
        raise StudyError(f"series {choice.series} has no phase {choice.phase}, only {count}; choose one of those")
    return found


def _series(study: Study, name: str) -> Series:
    found = [one for one in study.series if name in (one.series_instance_uid, str(one.number))]
    if len(found) > 1:
        raise StudyError(f"several series have the number {name}; give the Series Instance UID instead")
    if not found:
        listed = "; ".join(one.label for one in study.series)
        raise StudyError(f"the study has no series {name}; choose one of: {listed}")
    return found[0]
