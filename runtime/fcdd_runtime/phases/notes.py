"""What the source images say against a result that is right for them: lossy compression, gaps, absent attributes."""

from collections.abc import Iterator

from fcdd_runtime.phases.dynamics import Phase, Stack


def source_notes(pre: Phase, post: Phase) -> Iterator[str]:
    """Yield the warnings about the series of the two phases that are subtracted, a sentence each."""
    phases = {id(phase.stack): phase for phase in (pre, post)}
    for stack in (phase.stack for phase in phases.values()):
        losses = {one.loss for phase in (pre, post) if phase.stack is stack for one in phase.slices}
        if "known" in losses:
            yield f"The images of {stack.label} were compressed with loss; the scores may differ from the original's."
        elif "possible" in losses:
            yield (
                f"The images of {stack.label} are in a transfer syntax that may lose something, and do not say that "
                "they lost nothing; the scores may differ from the original's."
            )
        if stack.side:
            yield (
                f"{stack.series.label} was read as one slab of slices a breast, {stack.gap_mm:.1f} mm apart; if slices "
                "were acquired between them, they are missing from the scores."
            )
        if stack.order.absence:
            yield f"In {stack.label}, {stack.order.absence}{_instead(stack)}."


def _instead(stack: Stack) -> str:
    return f"; {stack.order.method} told the phases apart" if stack.order.method else ""
