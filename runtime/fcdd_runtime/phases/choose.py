"""Study -> the pre-contrast and the post-contrast volume of its dynamic series."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.checks import (
    are_in_step,
    check_description,
    check_frame_of_reference,
    check_one_time,
    check_order,
    check_placed,
    check_sources,
    check_uids,
)
from fcdd_runtime.phases.completeness import check_all_came
from fcdd_runtime.phases.contrast import Arrival, Run, change_between, find_arrival, sampled_change
from fcdd_runtime.phases.dynamics import Dynamic, Phase, choose_dynamics, find_dynamics, stacks_of
from fcdd_runtime.phases.left_out import check_nothing_left_out, lie_elsewhere, unused_series
from fcdd_runtime.phases.manual import ManualPhases, check_chosen, check_sides_alike, find_manual_phases
from fcdd_runtime.result import CHOSEN_BY_HAND, PhaseChoice, UnusedSeries
from fcdd_runtime.study.read import Study
from fcdd_runtime.volumes.grids import check_equal_grids
from fcdd_runtime.volumes.resample import is_shifted, resample
from fcdd_runtime.volumes.volume import Volume, noting_blank_rows

NOTED_JITTER_MM = 0.01
"""Positions that differ by less are equal but for rounding."""


@dataclass(frozen=True)
class Phases:
    """The two volumes that are subtracted, on the same grid."""

    pre: Volume
    post: Volume
    choice: PhaseChoice
    findings: tuple[Finding, ...]
    laterality: str = ""
    """`L`, `R` or `B`: what the headers say is shown; empty if they say nothing, or not the same."""
    left: "Phases | None" = None
    """Where each breast has series of its own, the phases of the left; the others are then the right's."""
    not_used: tuple[UnusedSeries, ...] = ()
    subtracted: tuple[Phase, ...] = ()
    """Pre- and post-contrast phase, of the right breast and the left where each has series of its own."""

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """What is subtracted: pre and post, of the right breast and the left where each has series of its own."""
        return (self.pre, self.post, *(self.left.volumes if self.left is not None else ()))


def split_phases(study: Study, recipe: MipRecipe, manual: ManualPhases | None = None) -> Phases:
    """Find the dynamic series, and in it the last phase before contrast and the recipe's phase after it.

    Phases are told apart by TemporalPositionIdentifier, TriggerTime, AcquisitionTime, ContentTime, AcquisitionNumber
    or InstanceNumber, in this order of trust. They may lie in one series, in a series each, or in a mixture of both.
    Left and right breast may have series of their own. What is doubtful is taken as is likeliest, with a finding.

    Parameters
    ----------
    manual : phases that a person has chosen; then nothing is looked for

    Raises
    ------
    StudyError
        If there is no pair that can be subtracted: none at all, or incomplete, damaged or on unequal grids.
    """
    try:
        pairs, sides = _find(study, recipe) if manual is None else _take_chosen(study, manual, recipe)
    except StudyError as error:
        # What could not be read or placed may be what is missing.
        unplaced = [finding.sentence.rstrip(".") for series in study.series for finding in check_placed(series)]
        raise StudyError("; besides, ".join((str(error), *study.unread, *unplaced)), error.code) from error
    phases = _join_sides(study, sides)
    stacks = [stack for series in study.series for stack in stacks_of(series)]
    elsewhere = [
        Finding(
            "not-all-scored",
            f"{stack.label} has the protocol of the subtracted phases, but lies elsewhere and was not scored.",
        )
        for stack in lie_elsewhere([pre for pre, _ in pairs], stacks)
    ]
    subtracted = tuple(phase for pair in pairs for phase in pair)
    return replace(
        phases,
        findings=(*phases.findings, *elsewhere),
        not_used=unused_series(study, subtracted),
        subtracted=subtracted,
    )


_Pair = tuple[Phase, Phase]
"""Pre- and post-contrast phase."""


