"""Phases that a person has chosen, for studies in which they cannot be found for certain."""

import itertools
import re
from dataclasses import dataclass

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.dynamics import Phase, in_one_acquisition, phases_of, ruled_out_stacks_of, stacks_of
from fcdd_runtime.phases.left_out import why_no_phase
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


def find_manual_phases(study: Study, manual: ManualPhases) -> tuple[list[tuple[Phase, Phase]], tuple[Finding, ...]]:
    """Return the chosen pairs, of the right breast and the left; any series with places may be chosen.

    One choice names both breasts where one series shows them with a gap between them.

    Returns
    -------
    pairs : one or two
    findings : where a choice names several volumes, which of them was taken

    Raises
    ------
    StudyError
        If a phase does not exist, or two pairs do not show the two breasts.
    """
    pairs, findings = [], []
    for choice in manual.pairs:
        found, ambiguous = _find_pairs(study, choice)
        pairs += found
        findings += ambiguous
    if len(pairs) == 1:
        return pairs, tuple(findings)
    if len(pairs) > 2 or not are_side_by_side(*(pre.stack.box_mm for pre, _ in pairs)):
        names = " and ".join(f"{pre.name} with {post.name}" for pre, post in pairs)
        raise StudyError(
            f"the chosen pairs do not show the right and the left breast beside each other: {names}; choose one pair "
            "for each breast",
            "no-such-phase",
        )
    return sorted(pairs, key=lambda pair: float(pair[0].stack.box_mm[:, 0].mean())), tuple(findings)


def check_chosen(pre: Phase, post: Phase) -> tuple[Finding, ...]:
    """Doubt a choice of series that are never taken without a person, or whose order is not certain."""
    findings = []
    for stack in {id(phase.stack): phase.stack for phase in (pre, post)}.values():
        if reason := why_no_phase(stack):
            sentence = f"{stack.label} was chosen, although it is {reason}."
            findings.append(Finding("ruled-out-chosen", sentence))
        if not stack.order.is_settled:
            sentence = f"The phases of {stack.label} cannot be told apart for certain: {stack.order.absence}."
            findings.append(Finding("order-unclear", sentence))
    return tuple(findings)


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


def _find_pairs(study: Study, choice: ManualPair) -> tuple[list[tuple[Phase, Phase]], list[Finding]]:
    """Return the pair that a choice names, or one a breast, and a finding where it names others, too."""
    pairs = list(itertools.product(_find_phases(study, choice.pre), _find_phases(study, choice.post)))
    # Of several kinds of image in a series, those that belong together are meant; a breast has one pair.
    likeliest = sorted(pairs, key=lambda pair: not in_one_acquisition(pair[0].stack, pair[1].stack))
    by_side: dict[str, tuple[Phase, Phase]] = {}
    for pre, post in likeliest:
        if pre.stack.side == post.stack.side or not (pre.stack.side and post.stack.side):
            by_side.setdefault(pre.stack.side or post.stack.side, (pre, post))
    chosen = list(by_side.values()) or likeliest[:1]
    alike = sum(in_one_acquisition(pre.stack, post.stack) for pre, post in pairs)
    if len(chosen) == max(alike, 1) or len(pairs) == len(chosen):
        return chosen, []
    names = " and ".join(f"{pre.name} with {post.name}" for pre, post in chosen)
    sentence = (
        f"Series {_shown(choice.pre.series)} or {_shown(choice.post.series)} mixes several kinds of image, so that the "
        f"choice names several volumes; {names} was taken."
    )
    return chosen, [Finding("phases-ambiguous", sentence)]


def _find_phases(study: Study, choice: ManualPhase) -> list[Phase]:
    found = [each for each in study.series if choice.series in (each.series_instance_uid, str(each.number))]
    name = _shown(choice.series)
    if len(found) > 1:
        raise StudyError(
            f"several series have the number {name}; give the Series Instance UID instead", "no-such-phase"
        )
    if not found:
        listed = "; ".join(series.label for series in study.series)
        raise StudyError(f"the study has no series {name}; choose one of: {listed}", "no-such-phase")
    stacks = stacks_of(found[0]) or ruled_out_stacks_of(found[0])
    if not stacks:
        raise StudyError(f"series {name} does not say where its slices lie; export the study again", "damaged")
    phases = [phase for stack in stacks for phase in phases_of(stack)[choice.phase - 1 : choice.phase]]
    if not phases:
        count = max(len(stack.order.phases) for stack in stacks)
        phases_there = "phase 1" if count == 1 else f"phases 1 to {count}"
        raise StudyError(f"series {name} has no phase {choice.phase}; it has {phases_there}", "no-such-phase")
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
