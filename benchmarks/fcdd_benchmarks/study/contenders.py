"""`python -m fcdd_benchmarks.study.contenders NAME STUDY`: read a study to its MIP in a fresh process; print JSON.

Each function imports what it needs, so that a process holds nothing of the others.
"""

import hashlib
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.timing.memory import forget_peak, peak_resident_mb, resident_mb

Mip = npt.NDArray[Any]
PASSES = 3


def main(name: str, folder: Path) -> None:
    """Time three passes, the first of which may still load things, and print the median with the peak memory."""
    read = {"ours": _ours, "simpleitk": _simpleitk, "limit": _limit}[name]()
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


def _ours() -> Callable[[Path], Mip]:
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


def _simpleitk() -> Callable[[Path], Mip]:
    library: Any = importlib.import_module("SimpleITK")
    library.ProcessObject.SetGlobalDefaultNumberOfThreads(os.cpu_count() or 1)

    def read(folder: Path) -> Mip:
        series = library.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        files = sorted(library.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), one) for one in series)
        by_time = sorted(files, key=lambda names: _tag(library, names[0], "0008|0032"))
        best: Mip | None = None
        for pre, post in zip(by_time[0], by_time[1], strict=True):
            before, after = (_pixels(library, name) for name in (pre, post))
            difference = after.astype(np.int32) - before
            best = difference if best is None else np.maximum(best, difference, out=best)
        assert best is not None
        return best

    return read


def _tag(library: Any, name: str, tag: str) -> str:
    reader = library.ImageFileReader()
    reader.SetFileName(name)
    reader.ReadImageInformation()
    return str(reader.GetMetaData(tag))


def _pixels(library: Any, name: str) -> Mip:
    image = library.ReadImage(name, imageIO="GDCMImageIO")
    return np.asarray(library.GetArrayFromImage(image)[0])


def _limit() -> Callable[[Path], Mip]:
    from pydicom import dcmread  # noqa: PLC0415

    places: dict[tuple[str, float], tuple[Path, int, tuple[int, int]]] = {}

    def locate(folder: Path) -> None:
        for path in folder.iterdir():
            with path.open("rb") as file:
                header = dcmread(file, stop_before_pixels=True)
                # The pixel data element's head has 12 bytes.
                places[str(header.AcquisitionTime), float(header.ImagePositionPatient[2])] = (
                    path,
                    file.tell() + 12,
                    (header.Rows, header.Columns),
                )

    def read(folder: Path) -> Mip:
        if not places:
            locate(folder)
        keys = sorted(places)
        times = sorted({key[0] for key in keys})[:2]
        pairs = zip(*([places[key] for key in keys if key[0] == moment] for moment in times), strict=True)
        best: Mip | None = None
        for pre, post in pairs:
            before, after = (_raw(place) for place in (pre, post))
            difference = np.subtract(after, before, dtype=np.int32)
            best = difference if best is None else np.maximum(best, difference, out=best)
        assert best is not None
        return best

    return read


def _raw(place: tuple[Path, int, tuple[int, int]]) -> Mip:
    path, offset, shape = place
    return np.fromfile(path, np.uint16, shape[0] * shape[1], offset=offset).reshape(shape)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
