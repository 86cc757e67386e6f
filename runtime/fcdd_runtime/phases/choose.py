"""Study -> the pre-contrast and the post-contrast volume of its dynamic series."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.checks import (
    CHOOSE,
    check_description,
    check_nothing_left_out,
    check_one_time,
    check_order,
    check_ruled_out_is_later,
    check_unplaced_is_later,
    in_step,
    not_scored,
)
from fcdd_runtime.phases.contrast import Arrival, Change, Run, change_between, find_arrival, sampled_change
from fcdd_runtime.phases.dynamics import Dynamic, Phase, Stack, choose_dynamics, find_dynamics, stacks_of
from fcdd_runtime.phases.manual import ManualPhases, find_manual_phases, not_chosen
from fcdd_runtime.phases.notes import source_notes
from fcdd_runtime.result import PhaseChoice
from fcdd_runtime.study.protocol import no_dynamic_t1
from fcdd_runtime.study.read import Study
from fcdd_runtime.volumes.grids import check_equal_grids
from fcdd_runtime.volumes.resample import is_shifted, resampled
from fcdd_runtime.volumes.volume import Volume


@dataclass(frozen=True)
class Phases:
    """The two volumes that are subtracted, on the same grid."""

    pre: Volume
    post: Volume
    choice: PhaseChoice
    warnings: tuple[str, ...]
    """One sentence each."""
    laterality: str = ""
    """`L`, `R` or `B`: what the headers say is shown; empty if they say nothing."""
    left: "Phases | None" = None
    """Where each breast has series of its own, the phases of the left; the others are then the right's."""


@dataclass(frozen=True)
class _Pair:
    """The phases to subtract and what is known about them."""

    pre: Phase
    post: Phase
    volumes: tuple[Volume, Volume]
    method: str
    count: int
    before_contrast: int
    rise: float
    warnings: tuple[str, ...]


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
        if manual is not None:
            return _chosen(study, find_manual_phases(study, manual), recipe)
        stacks = [stack for series in study.series for stack in stacks_of(series)]
        dynamics = choose_dynamics(find_dynamics(stacks))
        warnings = [_checked(dynamic, stacks, study) for dynamic in dynamics]
        found = zip(dynamics, _arrivals(dynamics, recipe), warnings, strict=True)
        sides = [_phases(study, _found_pair(*one, stacks, recipe)) for one in found]
    except StudyError as error:
        raise StudyError("; besides, ".join((str(error), *study.unread))) from error
    phases = sides[0] if len(sides) == 1 else _both(sides[0], sides[1])
    return replace(phases, warnings=(*phases.warnings, *not_scored(dynamics, stacks)))


def _chosen(study: Study, pairs: list[tuple[Phase, Phase]], recipe: MipRecipe) -> Phases:
    sides = [_phases(study, _chosen_pair(*pair, recipe)) for pair in pairs]
    phases = sides[0] if len(sides) == 1 else _both(sides[0], sides[1])
    return replace(phases, warnings=(*phases.warnings, *not_chosen(study, pairs)))


def _chosen_pair(pre: Phase, post: Phase, recipe: MipRecipe) -> _Pair:
    volumes = _volumes(pre, post, recipe)
    change = change_between(*volumes)
    warnings = (*_about_change(change, post), *_warnings(pre, post, volumes))
    return _Pair(pre, post, volumes, "chosen by hand", 2, 1, change.rise, warnings)


def _checked(dynamic: Dynamic, stacks: list[Stack], study: Study) -> list[str]:
    """Check a dynamic by all that the headers say, before pixels are read, which takes longer; return warnings."""
    for stack in dynamic.stacks:
        _check_placed(stack)
    first = dynamic.phases[0]
    check_one_time(dynamic)
    warnings = [*check_order(dynamic), *check_description(first)]
    list(check_nothing_left_out(dynamic, first, first, stacks))
    check_ruled_out_is_later(first, study.series)
    check_unplaced_is_later(first, study.series)
    return warnings


