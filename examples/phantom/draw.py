"""Seed -> a drawn bilateral breast DCE study whose lesions are known. No patient was ever in these images."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_runtime.volumes.volume import Grid
from phantom.anatomy import Body, sample_body
from phantom.fields import FloatArray, smooth_noise, stream
from phantom.lesions import Lesion, paint_foci, paint_lesions, place_lesions
from phantom.tissue import Canvas, Kinetics, blank_canvas, paint_tissues

SHAPE = (48, 192, 192)
STEP_MM = (3.0, 1.75, 1.75)
FIRST_POST_S, PHASE_S = 75.0, 80.0


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


def draw_phantom(seed: int, lesions: int = 1, phases: int = 4, enhancement: float | None = None) -> Phantom:
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
    """
    body = sample_body(seed)
    grid = _grid(seed, body)
    placed = place_lesions(seed, body, lesions)
    canvas = _painted(seed, body, grid, placed, enhancement)
    gain = _receive_gain(seed)
    volumes = tuple(_acquire(seed, phase, canvas, gain) for phase in range(phases))
    return Phantom(seed, grid, volumes, tuple(_start_s(phase) for phase in range(phases)), placed)


def contrast_curve(kinetics: Kinetics, seconds: float) -> float:
    """Return the share of full enhancement `seconds` after the contrast agent arrives, 0..1; 0 before."""
    after = max(seconds, 0.0)
    if kinetics is Kinetics.PERSISTENT:
        return float(1 - np.exp(-after / 150))
    wash_in = float(1 - np.exp(-after / 35))
    return wash_in if kinetics is Kinetics.PLATEAU else wash_in * float(np.exp(-after / 500))


def _grid(seed: int, body: Body) -> Grid:
    """Return the study's grid, planned around the breasts as well as a technologist does it: within a few mm."""
    middle = np.array(body.origin_mm) + stream(seed, "grid").uniform(-4, 4, 3)
    x, y, z = middle - [(SHAPE[2] - 1) / 2 * STEP_MM[2], 96, (SHAPE[0] - 1) / 2 * STEP_MM[0]]
    origin = (round(float(x), 3), round(float(y), 3), round(float(z), 3))
    return Grid(SHAPE, origin, ((0.0, 0.0, STEP_MM[0]), (0.0, STEP_MM[1], 0.0), (STEP_MM[2], 0.0, 0.0)))


def _painted(seed: int, body: Body, grid: Grid, lesions: tuple[Lesion, ...], enhancement: float | None) -> Canvas:
    canvas = blank_canvas(grid, body)
    paint_tissues(canvas, seed, body)
    paint_foci(canvas, seed, body)
    paint_lesions(canvas, seed, body, lesions, enhancement)
    return canvas


def _receive_gain(seed: int) -> FloatArray:
    """Return the scanner's gain for each voxel: one level a study times the coil's slow falloff."""
    rng = stream(seed, "gain")
    falloff = np.exp(np.float32(0.12) * smooth_noise(rng, SHAPE, (2, 2, 2)))
    gain: FloatArray = np.float32(np.exp(rng.uniform(-0.5, 1.2))) * falloff
    return gain


def _start_s(phase: int) -> float:
    """Return when a phase starts after the first, s."""
    return phase * PHASE_S


def _acquire(seed: int, phase: int, canvas: Canvas, gain: FloatArray) -> npt.NDArray[np.uint16]:
    """Return one phase as the scanner stores it: contrast of its time, a little motion, gain and Rician noise."""
    rng = stream(seed, f"phase {phase}")
    signal = canvas.signal.copy()
    after = FIRST_POST_S + (phase - 1) * PHASE_S if phase else 0.0
    if phase:
        for kinetics, increase in canvas.uptake.items():
            signal += np.float32(contrast_curve(kinetics, after)) * increase
        _move(signal, rng.uniform(0, 0.3))
    signal *= gain
    noise = np.float32(stream(seed, "noise").uniform(2, 4.5) * float(gain.mean(dtype=np.float64)))
    signal += noise * rng.standard_normal(signal.shape, dtype=np.float32)
    quadrature = noise * rng.standard_normal(signal.shape, dtype=np.float32)
    stored: npt.NDArray[np.uint16] = np.rint(np.sqrt(signal * signal + quadrature * quadrature)).astype(np.uint16)
    return stored


def _move(signal: FloatArray, rows: float) -> None:
    """Shift an image by part of a row towards the back, as between two breaths, in place."""
    signal[:, 1:] -= np.float32(rows) * np.diff(signal, axis=1)
