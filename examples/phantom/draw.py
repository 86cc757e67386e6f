"""Seed -> a drawn bilateral breast DCE study whose lesions are known. No patient was ever in these images."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_runtime.volumes.volume import Grid
from phantom.anatomy import Body, sample_body
from phantom.difficulties import Difficulties, check_difficulties, harder_side
from phantom.fields import FloatArray, smooth_noise, stream
from phantom.lesions import Lesion, paint_foci, paint_lesions, place_lesions
from phantom.tissue import Canvas, Kinetics, blank_canvas, paint_capsules, paint_tissues

SHAPE = (48, 192, 192)
STEP_MM = (3.0, 1.75, 1.75)
FIRST_POST_S, PHASE_S = 75.0, 80.0
LATE_UPTAKE = 0.95
"""Relative increase of all tissue at full contrast, for a body that enhances as a whole: 75 % after four minutes."""
MORE_AIR_MM = 75.0
"""How much further in front of the breasts the field of view begins, at most."""
MOST_MOTION_MM = 1.5
LARGEST_OF_12_BITS = 4095


@dataclass(frozen=True)
class Phantom:
    """A drawn study: all phases on one grid, and the truth."""

    seed: int
    grid: Grid
    """Axial: slices to the head, rows to the back, columns to the left."""
    volumes: tuple[npt.NDArray[np.uint16], ...]
    """Phases in order, the one before contrast first: uint16 (slices, rows, columns), scanner units."""
    times_s: tuple[float, ...]
    """Start of each phase after the first, s."""
    lesions: tuple[Lesion, ...]
    bare: bool = False
    """Whether its values fit into 12 bits, and its files have no times."""


def draw_phantom(
    seed: int,
    lesions: int = 1,
    phases: int = 4,
    enhancement: float | None = None,
    difficulties: Difficulties | None = None,
) -> Phantom:
    """Draw a study.

    The same arguments give the same voxels, to the last bit; a phase does not depend on how many follow.

    Parameters
    ----------
    seed : int
        At least 0. It decides everything that varies between patients and scanners.
    lesions : int
        Number of lesions, anywhere in either breast.
    phases : int
        Number of phases, the one before contrast included.
    enhancement : float, optional
        Relative signal increase of all lesions; by default each draws its own from 0.6 to 1.8.
    difficulties : mapping, optional
        What is hard about the study, see `DIFFICULTIES`; nothing by default.

    Raises
    ------
    ValueError
        If a difficulty is unknown, or its strength is not in 0..1.
    """
    hard = difficulties or {}
    check_difficulties(hard)
    body = sample_body(seed, hard)
    grid = _grid(seed, body, hard.get("air", 0.0))
    placed = place_lesions(seed, body, lesions)
    canvas = blank_canvas(grid, body)
    paint_tissues(canvas, seed, body, hard)
    paint_foci(canvas, seed, body)
    paint_lesions(canvas, seed, body, placed, enhancement)
    if uptake := hard.get("uptake"):
        canvas.uptake[Kinetics.SLOW] += np.float32(LATE_UPTAKE * uptake) * canvas.signal
    if capsules := hard.get("capsules"):
        paint_capsules(canvas, seed, body, capsules)
    gain = _receive_gain(seed)
    volumes = tuple(_acquire(seed, phase, canvas, gain, hard) for phase in range(phases))
    bare = "bare" in hard
    if bare:
        volumes = tuple(np.minimum(volume, LARGEST_OF_12_BITS) for volume in volumes)
    return Phantom(seed, grid, volumes, tuple(_start_s(phase) for phase in range(phases)), placed, bare)


def contrast_curve(kinetics: Kinetics, seconds: float) -> float:
    """Return the share of full enhancement `seconds` after the contrast agent arrives, 0..1; 0 before."""
    after = max(seconds, 0.0)
    wash_in, steady = float(1 - np.exp(-after / 35)), float(1 - np.exp(-after / 150))
    if kinetics is Kinetics.SLOW:
        return steady
    if kinetics is Kinetics.PERSISTENT:
        return 0.7 * wash_in + 0.3 * steady
    return wash_in if kinetics is Kinetics.PLATEAU else wash_in * float(np.exp(-after / 500))


def _grid(seed: int, body: Body, air: float) -> Grid:
    """Return the study's grid, planned around the breasts as well as a technologist does it: within a few mm.

    The more `air`, the further in front of the breasts it begins.
    """
    front = max(96, max(breast.protrusion for breast in body.breasts) + 7)
    middle = np.array(body.origin_mm) + stream(seed, "grid").uniform(-4, 4, 3)
    x, y, z = middle - [(SHAPE[2] - 1) / 2 * STEP_MM[2], front + MORE_AIR_MM * air, (SHAPE[0] - 1) / 2 * STEP_MM[0]]
    origin = (round(float(x), 3), round(float(y), 3), round(float(z), 3))
    return Grid(SHAPE, origin, ((0.0, 0.0, STEP_MM[0]), (0.0, STEP_MM[1], 0.0), (STEP_MM[2], 0.0, 0.0)))


def _receive_gain(seed: int) -> FloatArray:
    """Return the scanner's gain for each voxel: one level a study times the coil's slow falloff."""
    rng = stream(seed, "gain")
    falloff = np.exp(np.float32(0.12) * smooth_noise(rng, SHAPE, (2, 2, 2)))
    gain: FloatArray = np.float32(np.exp(rng.uniform(-0.5, 1.2))) * falloff
    return gain


def _start_s(phase: int) -> float:
    """Return when a phase starts after the first, s."""
    return phase * PHASE_S


def _acquire(
    seed: int, phase: int, canvas: Canvas, gain: FloatArray, difficulties: Difficulties
) -> npt.NDArray[np.uint16]:
    """Return one phase as the scanner stores it: contrast of its time, a little motion, gain and Rician noise."""
    rng = stream(seed, f"phase {phase}")
    signal = canvas.signal.copy()
    after = FIRST_POST_S + (phase - 1) * PHASE_S if phase else 0.0
    if phase:
        for kinetics, increase in canvas.uptake.items():
            signal += np.float32(contrast_curve(kinetics, after)) * increase
        _move(signal, rng.uniform(0, 0.3))
        if motion := difficulties.get("motion"):
            _shift(signal, stream(seed, f"motion {phase}"), MOST_MOTION_MM * motion)
    signal *= gain
    if wave := difficulties.get("wave"):
        _add_wave(signal, seed, phase, canvas, wave)
    noise = np.float32(stream(seed, "noise").uniform(2, 4.5) * float(gain.mean(dtype=np.float64)))
    signal += noise * rng.standard_normal(signal.shape, dtype=np.float32)
    quadrature = noise * rng.standard_normal(signal.shape, dtype=np.float32)
    stored: npt.NDArray[np.uint16] = np.rint(np.sqrt(signal * signal + quadrature * quadrature)).astype(np.uint16)
    return stored


def _move(signal: FloatArray, rows: float) -> None:
    """Shift an image by part of a row towards the back, as between two breaths, in place."""
    signal[:, 1:] -= np.float32(rows) * np.diff(signal, axis=1)


def _shift(signal: FloatArray, rng: np.random.Generator, most_mm: float) -> None:
    """Shift an image to the back or the front, and to a side, by up to `most_mm`, in place."""
    for axis in (1, 2):
        by = rng.uniform(-most_mm, most_mm) / STEP_MM[axis]
        whole = int(np.floor(by))
        part = np.float32(by - whole)
        near, far = (np.roll(signal, step, axis) for step in (whole, whole + 1))
        np.copyto(signal, (1 - part) * near + part * far)


def _add_wave(signal: FloatArray, seed: int, phase: int, canvas: Canvas, strength: float) -> None:
    """Add a wave artefact: signal that swings across one side, with another phase in each acquisition, in place."""
    rng = stream(seed, "wave")
    z, y, x = canvas.axes
    side = 1 if harder_side(seed, "wave") == "L" else -1
    length, turn = rng.uniform(9, 18), rng.uniform(-0.6, 0.6)
    begin = rng.uniform(0, 2 * np.pi) + phase * rng.uniform(0.8, 2.4)
    swing = np.sin(
        (y * np.float32(np.cos(turn)) + x * np.float32(np.sin(turn))) * np.float32(2 * np.pi / length) + begin
    )
    envelope = np.exp(-(((x - side * 75) / 45) ** 2) - ((y + 30) / 50) ** 2 - (z / 45) ** 2)
    signal *= 1 + np.float32(0.12 * strength) * envelope * swing