def _arrivals(dynamics: Sequence[Dynamic], recipe: MipRecipe) -> list[Arrival]:
    """Look for contrast in every dynamic; those that are in step share an injection and are judged together."""
    runs = [_run(dynamic, recipe) for dynamic in dynamics]
    if any(dynamic.no_dynamic_t1 for dynamic in dynamics):
        # There is no contrast to look for.
        return [Arrival(0, 1, (sampled_change(run.volume(0), run.volume(1)),)) for run in runs]
    if not in_step(dynamics):
        return [find_arrival([run]) for run in runs]
    arrival = find_arrival(runs)
    return [replace(arrival, changes=(change,)) for change in arrival.changes]


def _run(dynamic: Dynamic, recipe: MipRecipe) -> Run:
    phases = dynamic.phases
    return Run(lambda index: _volumes(phases[0], phases[index], recipe)[1], tuple(phase.name for phase in phases))


def _found_pair(
    dynamic: Dynamic, arrival: Arrival, warnings: list[str], stacks: list[Stack], recipe: MipRecipe
) -> _Pair:
    """Take the pair and check that it is complete, and that nothing else may be."""
    pre, post = _pre_and_post(dynamic, arrival, recipe)
    _check_complete(post)
    volumes = _volumes(pre, post, recipe)
    _check_complete(pre)
    found = (
        *warnings,
        *check_nothing_left_out(dynamic, pre, post, stacks),
        *_left_out(dynamic, pre),
        *_warnings(pre, post, volumes),
        *_about_arrival(dynamic, arrival),
    )
    count, before = len(dynamic.phases), arrival.last_before + 1
    return _Pair(pre, post, volumes, dynamic.method or "", count, before, arrival.changes[0].rise, found)


def _about_arrival(dynamic: Dynamic, arrival: Arrival) -> Iterator[str]:
    before = arrival.last_before + 1
    if before > 1:
        yield (
            f"{before} phases before contrast were found, because no place is brighter in the last of them than in the "
            "first beyond noise, and the last was taken."
        )
    for phase in dynamic.phases[before : arrival.first_after]:
        yield (
            f"{phase.name} differs from the first phase in places, by an early uptake or by motion, and was taken "
            f"neither as before nor as after contrast; {dynamic.phases[before - 1].name} was subtracted."
        )


def _pre_and_post(dynamic: Dynamic, arrival: Arrival, recipe: MipRecipe) -> tuple[Phase, Phase]:
    number = arrival.first_after - 1 + recipe.post_contrast_phase
    if number >= len(dynamic.phases):
        raise StudyError(
            f"the recipe asks for post-contrast phase {recipe.post_contrast_phase}, but {dynamic.name} has only "
            f"{len(dynamic.phases) - arrival.first_after}; change post_contrast_phase or give the whole study"
        )
    return dynamic.phases[arrival.last_before], dynamic.phases[number]


def _volumes(pre: Phase, post: Phase, recipe: MipRecipe) -> tuple[Volume, Volume]:
    """Return both volumes on the grid of the first."""
    before, after = pre.volume, post.volume
    _check_same_frame_of_reference(pre, post)
    try:
        check_equal_grids(before, after)
    except StudyError as error:
        if not recipe.resample or not is_shifted(after.grid, before.grid):
            raise StudyError(f"{error}, or {CHOOSE}") from error
        return before, resampled(after, before.grid)
    return before, after


def _check_placed(stack: Stack) -> None:
    for one in stack.unplaced:
        raise StudyError(
            f"{one.name} in {stack.series.label} {one.damage or 'says not where it lies'}; export the study again"
        )


