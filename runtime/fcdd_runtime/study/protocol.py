"""What an MR sequence says about itself: whether two volumes come from one protocol, and whether it is dynamic T1."""

from dataclasses import dataclass
from functools import lru_cache

SAME = 0.05
"""How far times and flip angle of one acquisition may differ, as a share: scanners round them, and set them anew for
each series, but two echoes of one sequence or two sequences differ by far more."""
NEAR = 0.25
"""If the echo time, and repetition time or flip angle, agree within this share, a volume could still be a phase."""
MAX_T1_ECHO_MS = 10.0
"""Dynamic T1 has the shortest echo that the scanner can make, 1 to 5 ms; T2, diffusion and echo planar have more."""
MAX_T1_REPETITION_MS = 1000.0
"""3D gradient echo has 3 to 10 ms, multislice 2D gradient echo up to some hundred."""

_POST_PROCESSING = frozenset(
    # Siemens: distortion correction, normalisation, filters, split or combined files; General words that say nothing.
    ("ND", "DIS2D", "DIS3D", "DIS3DMOSAIC", "NORM", "FM", "FIL", "MFSPLIT", "MOCO", "NONE", "OTHER", "")
)


@dataclass(frozen=True)
class Protocol:
    """How a slice was acquired. Numbers that are absent are None."""

    sequence: frozenset[str]
    """Words of ScanningSequence (`GR`, `SE`, `IR`, `EP`), or EchoPulseSequence (`GRADIENT`, `SPIN`, `BOTH`)."""
    fat_suppression: str
    echo_ms: float | None
    repetition_ms: float | None
    flip_degrees: float | None
    b_value: float | None
    """Diffusion weighting, s/mm^2."""


@lru_cache
def kind_of_image(image_type: tuple[str, ...]) -> frozenset[str]:
    """Return the words of ImageType without those of post-processing, which one phase may have and another lack."""
    return frozenset(word for word in image_type if word not in _POST_PROCESSING)


def same_protocol(first: Protocol, second: Protocol) -> bool:
    """Whether two volumes may be phases of one acquisition."""
    return (
        _same_weighting(first, second)
        and first.sequence == second.sequence
        and first.fat_suppression == second.fat_suppression
        and _close(first.echo_ms, second.echo_ms, SAME)
        and _close(first.repetition_ms, second.repetition_ms, SAME)
        and _close(first.flip_degrees, second.flip_degrees, SAME)
    )


def near_protocol(first: Protocol, second: Protocol) -> bool:
    """Whether two volumes are so alike that nobody but the site can say that they are no phases of one acquisition."""
    return (
        first.sequence == second.sequence
        and first.fat_suppression == second.fat_suppression
        and _close(first.echo_ms, second.echo_ms, NEAR)
        and (
            _close(first.repetition_ms, second.repetition_ms, NEAR)
            or _close(first.flip_degrees, second.flip_degrees, NEAR)
        )
    )


def same_numbers(first: Protocol, second: Protocol) -> bool:
    """Whether echo time, repetition time and flip angle are all there and agree, and diffusion weighting does.

    No two kinds of sequence have them all in common, so that a header which says so is wrong about the kind.
    """
    pairs = (
        (first.echo_ms, second.echo_ms),
        (first.repetition_ms, second.repetition_ms),
        (first.flip_degrees, second.flip_degrees),
    )
    return _same_weighting(first, second) and all(None not in pair and _close(*pair, SAME) for pair in pairs)


def no_dynamic_t1(protocol: Protocol) -> str:
    """Say why a sequence is no dynamic T1, such as `spin echo`; empty if it may be."""
    if "EP" in protocol.sequence:
        return "echo planar"
    if protocol.sequence & {"SE", "SPIN", "BOTH"}:
        return "spin echo"
    if "IR" in protocol.sequence and "GR" not in protocol.sequence:
        return "inversion recovery"
    if protocol.b_value:
        return f"diffusion with b = {protocol.b_value:g}"
    if protocol.echo_ms is not None and protocol.echo_ms > MAX_T1_ECHO_MS:
        return f"an echo time of {protocol.echo_ms:g} ms"
    if protocol.repetition_ms is not None and protocol.repetition_ms > MAX_T1_REPETITION_MS:
        return f"a repetition time of {protocol.repetition_ms:g} ms"
    return ""


def _same_weighting(first: Protocol, second: Protocol) -> bool:
    return (first.b_value or 0) == (second.b_value or 0)


def _close(first: float | None, second: float | None, share: float) -> bool:
    """Compare two numbers; one that is absent agrees with any, because scanners leave them out at will."""
    return first is None or second is None or abs(first - second) <= share * max(abs(first), abs(second))
