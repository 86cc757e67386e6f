"""The canvas that a body is drawn on, and its healthy tissues."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from fcdd_runtime.volumes.volume import Grid
from phantom.anatomy import Body, Breast, muscle_surface, skin_surface, tissue_range
from phantom.difficulties import Difficulties
from phantom.fields import FloatArray, smooth_noise, soft_step, stamp_tube, stream

Region = tuple[slice, slice, slice]
_ALL: Region = (slice(None), slice(None), slice(None))


class Kinetics(Enum):
    """How contrast agent comes and goes.

    Slowly in healthy tissue; in vessels and lesions fast, and then in one of the three curve types of breast MRI (Kuhl
    et al., Radiology 1999).
    """

    SLOW = "slow"
    PERSISTENT = "persistent"
    PLATEAU = "plateau"
    WASHOUT = "washout"


@dataclass(frozen=True)
class Canvas:
    """A drawing in progress: signal before contrast, and its largest increase for each kind of kinetics."""

    grid: Grid
    """An axial grid: slices to the head, rows to the back, columns to the left."""
    axes: tuple[FloatArray, FloatArray, FloatArray]
    """Body coordinates z, y and x of slices, rows and columns, mm, shaped to broadcast."""
    signal: FloatArray
    """float32 (slices, rows, columns), arbitrary units, about 0..300."""
    uptake: dict[Kinetics, FloatArray]
    """As `signal`: increase at full contrast."""

    def blend(
        self, region: Region, weight: FloatArray, signal: float, enhancement: float | FloatArray, kinetics: Kinetics
    ) -> None:
        """Let a tissue replace what is in `region`, as far as `weight` (0..1) says.

        `signal` is the tissue's before contrast, `enhancement` its largest relative increase.
        """
        before = self.signal[region]
        before += weight * (np.float32(signal) - before)
        for kind, increase in self.uptake.items():
            part = increase[region]
            part -= weight * part
            if kind is kinetics:
                part += weight * (np.float32(signal) * np.asarray(enhancement, dtype=np.float32))

    def region(self, centre: tuple[float, float, float], reach_mm: float) -> Region:
        """Return the block of voxels within `reach_mm` of a point (body x, y, z) along each axis."""
        bounds = [
            np.searchsorted(axis.ravel(), (place - reach_mm, place + reach_mm))
            for axis, place in zip(self.axes, centre[::-1], strict=True)
        ]
        return slice(*bounds[0]), slice(*bounds[1]), slice(*bounds[2])

    def distance(self, centre: tuple[float, float, float], region: Region) -> FloatArray:
        """Return every voxel's distance in `region` from a point (body x, y, z), mm."""
        z, y, x = self.axes
        square = (z[region[0]] - np.float32(centre[2])) ** 2 + (y[:, region[1]] - np.float32(centre[1])) ** 2
        distance: FloatArray = np.sqrt(square + (x[:, :, region[2]] - np.float32(centre[0])) ** 2)
        return distance


def blank_canvas(grid: Grid, body: Body) -> Canvas:
    """Return a canvas without anything on it."""
    axes = [
        np.arange(length, dtype=np.float32) * np.float32(step) + np.float32(start - origin)
        for length, step, start, origin in zip(
            grid.shape,
            (grid.step_mm[0][2], grid.step_mm[1][1], grid.step_mm[2][0]),
            grid.origin_mm[::-1],
            body.origin_mm[::-1],
            strict=True,
        )
    ]
    uptake = {kinetics: np.zeros(grid.shape, np.float32) for kinetics in Kinetics}
    shaped = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    return Canvas(grid, shaped, np.zeros(grid.shape, np.float32), uptake)


