"""Which breasts a projection shows: both, or one of which side.

Evidence is the valley over the sternum, what the headers say, and where the field of view lies: scanners put x = 0 near
the patient's midline. Where evidence contradicts itself, what is seen is scored and put to review; one breast whose
side nobody can tell is refused, because a wrong side is worse than none.
"""

from dataclasses import dataclass

from fcdd_runtime.breasts.projection import Projection
from fcdd_runtime.breasts.sternum import Sternum
from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import SIDES, Finding

BESIDE = 0.3
"""A field of view shows one side if its centre lies this share of its width beside x = 0, so in its outer fifth."""
CENTRED = 0.15
"""Up to this share it is centred; patients lie some centimetres off the middle."""
MIN_BILATERAL_MM = 210.0
"""Two breasts do not fit in a narrower field of view."""
MAX_UNILATERAL_MM = 260.0
"""Nobody scans one breast in a wider field of view."""
MIN_SIDE_MM = 80.0
"""Less than this beside the sternum is the rim of a breast, not a breast."""


@dataclass(frozen=True)
class Side:
    """The one breast that is shown."""

    laterality: str
    """`R` or `L`."""
    method: str
    """What says so, joined by `and`: `laterality in the headers`, `position`, `sternum`."""
    confidence: float
    """Share of these three that say so; none says otherwise."""


def find_only_side(
    projection: Projection, sternum: Sternum | None, headers: str
) -> tuple[Side | None, tuple[Finding, ...]]:
    """Find out whether only one breast is shown, and which.

    Parameters
    ----------
    headers : `L`, `R` or `B` as the headers say; empty if they say nothing

    Returns
    -------
    side : None if both breasts are shown
    findings : where the evidence is contradictory or not enough

    Raises
    ------
    StudyError
        If one breast is shown and nobody can tell which.
    """
    evidence = {
        "laterality in the headers": headers,
        "position": _by_position(projection, sternum, headers),
        "sternum": _by_sternum(projection, sternum),
    }
    found = {method: side for method, side in evidence.items() if side}
    sides = set(found.values())
    shown = f"the field of view is {_width(projection):.0f} mm wide, {_centre(projection):+.0f} mm beside the midline"
    if len(sides) > 1:
        listed = ", ".join(f"{side} by {method}" for method, side in found.items())
        if "B" not in sides:
            raise StudyError(
                f"it is unclear which breast is shown, because the evidence contradicts itself ({listed}); give the "
                "study as the scanner wrote it",
                "side-unknown",
            )
        sentence = f"It is unclear which breasts are shown ({listed}); what the image shows was scored."
        doubt = (Finding("side-unclear", sentence),)
        seen = {side for method, side in found.items() if method != "laterality in the headers"}
        if len(seen) > 1 or "B" in seen:
            return None, doubt
        methods = [method for method, side in found.items() if side in seen]
        return Side(next(iter(seen)), " and ".join(methods), round(len(methods) / 3, 2)), doubt
    if not found:
        if _width(projection) < MIN_BILATERAL_MM:
            raise StudyError(
                "it is unclear which breast is shown: no sternum was found, the headers have no Laterality, and "
                f"{shown}; add Laterality to the headers",
                "side-unknown",
            )
        sentence = f"It is unclear whether one breast or both are shown: no sternum was found, and {shown}."
        return None, (Finding("side-unclear", sentence),)
    side = next(iter(found.values()))
    return None if side == "B" else Side(side, " and ".join(found), round(len(found) / 3, 2)), ()


def check_two_sides(right: Projection, left: Projection, headers: tuple[str, str]) -> tuple[float, tuple[Finding, ...]]:
    """Make sure that two projections, of which the first lies further to the right, show right and left breast.

    Parameters
    ----------
    headers : what those of the right and of the left breast say, as in `find_only_side`

    Returns
    -------
    confidence : share (0, 0.5 or 1) of the further evidence, headers and x = 0 between them, that says so
    findings : where the headers say otherwise

    Raises
    ------
    StudyError
        If nothing but the positions says that these are two breasts.
    """
    between = _centre(right) < 0 < _centre(left)
    if not between and headers != ("R", "L"):
        raise StudyError(
            "two dynamic series lie beside each other, but both on one side of the midline (x = 0), so that they may "
            "show parts of one breast; add Laterality to the headers",
            "side-unknown",
        )
    findings: tuple[Finding, ...] = ()
    if headers[0] not in ("R", "") or headers[1] not in ("L", ""):
        said = " and ".join(side or "nothing" for side in headers)
        sentence = f"By their positions two series show the right and the left breast, but their headers say {said}."
        findings = (Finding("side-unclear", sentence),)
    return ((headers == ("R", "L")) + between) / 2, findings


def _by_position(projection: Projection, sternum: Sternum | None, headers: str) -> str:
    """Judge the field of view by its width and by where x = 0 lies in it; empty if that says nothing."""
    width, centre = _width(projection), _centre(projection)
    side = "L" if centre > 0 else "R"
    offset = abs(centre) / width
    if width < MIN_BILATERAL_MM:
        return side if offset > CENTRED else ""
    if width <= MAX_UNILATERAL_MM and offset >= BESIDE:
        return side
    if width <= MAX_UNILATERAL_MM and headers in SIDES:
        return ""
    # A wide field of view is that of two breasts, but where x = 0 is not even near its centre, somebody changed the
    # coordinates, and halves would be wrong: then only the sternum or the headers can tell.
    return "B" if offset <= CENTRED or sternum is not None else ""


def _by_sternum(projection: Projection, sternum: Sternum | None) -> str:
    if sternum is None:
        return ""
    columns = projection.maximum.shape[1]
    right, left = (count * projection.pixel_mm[1] for count in (sternum.midline, columns - sternum.midline))
    if min(right, left) >= MIN_SIDE_MM:
        return "B"
    return "R" if right > left else "L"


def _width(projection: Projection) -> float:
    return projection.maximum.shape[1] * projection.pixel_mm[1]


def _centre(projection: Projection) -> float:
    return projection.x_mm((projection.maximum.shape[1] - 1) / 2)
