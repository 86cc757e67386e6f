"""Study -> the pre-contrast and the post-contrast volume of its dynamic series."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.checks import (
    CHOOSE,
    are_in_step,
    check_complete,
    check_description,
    check_frame_of_reference,
    check_one_time,
    check_order,
    check_placed,
    check_sources,
)
from fcdd_runtime.phases.contrast import Arrival, Run, change_between, find_arrival, sampled_change
from fcdd_runtime.phases.dynamics import Dynamic, Phase, Stack, choose_dynamics, find_dynamics, stacks_of
from fcdd_runtime.phases.left_out import (
    check_nothing_left_out,
    check_ruled_out_is_later,
    check_unplaced_is_later,
    lie_elsewhere,
)
from fcdd_runtime.phases.manual import ManualPhases, check_sides_alike, find_manual_phases
from fcdd_runtime.result import PhaseChoice
from fcdd_runtime.study.read import Study
from fcdd_runtime.volumes.grids import check_equal_grids
from fcdd_runtime.volumes.resample import is_shifted, resample
from fcdd_runtime.volumes.volume import Volume


@dataclass(frozen=True)
class Phases:
    """The two volumes that are subtracted, on the same grid."""

    pre: Volume
    post: Volume
    choice: PhaseChoice
    findings: tuple[Finding, ...]
    laterality: str = ""
    """`L`, `R` or `B`: what the headers say is shown; empty if they say nothing."""
    left: "Phases | None" = None
    """Where each breast has series of its own, the phases of the left; the others are then the right's."""


def split_phases(study: Study, recipe: MipRecipe, manual: ManualPhases | None = None) -> Phases:
    """Find the dynamic series, and in it the last phase before contrast and the recipe's phase after it.

    Phases are told apart by TemporalPositionIdentifier, TriggerTime, AcquisitionTime, ContentTime, AcquisitionNumber
    or InstanceNumber, in this order of trust. They may lie in one series, in a series each, or in a mixture of both.
    Left and right breast may have series of their own.

    Parameters
    ----------
    manual : phases that a person has chosen; then nothing is looked for, and what speaks against them is a warning

    Raises
    ------
    StudyError
        If there is no pre/post pair, if it is ambiguous, or if a volume is incomplete, damaged or on another grid.
    """
    try:
        return _find(study, recipe) if manual is None else _take_chosen(study, manual, recipe)
    except StudyError as error:
        raise StudyError("; besides, ".join((str(error), *study.unread)), error.code) from error


def _find(study: Study, recipe: MipRecipe) -> Phases:
    stacks = [stack for series in study.series for stack in stacks_of(series)]
    dynamics = choose_dynamics(find_dynamics(stacks))
    # All that the headers say is checked before pixels are read, which takes longer.
    noted = [_check_headers(dynamic, stacks, study) for dynamic in dynamics]
    arrivals = _find_arrivals(dynamics, recipe)
    sides = []
    for dynamic, arrival, own in zip(dynamics, arrivals, noted, strict=True):
        side = _pair_of(dynamic, arrival, stacks, recipe)
        sides.append(replace(side, findings=own + side.findings))
    phases = _join_sides(study, sides)
    elsewhere = [
        Finding(
            "not-all-scored",
            f"{stack.series.label} has the protocol of the dynamic, but lies elsewhere and was not scored.",
        )
        for stack in lie_elsewhere([dynamic.phases[0] for dynamic in dynamics], stacks)
    ]
    return replace(phases, findings=(*phases.findings, *elsewhere))


def _check_headers(dynamic: Dynamic, stacks: list[Stack], study: Study) -> tuple[Finding, ...]:
    first = dynamic.phases[0]
    check_placed(dynamic)
    check_one_time(dynamic)
    findings = check_order(dynamic) + check_description(first)
    check_nothing_left_out(dynamic, first, first, stacks)
    check_ruled_out_is_later(first, study.series)
    check_unplaced_is_later(first, study.series)
    return findings


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


