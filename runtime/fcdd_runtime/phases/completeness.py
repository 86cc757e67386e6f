"""Whether all has come that the headers promise: phases, slices, and numbers without gaps."""

from collections.abc import Sequence
from itertools import pairwise

from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.dynamics import Dynamic, Phase, stacks_of
from fcdd_runtime.study import phase_attributes
from fcdd_runtime.study.phase_attributes import PhaseAttribute
from fcdd_runtime.study.read import Study


def check_all_came(dynamic: Dynamic, study: Study, pre: Phase, first_after: Phase) -> tuple[Finding, ...]:
    """Doubt a dynamic of which less has come than its headers say, with both numbers.

    Parameters
    ----------
    pre, first_after : the last phase before contrast and the first after it, between which a phase may be missing
    """
    phases, count = dynamic.phases, len(dynamic.phases)
    findings = []
    promised = max((each.promised_phases or 0 for phase in phases for each in phase.slices), default=0)
    if promised > count:
        sentence = f"{dynamic.name}: {count} phases have come of {promised} that NumberOfTemporalPositions promises."
        findings.append(Finding("incomplete", sentence))
    series = {stack.series.series_instance_uid: stack.series for stack in dynamic.stacks}.values()
    slices = sum(len(each.slices) for each in series)
    promised = max((each.promised_images or 0 for phase in phases for each in phase.slices), default=0)
    if promised > slices:
        sentence = f"{dynamic.name}: {slices} slices have come of {promised} that ImagesInAcquisition promises."
        findings.append(Finding("incomplete", sentence))
    longest = max(len(phase.slices) for phase in phases)
    for phase in phases:
        if len(phase.slices) < longest:
            sentence = f"{phase.name} is incomplete: {len(phase.slices)} slices have come, {longest} of other phases."
            findings.append(Finding("incomplete", sentence))
    missing = _missing_numbers(dynamic, study)
    if not missing:
        return tuple(findings)
    attribute, numbers, absent = missing
    name, listed = phases[0].slices[0].name_of(attribute), ", ".join(f"{number:g}" for number in numbers)
    before, after = (pre.slices[0].phase_value(attribute), first_after.slices[0].phase_value(attribute))
    between = before is not None and after is not None and any(before < number < after for number in absent)
    if between:
        sentence = (
            f"The first phase after contrast seems to be missing: {pre.name} and {first_after.name} have the "
            f"{name} {before:g} and {after:g}."
        )
        findings.append(Finding("post-missing", sentence))
    else:
        sentence = f"A phase seems to be missing: {name} of the phases of {dynamic.name} is {listed}."
        findings.append(Finding("incomplete", sentence))
    return tuple(findings)


def _missing_numbers(dynamic: Dynamic, study: Study) -> tuple[PhaseAttribute, Sequence[float], list[float]] | None:
    """Return the most trusted number of the phases that leaves some out, the phases' numbers, and those left out.

    A number that counts acquisitions may count others of the study, too; those leave no gap. One that is meant to
    number phases begins with 1 at most.
    """
    for attribute in (row for row in phase_attributes.TABLE if row.unit == "number"):
        values = [{each.phase_value(attribute) for each in phase.slices} for phase in dynamic.phases]
        known = [number for own in values for number in own if number is not None]
        if any(len(own) != 1 for own in values) or len(set(known)) < len(dynamic.phases):
            continue
        numbers = sorted(known)
        start = min(1.0, numbers[0]) if attribute.numbers_phases else numbers[0]
        taken = set(numbers)
        if not attribute.numbers_phases:
            stacks = (stack for series in study.series for stack in stacks_of(series))
            taken |= {value for stack in stacks for each in stack.slices if (value := each.phase_value(attribute))}
        absent = [
            before + step
            for before, after in pairwise([start - 1, *numbers])
            for step in range(1, min(int(after - before), 100))
            if before + step not in taken
        ]
        return (attribute, numbers, absent) if absent else None
    return None