def _check_same_frame_of_reference(before: Phase, after: Phase) -> None:
    uids = {one.frame_of_reference_uid for phase in (before, after) for one in phase.slices} - {""}
    if len(uids) > 1:
        raise StudyError(
            f"{before.name} and {after.name} have different frames of reference, so their positions cannot be "
            f"compared; give a study without repositioning, or {CHOOSE}"
        )


def _check_complete(phase: Phase) -> None:
    """Refuse a phase that lacks an outermost slice which another phase of its series has."""
    most = max(len(slices) for slices in phase.stack.order.phases)
    if len(phase.slices) < most:
        raise StudyError(
            f"a slice is missing: {phase.name} has {len(phase.slices)} slices where another phase has {most}; "
            "export the study again"
        )


def _left_out(dynamic: Dynamic, pre: Phase) -> Iterator[str]:
    for phase in dynamic.phases:
        if len(phase.slices) < len(pre.slices):
            yield f"{phase.name} is incomplete ({len(phase.slices)} of {len(pre.slices)} slices) and was left out."


def _warnings(pre: Phase, post: Phase, volumes: tuple[Volume, Volume]) -> Iterator[str]:
    if volumes[1] is not post.volume:
        yield f"The grid of {post.name} is shifted against that of {pre.name}, so it was interpolated onto that."
    yield from source_notes(pre, post)
    for stack in {id(phase.stack): phase.stack for phase in (pre, post)}.values():
        if repeats := stack.order.repeats:
            yield (
                f"In {stack.series.label} {repeats} slices repeat a position and phase; the first of each was taken, "
                "by InstanceNumber or frame."
            )
        if reason := no_dynamic_t1(stack.protocol):
            yield f"{stack.series.label} is no dynamic T1 by its protocol ({reason}); the scores mean nothing."
    for body_part in sorted({phase.stack.series.body_part for phase in (pre, post)} - {""}):
        if "BREAST" not in body_part:
            yield f"The body part is {body_part}, which is not the breast; the scores mean nothing."


def _about_change(change: Change, post: Phase) -> Iterator[str]:
    if not change.arrived:
        yield (
            f"Hardly anything enhances in {post.name}: the body's mean signal changes by {change.rise:+.1%}, evenly or "
            "by motion, so that the two phases may not lie before and after contrast."
        )


def _phases(study: Study, pair: _Pair) -> Phases:
    sides = {one.laterality for phase in (pair.pre, pair.post) for one in phase.slices} - {""}
    if len(sides) > 1:
        raise StudyError(
            f"the headers of {pair.pre.name} and {pair.post.name} name several lateralities "
            f"({' and '.join(sorted(sides))}); export the study again"
        )
    return Phases(
        *pair.volumes,
        PhaseChoice(pair.pre.name, pair.post.name, pair.method, pair.count, pair.before_contrast, pair.rise),
        (*study.warnings, *study.unread, *pair.warnings),
        laterality=next(iter(sides), ""),
    )


def _both(right: Phases, left: Phases) -> Phases:
    """Join the phases of two breasts that have series of their own."""
    if (right.choice.count, right.choice.before_contrast) != (left.choice.count, left.choice.before_contrast):
        raise StudyError(
            f"the series of the two breasts differ in their phases: {right.choice.count} with "
            f"{right.choice.before_contrast} before contrast on the right, {left.choice.count} with "
            f"{left.choice.before_contrast} on the left; remove the phases that only one side has"
        )
    choice = PhaseChoice(
        pre=f"{right.choice.pre} (R); {left.choice.pre} (L)",
        post=f"{right.choice.post} (R); {left.choice.post} (L)",
        method=right.choice.method if right.choice.method == left.choice.method else "several",
        count=min(right.choice.count, left.choice.count),
        before_contrast=min(right.choice.before_contrast, left.choice.before_contrast),
        rise=min(right.choice.rise, left.choice.rise),
    )
    warnings = tuple(dict.fromkeys(right.warnings + left.warnings))
    return Phases(right.pre, right.post, choice, warnings, right.laterality, left)
