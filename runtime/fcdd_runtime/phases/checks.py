"""What speaks against a choice of phases: an order that is contradicted, a first phase that is none, odd sources.

A check returns its findings, and raises StudyError only where no number can be right.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.phases.dynamics import Dynamic, Phase
from fcdd_runtime.phases.order import earliest, falls, order_is_unclear
from fcdd_runtime.phases.series_filter import mentions_contrast, ruled_out_by_type, says_after_contrast
from fcdd_runtime.study import phase_attributes
from fcdd_runtime.study.phase_attributes import ACQUISITION_TIME
from fcdd_runtime.study.protocol import no_dynamic_t1
from fcdd_runtime.study.read import Series

_NOT_PRONE = {f"{first}F{side}" for first in "HF" for side in ("S", "DR", "DL")}
"""Values of PatientPosition for lying on the back or on a side, head or feet first."""


def check_placed(series: Series) -> tuple[Finding, ...]:
    """Doubt a series some slices of which lie nobody knows where: a phase may lack them."""
    unplaced = [each for each in series.slices if each.plane is None and not ruled_out_by_type(each.image_type)]
    if len(unplaced) in (0, len(series.slices)):
        return ()
    others = f", like {len(unplaced) - 1} more" if len(unplaced) > 1 else ""
    why = unplaced[0].damage or "says not where it lies"
    return (Finding("incomplete", f"{unplaced[0].name} in {series.label} {why}{others}."),)


def check_one_time(dynamic: Dynamic) -> None:
    """Refuse phases put together of repeated slices from several times: a number that starts anew mixes phases."""
    if not any(stack.order.repeats for stack in dynamic.stacks):
        return
    spans = []
    for phase in dynamic.phases:
        times = [image_slice.phase_value(ACQUISITION_TIME) for image_slice in phase.slices]
        known = [time for time in times if time is not None]
        if len(known) < len(times):
            return
        spans.append((min(known), max(known)))
    starts = sorted({start for start, _ in spans})
    apart = min((after - before for before, after in pairwise(starts)), default=0.0)
    for phase, (start, end) in zip(dynamic.phases, spans, strict=True):
        if apart and end - start > apart / 4:
            raise StudyError(
                f"slices of {phase.name} repeat and were acquired at several times, so that it is no single phase; "
                "remove the repeats",
                "mixed-phases",
            )


def check_order(dynamic: Dynamic) -> tuple[Finding, ...]:
    """Doubt an order of phases that is unclear or contradicted."""
    findings = [
        Finding("order-unclear", f"The order of the phases of {dynamic.name} is unclear: {doubt}.")
        for doubt in dynamic.doubts
    ]
    for attribute in phase_attributes.TABLE:
        name = dynamic.phases[0].slices[0].name_of(attribute)
        if name == dynamic.method or (len(dynamic.stacks) > 1 and attribute.over_series != "goes on"):
            continue
        firsts = [earliest(phase.slices, attribute) for phase in dynamic.phases]
        known = [value for value in firsts if value is not None]
        if len(known) < len(firsts) or order_is_unclear(attribute, known) or not falls(attribute, known):
            continue
        sentence = f"{name} orders the phases of {dynamic.name} otherwise than {dynamic.method}, which was followed."
        findings.append(Finding("order-unclear" if attribute.binds else "other-order", sentence))
    if dynamic.method == "InstanceNumber":
        sentence = "The phases could be told apart by InstanceNumber only, the least reliable way."
        findings.append(Finding("instance-number", sentence))
    return tuple(findings)


def check_description(pre: Phase) -> tuple[Finding, ...]:
    """Doubt a phase before contrast whose series says that it was acquired after it."""
    description = pre.stack.series.description
    if word := says_after_contrast(description):
        sentence = f"{pre.name} was taken as pre-contrast, but its description says {word}."
        return (Finding("pre-missing", sentence),)
    if word := mentions_contrast(description):
        sentence = f"The description of {pre.name}, which was taken as pre-contrast, says {word}."
        return (Finding("says-contrast", sentence),)
    return ()


def check_frame_of_reference(pre: Phase, post: Phase) -> tuple[Finding, ...]:
    """Doubt phases between which the patient may have been positioned anew."""
    uids = {image_slice.frame_of_reference_uid for phase in (pre, post) for image_slice in phase.slices} - {""}
    if len(uids) < 2:
        return ()
    sentence = f"{pre.name} and {post.name} have different frames of reference, as if the patient was repositioned."
    return (Finding("repositioned", sentence),)


def check_uids(pre: Phase, post: Phase) -> tuple[Finding, ...]:
    """Doubt slices that share one SOP Instance UID: what a result says of its slice may be said of another one."""
    named = Counter(image_slice.source for phase in (pre, post) for image_slice in phase.slices)
    shared = sum(count for count in named.values() if count > 1)
    if not shared:
        return ()
    sentence = f"{shared} slices of {pre.name} and {post.name} share their SOP Instance UIDs with others."
    return (Finding("equal-uids", sentence),)


def check_sources(pre: Phase, post: Phase) -> tuple[Finding, ...]:
    """Warn of what the series of the two phases say against a result that is right for their images.

    Such as lossy compression, gaps and absent attributes, repeats, another protocol or another part of the body.
    """
    findings = []
    stacks = {id(phase.stack): phase.stack for phase in (pre, post)}.values()
    for stack in stacks:
        losses = {image_slice.loss for phase in (pre, post) if phase.stack is stack for image_slice in phase.slices}
        if "known" in losses:
            sentence = (
                f"The images of {stack.label} were compressed with loss; the scores may differ from the original's."
            )
            findings.append(Finding("lossy", sentence))
        elif "possible" in losses:
            findings.append(
                Finding(
                    "lossy",
                    f"The images of {stack.label} are in a transfer syntax that may lose something, and do not say "
                    "that they lost nothing; the scores may differ from the original's.",
                )
            )
        if stack.side:
            findings.append(
                Finding(
                    "two-slabs",
                    f"{stack.series.label} was read as one slab of slices a breast, {stack.gap_mm:.1f} mm apart; if "
                    "slices were acquired between them, they are missing from the scores.",
                )
            )
        if stack.order.absence:
            instead = f"; {stack.order.method} told the phases apart" if stack.order.method else ""
            findings.append(Finding("absent-number", f"In {stack.label}, {stack.order.absence}{instead}."))
    for stack in stacks:
        if repeats := stack.order.repeats:
            findings.append(
                Finding(
                    "repeated-slices",
                    f"In {stack.series.label} {repeats} slices repeat a position and phase; the first of each was "
                    "taken, by InstanceNumber or frame.",
                )
            )
        if reason := no_dynamic_t1(stack.protocol):
            sentence = f"{stack.series.label} is no dynamic T1 by its protocol ({reason}); the scores mean nothing."
            findings.append(Finding("no-dynamic-t1", sentence))
    for position in sorted({each.patient_position for phase in (pre, post) for each in phase.slices} & _NOT_PRONE):
        findings.append(Finding("supine", f"The patient did not lie prone: PatientPosition is {position}."))
    for body_part in sorted({phase.stack.series.body_part for phase in (pre, post)} - {""}):
        if "BREAST" not in body_part:
            sentence = f"The body part is {body_part}, which is not the breast; the scores mean nothing."
            findings.append(Finding("not-breast", sentence))
    return tuple(findings)


def are_in_step(dynamics: Sequence[Dynamic]) -> bool:
    """Whether dynamics have as many phases each, and every phase of all comes before the next of any.

    Without times that all of them have, their numbers decide.
    """
    if len({len(dynamic.phases) for dynamic in dynamics}) > 1:
        return False
    for clock in phase_attributes.clocks():
        times = [[earliest(phase.slices, clock) for phase in dynamic.phases] for dynamic in dynamics]
        known = [[time for time in own if time is not None] for own in times]
        if known == times:
            return all(max(now) < min(later) for now, later in pairwise(zip(*known, strict=True)))
    return True
