"""The MIP of a drawn study by another way than the product's: pydicom, one file after the other, plain NumPy."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from fcdd_benchmarks.study.contenders import Mip
from fcdd_runtime.breasts.projection import project
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import BackendError
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.study.read import read_studies


def check_mips(folders: Iterable[Path]) -> None:
    """Compare the product's MIP of each drawn study with the reference, bit for bit.

    Raises
    ------
    BackendError
        If they differ in one pixel: a time for a wrong answer is none.
    """
    for folder in folders:
        expected, found = reference_mip(folder), product_mip(folder)
        if found.shape != expected.shape or not np.array_equal(found, expected):
            raise BackendError(
                f"the MIP of the drawn study {folder.name} is not that of the reference; nothing is timed"
            )


def product_mip(folder: Path) -> Mip:
    """Return the largest second minus first phase as scoring computes it: float32 (rows, columns)."""
    with tempfile.TemporaryDirectory() as scratch:
        studies, _ = read_studies(folder, Path(scratch))
        phases = split_phases(studies[0], MipRecipe())
        return project(phases.pre, phases.post).maximum


def reference_mip(folder: Path) -> Mip:
    """Return the largest second minus first phase of an axial study: int32 (rows, columns) as stored."""
    slices = [dcmread(path) for path in folder.iterdir()]
    first, second = sorted({one.AcquisitionTime for one in slices})[:2]
    pairs = zip(_phase(slices, first), _phase(slices, second), strict=True)
    differences = (post.pixel_array.astype(np.int32) - pre.pixel_array.astype(np.int32) for pre, post in pairs)
    largest: Mip = np.maximum.reduce(list(differences))
    return largest


def _phase(slices: Sequence[Dataset], moment: str) -> list[Dataset]:
    phase = [one for one in slices if moment == one.AcquisitionTime]
    return sorted(phase, key=lambda one: float(one.ImagePositionPatient[2]))