def _find(study: Study, recipe: MipRecipe) -> tuple[list[_Pair], list[Phases]]:
    stacks = [stack for series in study.series for stack in stacks_of(series)]
    dynamics, ambiguous = choose_dynamics(find_dynamics(stacks))
    for dynamic in dynamics:
        check_one_time(dynamic)
    pairs, sides = [], []
    for dynamic, arrival in zip(dynamics, _find_arrivals(dynamics, recipe), strict=True):
        phases, first_after = dynamic.phases, dynamic.phases[arrival.first_after]
        number = arrival.first_after - 1 + recipe.post_contrast_phase
        if number >= len(phases):
            raise StudyError(
                f"the recipe asks for post-contrast phase {recipe.post_contrast_phase}, but {dynamic.name} has only "
                f"{len(phases) - arrival.first_after}; change post_contrast_phase or give the whole study",
                "no-such-phase",
            )
        pre, post = phases[arrival.last_before], phases[number]
        headers = (
            *ambiguous,
            *(finding for stack in dynamic.stacks for finding in check_placed(stack.series)),
            *check_order(dynamic),
            *check_description(pre),
            *check_nothing_left_out(dynamic, pre, post, study),
            *check_all_came(dynamic, study, pre, first_after),
        )
        side = _subtractable(pre, post, recipe)
        before = arrival.last_before + 1
        choice = PhaseChoice(pre.name, post.name, dynamic.method or "", len(phases), before, arrival.changes[0].rise)
        findings = (*headers, *_contrast_findings(dynamic, arrival), *side.findings)
        pairs.append((pre, post))
        sides.append(replace(side, choice=choice, findings=findings))
    return pairs, sides


def _find_arrivals(dynamics: Sequence[Dynamic], recipe: MipRecipe) -> list[Arrival]:
    """Look for contrast in every dynamic; those that are in step share an injection and are judged together."""
    runs = [_run(dynamic.phases, recipe) for dynamic in dynamics]
    if any(dynamic.no_dynamic_t1 for dynamic in dynamics):
        # There is no contrast to look for.
        return [Arrival(0, 1, (sampled_change(run.volume(0), run.volume(1)),)) for run in runs]
    if not are_in_step(dynamics):
        return [find_arrival([run]) for run in runs]
    arrival = find_arrival(runs)
    return [replace(arrival, changes=(change,)) for change in arrival.changes]


def _run(phases: Sequence[Phase], recipe: MipRecipe) -> Run:
    return Run(lambda index: _volumes(phases[0], phases[index], recipe)[1], tuple(phase.name for phase in phases))


