"""`python -m fcdd_benchmarks.study.mip_readers NAME STUDY`: read a study to its MIP in a fresh process; print JSON.

Each reader imports what it needs, so that a process holds nothing of the others.
"""

import functools
import hashlib
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.timing.memory import forget_peak, peak_resident_mb, resident_mb

Mip = npt.NDArray[Any]
PASSES = 3


def main(name: str, folder: Path) -> None:
    """Time three passes, the first of which may still load things, and print the median with the peak memory."""
    read = READERS[name]()
    before, before_peak = resident_mb(), peak_resident_mb()
    forget_peak()
    times = []
    for _ in range(PASSES):
        started = time.perf_counter()
        mip = read(folder)
        times.append((time.perf_counter() - started) * 1e3)
    peak = peak_resident_mb()
    memory = {"over_mb": max(peak - before, 0.0), "peak_mb": max(peak, before_peak)}
    print(json.dumps({"ms": float(np.median(times)), "mip": mip_hash(mip), **memory}))


def mip_hash(mip: Mip) -> str:
    """Return a hash that is equal for equal MIPs: of the float32 values, which hold all 16-bit differences exactly."""
    return hashlib.sha256(np.ascontiguousarray(mip, dtype="<f4").tobytes()).hexdigest()


def reference_mip(folder: Path) -> Mip:
    """Return the largest second minus first phase by plain pydicom and NumPy: int32 (rows, columns) as stored."""
    from pydicom import dcmread  # noqa: PLC0415

    slices = [dcmread(path) for path in folder.iterdir()]
    first, second = sorted({image_slice.AcquisitionTime for image_slice in slices})[:2]
    pre, post = (
        sorted(
            (image_slice for image_slice in slices if image_slice.AcquisitionTime == moment),
            key=lambda image_slice: float(image_slice.ImagePositionPatient[2]),
        )
        for moment in (first, second)
    )
    return _largest_difference((before.pixel_array, after.pixel_array) for before, after in zip(pre, post, strict=True))


def our_reader() -> Callable[[Path], Mip]:
    """Return what reads and projects as scoring does: float32 (rows, columns)."""
    from fcdd_runtime.breasts.projection import project  # noqa: PLC0415
    from fcdd_runtime.contract import MipRecipe  # noqa: PLC0415
    from fcdd_runtime.phases.choose import split_phases  # noqa: PLC0415
    from fcdd_runtime.study.read import read_studies  # noqa: PLC0415

    def read(folder: Path) -> Mip:
        with tempfile.TemporaryDirectory() as scratch:
            studies, _ = read_studies(folder, Path(scratch))
            phases = split_phases(studies[0], MipRecipe())
            return project(phases.pre, phases.post).maximum

    return read


def _simpleitk_reader() -> Callable[[Path], Mip]:
    library: Any = importlib.import_module("SimpleITK")
    library.ProcessObject.SetGlobalDefaultNumberOfThreads(os.cpu_count() or 1)

    def acquisition_time(name: str) -> str:
        reader = library.ImageFileReader()
        reader.SetFileName(name)
        reader.ReadImageInformation()
        return str(reader.GetMetaData("0008|0032"))

    def pixels(name: str) -> Mip:
        return np.asarray(library.GetArrayFromImage(library.ReadImage(name, imageIO="GDCMImageIO"))[0])

    def read(folder: Path) -> Mip:
        series = library.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        files = sorted(library.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) for uid in series)
        pre, post = sorted(files, key=lambda names: acquisition_time(names[0]))[:2]
        return _largest_difference((pixels(before), pixels(after)) for before, after in zip(pre, post, strict=True))

    return read


def _limit_reader() -> Callable[[Path], Mip]:
    """Return what reads the same bytes and takes one maximum; the first pass finds out where the pixels lie."""
    from pydicom import dcmread  # noqa: PLC0415

    pixels: dict[tuple[str, float], Callable[[], Mip]] = {}

    def locate(folder: Path) -> None:
        for path in folder.iterdir():
            with path.open("rb") as file:
                header = dcmread(file, stop_before_pixels=True)
                offset = file.tell() + 12  # the head of the pixel data element
            key = str(header.AcquisitionTime), float(header.ImagePositionPatient[2])
            pixels[key] = functools.partial(_raw, path, offset, (header.Rows, header.Columns))

    def read(folder: Path) -> Mip:
        if not pixels:
            locate(folder)
        pre, post = (
            [pixels[key] for key in sorted(pixels) if key[0] == moment]
            for moment in sorted({key[0] for key in pixels})[:2]
        )
        return _largest_difference((before(), after()) for before, after in zip(pre, post, strict=True))

    return read


def _raw(path: Path, offset: int, shape: tuple[int, int]) -> Mip:
    return np.fromfile(path, np.uint16, shape[0] * shape[1], offset=offset).reshape(shape)


def _largest_difference(pairs: Iterable[tuple[Mip, Mip]]) -> Mip:
    best: Mip | None = None
    for before, after in pairs:
        difference = np.subtract(after, before, dtype=np.int32)
        best = difference if best is None else np.maximum(best, difference, out=best)
    assert best is not None
    return best


READERS = {"ours": our_reader, "simpleitk": _simpleitk_reader, "limit": _limit_reader}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
