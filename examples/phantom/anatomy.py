"""What a drawn body looks like: sizes and positions drawn once, and the surfaces that follow from them.

All lengths are mm in body coordinates: x to the patient's left of the sternum, y behind the skin over the sternum,
z to the head from the breasts' middle. A body is placed in patient coordinates by `Body.origin_mm`.
"""

from dataclasses import dataclass, replace

import numpy as np

from phantom.difficulties import Difficulties, harder_side
from phantom.fields import FloatArray, stream


@dataclass(frozen=True)
class Breast:
    """One breast: a hanging mound on the chest."""

    laterality: str
    """`L` or `R`."""
    centre: tuple[float, float]
    """x and z of its middle, mm."""
    half_size: tuple[float, float]
    """Half its width (x) and half its height (z) at the chest, mm."""
    protrusion: float
    """How far it hangs from the chest, mm; 0: there is no breast."""
    steepness: float = 0.75
    """Exponent of its profile: the smaller, the steeper its sides."""


@dataclass(frozen=True)
class Body:
    """Two breasts on a chest, and the tissue properties that vary from patient to patient."""

    origin_mm: tuple[float, float, float]
    """Patient coordinates (LPS) of the body's origin."""
    breasts: tuple[Breast, Breast]
    """In the order R, L."""
    chest_curve: float
    """How fast the chest falls away to the sides, 1/mm."""
    density: float
    """Amount of fibroglandular tissue: the level that its texture must exceed, in standard deviations, negated."""
    background_enhancement: float
    """Relative signal increase of fibroglandular tissue, minimal (0.05) to marked (0.7)."""
    vessel_enhancement: float
    """Relative signal increase of vessels and heart."""
    heart_front: float
    """y of the heart's foremost point, mm."""
    sternum_fat: float = 0.0
    """Height of the fat over the sternum, mm."""


def sample_body(seed: int, difficulties: Difficulties | None = None) -> Body:
    """Draw a patient's proportions; the same arguments give the same patient."""
    body = _ordinary_body(seed)
    return _harder(body, seed, difficulties) if difficulties else body


def _ordinary_body(seed: int) -> Body:
    rng = stream(seed, "body")
    protrusion, half_width = rng.uniform(48, 82), rng.uniform(60, 72)
    breasts = tuple(_sample_breast(rng, laterality, protrusion, half_width) for laterality in "RL")
    return Body(
        origin_mm=(rng.uniform(-9, 9), rng.uniform(-20, 20), rng.uniform(-40, 40)),
        breasts=(breasts[0], breasts[1]),
        chest_curve=rng.uniform(0.0008, 0.0014),
        density=rng.uniform(-0.9, 0.7),
        background_enhancement=float(np.exp(rng.uniform(np.log(0.05), np.log(0.7)))),
        vessel_enhancement=rng.uniform(0.7, 1.3),
        heart_front=rng.uniform(24, 40),
    )


def _harder(body: Body, seed: int, difficulties: Difficulties) -> Body:
    """Change a body's proportions as far as the difficulties say."""
    small, pendulous, sternum = (difficulties.get(name, 0.0) for name in ("small", "pendulous", "sternum"))
    breasts = []
    for breast in body.breasts:
        protrusion = breast.protrusion * (1 - 0.5 * small) * (1 + 0.35 * pendulous)
        width, height = (size * (1 - 0.3 * small) * (1 - 0.45 * pendulous) for size in breast.half_size)
        if breast.laterality == harder_side(seed, "unequal"):
            protrusion *= 1 - 0.6 * difficulties.get("unequal", 0.0)
        if breast.laterality == harder_side(seed, "missing") and difficulties.get("missing", 0.0) > 0:
            protrusion = 0.0
        gap = abs(breast.centre[0]) - breast.half_size[0]
        side = 1 if breast.laterality == "L" else -1
        breasts.append(
            replace(
                breast,
                centre=(side * (width + gap), breast.centre[1]),
                half_size=(width, height),
                protrusion=protrusion,
                steepness=breast.steepness * (1 - 0.6 * pendulous),
            )
        )
    lower = min(breast.protrusion for breast in breasts)
    background = difficulties.get("background", 0.0)
    return replace(
        body,
        breasts=(breasts[0], breasts[1]),
        sternum_fat=0.3 * sternum * lower,
        background_enhancement=max(body.background_enhancement, 0.25 + 0.4 * background)
        if background
        else body.background_enhancement,
    )


def chest_surface(body: Body, x: FloatArray) -> FloatArray:
    """Return y of the chest's skin as it would be without breasts, same shape as `x`, mm."""
    return body.chest_curve * x * x


def skin_surface(body: Body, x: FloatArray, z: FloatArray) -> FloatArray:
    """Return y of the skin, mm, at body coordinates that broadcast together."""
    surface = chest_surface(body, x) - sum(breast.protrusion * _mound(breast, x, z) for breast in body.breasts)
    if body.sternum_fat:
        surface = np.minimum(surface, chest_surface(body, x) - body.sternum_fat * np.exp(-((x / 45) ** 2)))
    return surface


def muscle_surface(body: Body, x: FloatArray, z: FloatArray) -> FloatArray:
    """Return y of the pectoral muscle's front, mm: under thin fat at the sternum, deeper to the sides."""
    fat = 5 + 7 * (1 - np.exp(-((x / 30) ** 2)))
    surface: FloatArray = chest_surface(body, x) + fat - 6 * np.exp(-((np.abs(x) - 95) ** 2 + z * z) / 60**2)
    return surface


def tissue_range(body: Body, x: float, z: float) -> tuple[float, float]:
    """Return y of the skin and y of the muscle at one place, mm; the breast lies between them."""
    at = np.array([x], np.float32), np.array([z], np.float32)
    return float(skin_surface(body, *at)[0]), float(muscle_surface(body, *at)[0])


def _sample_breast(rng: np.random.Generator, laterality: str, protrusion: float, half_width: float) -> Breast:
    """Draw a breast that differs a little from the patient's mean."""
    width = half_width * rng.uniform(0.95, 1.05)
    side = 1 if laterality == "L" else -1
    return Breast(
        laterality=laterality,
        centre=(side * (width + rng.uniform(8, 16)), rng.uniform(-6, 6)),
        half_size=(width, rng.uniform(52, 62)),
        protrusion=protrusion * rng.uniform(0.92, 1.08),
    )


def _mound(breast: Breast, x: FloatArray, z: FloatArray) -> FloatArray:
    """Return the height of a breast over the chest as a share of its protrusion, 0..1."""
    r2 = ((x - breast.centre[0]) / breast.half_size[0]) ** 2 + ((z - breast.centre[1]) / breast.half_size[1]) ** 2
    height: FloatArray = (np.clip(1 - r2, 0, 1) ** breast.steepness).astype(np.float32)
    return height