def paint_tissues(canvas: Canvas, seed: int, body: Body, difficulties: Difficulties) -> None:
    """Draw fat, gland, chest, heart, vessels, nipples, skin and arms, each over what was there before."""
    z, y, x = canvas.axes
    depth = _depth_under_skin(canvas, body)
    behind_muscle = y - muscle_surface(body, x, z)
    canvas.blend(_ALL, soft_step(depth, 1.8), 70, 0.04, Kinetics.SLOW)
    if fat := difficulties.get("fat"):
        _paint_unsuppressed_fat(canvas, seed, depth, fat)
    _paint_gland(canvas, seed, body, depth, behind_muscle)
    _paint_thorax(canvas, body, behind_muscle)
    _paint_vessels(canvas, seed, body)
    if net := difficulties.get("vessels"):
        _paint_net(canvas, seed, body, net)
    _paint_nipples(canvas, seed, body)
    shell = soft_step(depth, 1.8) * soft_step(2 - depth, 1.8)
    canvas.blend(_ALL, shell, 120, 0.25, Kinetics.SLOW)
    if arms := difficulties.get("arms"):
        _paint_arms(canvas, seed, body, arms)
    canvas.blend(_ALL, soft_step(y + 75 * (x / 168) ** 4 - 168, 1.8), 0, 0, Kinetics.SLOW)


def _depth_under_skin(canvas: Canvas, body: Body) -> FloatArray:
    """Return the distance from the skin, mm, positive inside: along y, corrected for the skin's slope."""
    z, y, x = canvas.axes
    skin = skin_surface(body, x, z)
    slope = np.gradient(skin[:, 0, :], canvas.grid.step_mm[0][2], canvas.grid.step_mm[2][0])
    cosine = 1 / np.sqrt(1 + slope[0] ** 2 + slope[1] ** 2)
    depth: FloatArray = (y - skin) * cosine[:, None, :].astype(np.float32)
    return depth


def _paint_gland(canvas: Canvas, seed: int, body: Body, depth: FloatArray, behind_muscle: FloatArray) -> None:
    """Draw fibroglandular tissue with its background enhancement: strands and lobes, densest behind the nipple."""
    rng = stream(seed, "gland")
    region = (slice(None), slice(0, int(np.searchsorted(canvas.axes[1].ravel(), 40))), slice(None))
    depth, behind_muscle = depth[region], behind_muscle[region]
    lobes = smooth_noise(rng, depth.shape, (11, 10, 25)) + 0.6 * smooth_noise(rng, depth.shape, (22, 24, 60))
    nodules = smooth_noise(rng, depth.shape, (24, 26, 64))
    amount = lobes + np.float32(body.density - 0.4) + sum(_centrality(canvas, breast) for breast in body.breasts)
    weight = np.clip(amount, 0, 1) * soft_step(depth - 7, 6) * soft_step(-2 - behind_muscle, 3)
    enhancement = body.background_enhancement * np.clip(0.7 + 0.35 * nodules, 0.1, 2)
    canvas.blend(region, weight, 150, enhancement, Kinetics.SLOW)


def _centrality(canvas: Canvas, breast: Breast) -> FloatArray:
    """Return 1.4 on a breast's axis, falling to 0 at its edge: where gland is likely."""
    z, _, x = canvas.axes
    r2 = ((x - breast.centre[0]) / breast.half_size[0]) ** 2 + ((z - breast.centre[1]) / breast.half_size[1]) ** 2
    return np.float32(1.4) * np.clip(1 - r2 / 0.8, 0, 1)