def _contrast_findings(dynamic: Dynamic, arrival: Arrival) -> list[Finding]:
    findings = [Finding("contrast-unclear", arrival.doubt)] if arrival.doubt else []
    phases, before = dynamic.phases, arrival.last_before + 1
    if before > 1:
        findings.append(
            Finding(
                "several-before",
                f"{before} phases before contrast were found, because no place is brighter in the last of them than in "
                "the first beyond noise, and the last was taken.",
            )
        )
    for phase in (*phases[: arrival.last_before], *phases[before : arrival.first_after]):
        # What is not subtracted may be what the recipe asks for, and not be seen for its damage.
        sampled, blank = noting_blank_rows(phase.volume)
        for share in (1, 2, 3):
            sampled.read_pixels(share * (blank.slices - 1) // 4)
        if blank.suspects:
            sentence = f"{phase.name}, which was not subtracted, has slices that hold one value in many rows or in all."
            findings.append(Finding("blank-slices", sentence))
    for phase in phases[before : arrival.first_after]:
        findings.append(
            Finding(
                "passed-over",
                f"{phase.name} differs from the first phase in places, by an early uptake or by motion, and was taken "
                f"neither as before nor as after contrast; {phases[arrival.last_before].name} was subtracted.",
            )
        )
    return findings


def _take_chosen(study: Study, manual: ManualPhases, recipe: MipRecipe) -> tuple[list[_Pair], list[Phases]]:
    pairs, ambiguous = find_manual_phases(study, manual)
    sides = []
    for pre, post in pairs:
        side = _subtractable(pre, post, recipe)
        change = change_between(side.pre, side.post)
        findings = [*ambiguous, *check_chosen(pre, post)]
        if not change.arrived:
            sentence = (
                f"Hardly anything enhances in {post.name}: the body's mean signal changes by {change.rise:+.1%}, and "
                f"{change.share:.1%} of it become brighter than the rest."
            )
            findings.append(Finding("contrast-unclear", sentence))
        choice = PhaseChoice(pre.name, post.name, CHOSEN_BY_HAND, 2, 1, change.rise)
        sides.append(replace(side, choice=choice, findings=(*findings, *side.findings)))
    if len(pairs) > 1:
        sides[0] = replace(sides[0], findings=(*sides[0].findings, *check_sides_alike(*pairs)))
    return pairs, sides


def _subtractable(pre: Phase, post: Phase, recipe: MipRecipe) -> Phases:
    """Put two phases on one grid, and say what their headers say against the result."""
    before, after, shift = _volumes(pre, post, recipe)
    findings = [
        *shift,
        *check_frame_of_reference(pre, post),
        *check_sources(pre, post),
        *check_uids(pre, post),
    ]
    sides = {image_slice.laterality for phase in (pre, post) for image_slice in phase.slices} - {""}
    if len(sides) > 1:
        sentence = (
            f"The headers of {pre.name} and {post.name} name several lateralities ({' and '.join(sorted(sides))})."
        )
        findings.append(Finding("side-unclear", sentence))
    laterality = next(iter(sides)) if len(sides) == 1 else ""
    choice = PhaseChoice(pre.name, post.name, "", 2)
    return Phases(before, after, choice, tuple(findings), laterality)


def _volumes(pre: Phase, post: Phase, recipe: MipRecipe) -> tuple[Volume, Volume, tuple[Finding, ...]]:
    """Return both volumes on the grid of the first, and a finding if the second's differs or was interpolated."""
    before, after = pre.volume, post.volume
    try:
        apart = check_equal_grids(before, after)
    except StudyError:
        if not recipe.resample or not is_shifted(after.grid, before.grid):
            raise
        shift = f"The grid of {post.name} is shifted against that of {pre.name}, so it was interpolated onto that."
        return before, resample(after, before.grid), (Finding("interpolated", shift),)
    if apart > NOTED_JITTER_MM:
        sentence = f"The positions of {pre.name} and {post.name} differ by up to {apart:.3f} mm."
        return before, after, (Finding("jitter", sentence),)
    return before, after, ()


def _join_sides(study: Study, sides: Sequence[Phases]) -> Phases:
    """Join the phases of two breasts that have series of their own, and say what was noted when the study was read."""
    noted = (*study.findings, *(Finding("unread-files", sentence) for sentence in study.unread))
    right, *others = sides
    if not others:
        return replace(right, findings=noted + right.findings)
    left = others[0]
    findings = noted + right.findings + left.findings
    if (right.choice.count, right.choice.before_contrast) != (left.choice.count, left.choice.before_contrast):
        sentence = (
            f"The series of the two breasts differ in their phases: {right.choice.count} with "
            f"{right.choice.before_contrast} before contrast on the right, {left.choice.count} with "
            f"{left.choice.before_contrast} on the left."
        )
        findings += (Finding("sides-differ", sentence),)
    choice = PhaseChoice(
        pre=f"{right.choice.pre} (R); {left.choice.pre} (L)",
        post=f"{right.choice.post} (R); {left.choice.post} (L)",
        method=right.choice.method if right.choice.method == left.choice.method else "several",
        count=min(right.choice.count, left.choice.count),
        before_contrast=min(right.choice.before_contrast, left.choice.before_contrast),
        rise=min(right.choice.rise, left.choice.rise),
    )
    return replace(right, choice=choice, findings=tuple(dict.fromkeys(findings)), left=left)
