"""Lesions: where they lie, how they look, and how they are drawn."""

from dataclasses import dataclass

import numpy as np

from phantom.anatomy import Body, Breast, tissue_range
from phantom.fields import FloatArray, smooth_noise, soft_step, stream
from phantom.tissue import Canvas, Kinetics

SMALLEST_MM, LARGEST_MM = 3.0, 10.0
TRIES = 200
"""Places that are tried for a mass before a smaller one is."""


@dataclass(frozen=True)
class Lesion:
    """The truth about one drawn lesion."""

    centre_mm: tuple[float, float, float]
    """LPS, mm."""
    radius_mm: float
    """Mean radius; the margin is irregular."""
    laterality: str
    """`L` or `R`."""


def place_lesions(seed: int, body: Body, count: int) -> tuple[Lesion, ...]:
    """Choose centres inside the gland and radii of 3 to 10 mm, smaller ones where there is no room for them."""
    rng = stream(seed, "lesions")
    return tuple(_place_lesion(rng, body) for _ in range(count))


def paint_lesions(
    canvas: Canvas, seed: int, body: Body, lesions: tuple[Lesion, ...], enhancement: float | None
) -> None:
    """Draw the lesions, each with its own contrast, margin and kinetics; `enhancement` fixes the contrast."""
    for number, lesion in enumerate(lesions):
        rng = stream(seed, f"lesion {number}")
        drawn = rng.uniform(0.6, 1.8)
        centre = (
            lesion.centre_mm[0] - body.origin_mm[0],
            lesion.centre_mm[1] - body.origin_mm[1],
            lesion.centre_mm[2] - body.origin_mm[2],
        )
        _paint_mass(canvas, rng, centre, lesion.radius_mm, drawn if enhancement is None else enhancement)


def paint_foci(canvas: Canvas, seed: int, body: Body) -> None:
    """Draw the harmless spots of 1 to 2 mm radius that normal breasts have, up to four a breast."""
    rng = stream(seed, "foci")
    for breast in body.breasts:
        for _ in range(rng.integers(0, 5) if breast.protrusion else 0):
            place, _ = _place_in_gland(rng, body, breast, 2)
            _paint_mass(canvas, rng, place, rng.uniform(1, 2.2), rng.uniform(0.4, 1.6))


def _place_lesion(rng: np.random.Generator, body: Body) -> Lesion:
    breast = body.breasts[rng.integers(2)]
    if not breast.protrusion:
        breast = max(body.breasts, key=lambda other: other.protrusion)
    radius = float(rng.uniform(SMALLEST_MM, LARGEST_MM))
    (x, y, z), radius = _place_in_gland(rng, body, breast, radius)
    centre = (x + body.origin_mm[0], y + body.origin_mm[1], z + body.origin_mm[2])
    return Lesion(centre, radius, breast.laterality)


def _place_in_gland(
    rng: np.random.Generator, body: Body, breast: Breast, radius: float
) -> tuple[tuple[float, float, float], float]:
    """Return a point whose sphere of `radius` lies between the skin and the muscle of `breast`, and the radius.

    Where no place is found, a smaller radius is tried.
    """
    tries = 0
    while True:
        tries += 1
        if tries % TRIES == 0:
            radius *= 0.9
        across, along = rng.uniform(-0.8, 0.8, 2)
        x = float(breast.centre[0] + across * breast.half_size[0])
        z = float(breast.centre[1] + along * breast.half_size[1])
        skin, muscle = tissue_range(body, x, z)
        front, back = skin + 8 + 1.3 * radius, muscle - 3 - 1.3 * radius
        if front < back and across**2 + along**2 < 0.64:
            return (x, float(rng.uniform(front, back)), z), radius


def _paint_mass(
    canvas: Canvas, rng: np.random.Generator, centre: tuple[float, float, float], radius: float, enhancement: float
) -> None:
    """Draw one mass with an irregular margin, mostly solid and sometimes brighter at its rim."""
    region = canvas.region(centre, 1.6 * radius + 4)
    away = canvas.distance(centre, region)
    away *= 1 + 0.25 * np.clip(smooth_noise(rng, away.shape, (3, 4, 4)), -1.3, 1.3)
    weight = soft_step(radius - away, canvas.grid.step_mm[2][0])
    rim = rng.uniform(0, 0.5)
    inside: FloatArray = (1 - rim * np.clip(1 - away / radius, 0, 1)).astype(np.float32)
    kinetics = (Kinetics.WASHOUT, Kinetics.PLATEAU, Kinetics.PERSISTENT)[rng.choice(3, p=(0.5, 0.35, 0.15))]
    canvas.blend(region, weight, rng.uniform(120, 160), enhancement * inside, kinetics)