def _paint_thorax(canvas: Canvas, body: Body, behind_muscle: FloatArray) -> None:
    """Draw chest wall, spine, lungs, aorta and heart; beating blurs the heart's edge."""
    z, y, x = canvas.axes
    from_back = 165 - y - 75 * (x / 168) ** 4
    canvas.blend(_ALL, soft_step(behind_muscle, 1.8), 105, 0.12, Kinetics.SLOW)
    lungs = soft_step(behind_muscle - 17, 1.8) * soft_step(from_back - 22, 1.8) * soft_step(np.abs(x) - 18, 8)
    canvas.blend(_ALL, lungs, 14, 0.5, Kinetics.PLATEAU)
    aorta = soft_step(11 - np.hypot(x - 24, y - 112), 1.8)
    canvas.blend(_ALL, aorta, 100, body.vessel_enhancement, Kinetics.WASHOUT)
    centre_y = body.heart_front + 38
    r = np.sqrt(((x - 22) / 50) ** 2 + ((y - centre_y) / 38) ** 2 + ((z + 25) / 55) ** 2)
    wall = 0.55 + 0.45 * soft_step(0.75 - r, 0.15)
    canvas.blend(_ALL, soft_step((1 - r) * 40, 6), 100, body.vessel_enhancement * wall, Kinetics.WASHOUT)


def _paint_vessels(canvas: Canvas, seed: int, body: Body) -> None:
    """Draw the internal mammary vessels beside the sternum and a few curved vessels in each breast."""
    rng = stream(seed, "vessels")
    fill = np.zeros(canvas.grid.shape, np.float32)
    step = (canvas.grid.step_mm[0][2], canvas.grid.step_mm[1][1], canvas.grid.step_mm[2][0])
    chest = np.zeros(canvas.grid.shape, np.float32)
    for side in (-1, 1):
        deep = rng.uniform(12, 32)
        ends = np.array([[side * rng.uniform(20, 34), deep, height] for height in (-80, 0, 80)])
        stamp_tube(chest, _voxel_path(canvas, ends), rng.uniform(0.8, 2.5), step)
    canvas.blend(_ALL, chest, 100, body.vessel_enhancement * rng.uniform(1, 3), Kinetics.WASHOUT)
    for breast in body.breasts:
        for _ in range(rng.integers(1, 6) if breast.protrusion else 0):
            stamp_tube(fill, _voxel_path(canvas, _breast_vessel(rng, body, breast)), rng.uniform(0.5, 1.3), step)
    canvas.blend(_ALL, fill, 100, body.vessel_enhancement, Kinetics.WASHOUT)


def _breast_vessel(rng: np.random.Generator, body: Body, breast: Breast) -> FloatArray:
    """Return control points of a vessel that runs from the breast's edge towards the nipple, body mm."""
    turn = rng.uniform(0, 2 * np.pi)
    points = []
    for share, wander in ((0.95, 0.0), (0.75, 0.3), (0.55, 0.6), (0.35, 0.8), (0.1, 1.0)):
        bend = turn + rng.normal(0, 1.3) * wander
        x = breast.centre[0] + share * breast.half_size[0] * np.cos(bend)
        z = breast.centre[1] + share * breast.half_size[1] * np.sin(bend)
        skin, muscle = tissue_range(body, x, z)
        points.append([x, skin + (muscle - skin) * rng.uniform(0.1, 0.6), z])
    return np.array(points, dtype=np.float32)


def _voxel_path(canvas: Canvas, control: FloatArray) -> FloatArray:
    """Return the Bezier curve of control points (body x, y, z) as voxel indices, closely spaced."""
    length = np.linalg.norm(np.diff(control, axis=0), axis=1).sum()
    t = np.linspace(0, 1, int(length) + 2)[:, None]
    points = np.repeat(control[None], len(t), axis=0)
    while points.shape[1] > 1:
        points = points[:, :-1] * (1 - t[:, None]) + points[:, 1:] * t[:, None]
    curve = points[:, 0, ::-1]
    start = np.array([axis.flat[0] for axis in canvas.axes])
    path: FloatArray = (curve - start) / np.array([canvas.grid.step_mm[axis][2 - axis] for axis in range(3)])
    return path.astype(np.float32)


def _paint_nipples(canvas: Canvas, seed: int, body: Body) -> None:
    """Draw the nipples, which enhance in normal breasts too."""
    rng = stream(seed, "nipples")
    for breast in body.breasts:
        if not breast.protrusion:
            continue
        x, z = breast.centre
        tip = (x, tissue_range(body, x, z)[0] + 1.5, z)
        region = canvas.region(tip, 9)
        weight = soft_step(4.5 - canvas.distance(tip, region), 1.8)
        canvas.blend(region, weight, 120, rng.uniform(0.1, 0.7), Kinetics.PLATEAU)