def _pair_of(dynamic: Dynamic, arrival: Arrival, stacks: list[Stack], recipe: MipRecipe) -> Phases:
    """Take the last phase before contrast and the recipe's after it, and check them against all others."""
    phases, before = dynamic.phases, arrival.last_before + 1
    number = arrival.first_after - 1 + recipe.post_contrast_phase
    if number >= len(phases):
        raise StudyError(
            f"the recipe asks for post-contrast phase {recipe.post_contrast_phase}, but {dynamic.name} has only "
            f"{len(phases) - arrival.first_after}; change post_contrast_phase or give the whole study",
            "no-such-phase",
        )
    pre, post = phases[arrival.last_before], phases[number]
    check_complete(post)
    pre_volume, post_volume, shift = _volumes(pre, post, recipe)
    check_complete(pre)
    findings = [*check_nothing_left_out(dynamic, pre, post, stacks)]
    for phase in phases:
        if len(phase.slices) < len(pre.slices):
            sentence = f"{phase.name} is incomplete ({len(phase.slices)} of {len(pre.slices)} slices) and was left out."
            findings.append(Finding("incomplete", sentence))
    findings += [*shift, *check_sources(pre, post)]
    if before > 1:
        findings.append(
            Finding(
                "several-before",
                f"{before} phases before contrast were found, because no place is brighter in the last of them than in "
                "the first beyond noise, and the last was taken.",
            )
        )
    for phase in phases[before : arrival.first_after]:
        findings.append(
            Finding(
                "passed-over",
                f"{phase.name} differs from the first phase in places, by an early uptake or by motion, and was taken "
                f"neither as before nor as after contrast; {pre.name} was subtracted.",
            )
        )
    rise = arrival.changes[0].rise
    choice = PhaseChoice(pre.name, post.name, dynamic.method or "", len(phases), before, rise)
    return Phases(pre_volume, post_volume, choice, tuple(findings), _laterality(pre, post))


def _take_chosen(study: Study, manual: ManualPhases, recipe: MipRecipe) -> Phases:
    pairs = find_manual_phases(study, manual)
    sides = []
    for pre, post in pairs:
        before, after, shift = _volumes(pre, post, recipe)
        change = change_between(before, after)
        findings = [*shift, *check_sources(pre, post)]
        if not change.arrived:
            sentence = (
                f"Hardly anything enhances in {post.name}: the body's mean signal changes by {change.rise:+.1%}, "
                "evenly or by motion, so that the two phases may not lie before and after contrast."
            )
            findings.insert(0, Finding("contrast-unclear", sentence))
        choice = PhaseChoice(pre.name, post.name, "chosen by hand", 2, 1, change.rise)
        sides.append(Phases(before, after, choice, tuple(findings), _laterality(pre, post)))
    phases = _join_sides(study, sides)
    unlike = check_sides_alike(*pairs) if len(pairs) > 1 else ()
    stacks = [stack for series in study.series for stack in stacks_of(series)]
    elsewhere = [
        Finding(
            "not-all-scored",
            f"{stack.label} has the protocol of the chosen phases, but lies elsewhere and was not scored.",
        )
        for stack in lie_elsewhere([pre for pre, _ in pairs], stacks)
    ]
    return replace(phases, findings=(*phases.findings, *unlike, *elsewhere))


def _volumes(pre: Phase, post: Phase, recipe: MipRecipe) -> tuple[Volume, Volume, tuple[Finding, ...]]:
    """Return both volumes on the grid of the first, and a warning if the second was interpolated for that."""
    before, after = pre.volume, post.volume
    check_frame_of_reference(pre, post)
    try:
        check_equal_grids(before, after)
    except StudyError as error:
        if not recipe.resample or not is_shifted(after.grid, before.grid):
            raise StudyError(f"{error}, or {CHOOSE}", error.code) from error
        shift = f"The grid of {post.name} is shifted against that of {pre.name}, so it was interpolated onto that."
        return before, resample(after, before.grid), (Finding("interpolated", shift),)
    return before, after, ()


def _laterality(pre: Phase, post: Phase) -> str:
    sides = {image_slice.laterality for phase in (pre, post) for image_slice in phase.slices} - {""}
    if len(sides) > 1:
        raise StudyError(
            f"the headers of {pre.name} and {post.name} name several lateralities ({' and '.join(sorted(sides))}); "
            "export the study again",
            "side-unknown",
        )
    return next(iter(sides), "")


def _join_sides(study: Study, sides: Sequence[Phases]) -> Phases:
    """Join the phases of two breasts that have series of their own, and say what was noted when the study was read."""
    noted = (*study.findings, *(Finding("unread-files", sentence) for sentence in study.unread))
    right, *others = sides
    if not others:
        return replace(right, findings=noted + right.findings)
    left = others[0]
    if (right.choice.count, right.choice.before_contrast) != (left.choice.count, left.choice.before_contrast):
        raise StudyError(
            f"the series of the two breasts differ in their phases: {right.choice.count} with "
            f"{right.choice.before_contrast} before contrast on the right, {left.choice.count} with "
            f"{left.choice.before_contrast} on the left; remove the phases that only one side has",
            "sides-differ",
        )
    choice = PhaseChoice(
        pre=f"{right.choice.pre} (R); {left.choice.pre} (L)",
        post=f"{right.choice.post} (R); {left.choice.post} (L)",
        method=right.choice.method if right.choice.method == left.choice.method else "several",
        count=min(right.choice.count, left.choice.count),
        before_contrast=min(right.choice.before_contrast, left.choice.before_contrast),
        rise=min(right.choice.rise, left.choice.rise),
    )
    findings = tuple(dict.fromkeys(noted + right.findings + left.findings))
    return replace(right, choice=choice, findings=findings, left=left)