def _paint_unsuppressed_fat(canvas: Canvas, seed: int, depth: FloatArray, strength: float) -> None:
    """Draw bright fat in patches over the sternum and beside the arms."""
    _, y, x = canvas.axes
    rng = stream(seed, "unsuppressed fat")
    patches = soft_step(smooth_noise(rng, canvas.grid.shape, (3, 5, 7)) + 0.4, 0.8)
    near = np.maximum(soft_step(35 - np.abs(x), 30), soft_step(np.abs(x) - 105, 30)) * soft_step(45 - y, 20)
    weight = patches * near * soft_step(depth, 1.8)
    canvas.blend(_ALL, weight, 70 + 230 * strength, 0, Kinetics.SLOW)


def _paint_net(canvas: Canvas, seed: int, body: Body, strength: float) -> None:
    """Draw a dense net of thin vessels, most of them close under the skin."""
    rng = stream(seed, "net of vessels")
    fill = np.zeros(canvas.grid.shape, np.float32)
    step = (canvas.grid.step_mm[0][2], canvas.grid.step_mm[1][1], canvas.grid.step_mm[2][0])
    for breast in body.breasts:
        for _ in range(round(18 * strength * rng.uniform(0.6, 1.2)) if breast.protrusion else 0):
            points = _breast_vessel(rng, body, breast)
            if rng.random() < 0.7:
                for point in points:
                    point[1] = tissue_range(body, float(point[0]), float(point[2]))[0] + rng.uniform(4, 9)
            stamp_tube(fill, _voxel_path(canvas, points), rng.uniform(0.4, 1.6), step)
    canvas.blend(_ALL, fill, 100, body.vessel_enhancement, Kinetics.WASHOUT)


def _paint_arms(canvas: Canvas, seed: int, body: Body, strength: float) -> None:
    """Draw upper arms that lie beside the breasts towards the head, nearer to them the stronger they are asked for."""
    z, y, x = canvas.axes
    rng = stream(seed, "arms")
    for side in (-1, 1):
        across, front = side * (168 - 25 * strength + rng.uniform(-4, 4)), rng.uniform(0, 25)
        r = np.sqrt(((x - across) / 24) ** 2 + ((y - front) / 30) ** 2 + (np.maximum(20 - z, 0) / 40) ** 2)
        canvas.blend(_ALL, soft_step((1 - r) * 24, 1.8), 75, 0.05, Kinetics.SLOW)
        canvas.blend(_ALL, soft_step((0.7 - r) * 24, 3), 105, 0.15, Kinetics.SLOW)
        vessel = soft_step(3 - np.hypot(x - across + side * 6, y - front) - np.maximum(20 - z, 0), 1.8)
        canvas.blend(_ALL, vessel, 100, body.vessel_enhancement, Kinetics.WASHOUT)


def paint_capsules(canvas: Canvas, seed: int, body: Body, strength: float) -> None:
    """Draw oil capsules, bright before and after contrast, taped to the skin or lying in the coil."""
    rng = stream(seed, "capsules")
    for breast in body.breasts:
        for _ in range(1 + round(2 * strength)):
            x = breast.centre[0] + rng.uniform(-0.5, 0.5) * breast.half_size[0]
            z = breast.centre[1] + rng.uniform(-0.5, 0.5) * breast.half_size[1]
            away = rng.uniform(5, 5 + 30 * strength)
            centre = (x, tissue_range(body, x, z)[0] - away, z)
            region = canvas.region(centre, 9)
            weight = soft_step(rng.uniform(3, 5) - canvas.distance(centre, region), 1.8)
            canvas.blend(region, weight, 280, 0, Kinetics.SLOW)
