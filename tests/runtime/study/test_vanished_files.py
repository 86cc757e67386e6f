"""Files that were lost on their way among others that were not: nothing of a study may vanish without a word."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from pydicom.uid import UID
from result_builders import make_contract

from fcdd_runtime.errors import StudyError
from fcdd_runtime.findings import Finding
from fcdd_runtime.runs.tasks import find_studies
from fcdd_runtime.score_study import prepare
from fcdd_runtime.study.read import read_studies
from support import assert_review, reviews

SLICES = 10
Damage = Callable[[bytes], bytes]

DAMAGES: dict[str, Damage] = {
    "empty": lambda _: b"",
    "zeroed": lambda data: bytes(len(data)),
    "zeroed and short": lambda _: bytes(50),
    "cut in the preamble": lambda data: data[:60],
    "cut in the mark": lambda data: data[:130],
    "the mark overwritten": lambda data: data[:128] + b"DXCM" + data[132:],
    "the preamble lost": lambda data: data[128:],
    "a byte too many before": lambda data: b"\0" + data,
    "random bytes, few": lambda _: np.random.default_rng(0).bytes(90),
    "mark and preamble lost": lambda data: data[132:],
    "cut after the mark": lambda data: data[:140],
    "cut in the header": lambda data: data[:700],
}


def read(folder: Path) -> tuple[Finding, ...]:
    [place] = find_studies(folder, folder)
    return place.findings


@pytest.mark.parametrize("suffix", ["", ".dcm", ".1", ".IMA"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_slices_that_vanish_from_one_end_of_every_phase_are_noticed(
    damage: Damage, suffix: str, tmp_path: Path
) -> None:
    for number, path in enumerate(MockStudy(breast_phantom()).write(tmp_path)):
        if number % SLICES < 2:
            path.write_bytes(damage(path.read_bytes()))
        path.rename(tmp_path / f"{number:04d}{suffix}")
    assert_review(read(tmp_path), "unread-files")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.txt", b""),
        ("notes.txt", b"seen"),
        ("VERSION", b"1.2\n"),
        (".DS_Store", bytes(100)),
        ("report.pdf", b""),
        ("index.html", b""),
        ("viewer.exe", bytes(300)),
        ("preview.jpg", b"\xff\xd8" + bytes(10)),
        ("about DICM", b"The mark of a file is DICM.\n" * 20),
    ],
)
def test_files_that_never_were_dicom_are_no_damage(name: str, content: bytes, tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path) == ()


def with_pixels(path: Path, values: int) -> None:
    header = dcmread(path)
    header.PixelData = np.full(header.pixel_array.shape, values, header.pixel_array.dtype).tobytes()
    header.save_as(path)


@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("axes", ["zyx", "xzy"])
def test_slices_of_one_value_are_put_to_review(value: int, rescale: bool, axes: str, tmp_path: Path) -> None:
    paths = MockStudy(breast_phantom(), rescale=rescale, axes=axes).write(tmp_path)
    count = len(paths) // 3
    for number, path in enumerate(paths):
        if number % count < 2 and number < 2 * count:
            with_pixels(path, value)
    ((study,), _) = read_studies(tmp_path, tmp_path)
    findings = prepare(study, make_contract()).findings
    for when in ("before", "after"):
        assert_review(findings, "blank-slices", f"2 of {count} slices {when} contrast hold one value in many rows")


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.85])
@pytest.mark.parametrize("slices", [(0,), (9,), (4, 5)])
def test_slices_that_lost_their_end_are_put_to_review(kept: float, slices: tuple[int, ...], tmp_path: Path) -> None:
    for number, path in enumerate(MockStudy(breast_phantom()).write(tmp_path)):
        if number % SLICES in slices:
            data, header = path.read_bytes(), dcmread(path)
            lost = int(len(header.PixelData) * (1 - kept))
            path.write_bytes(data[: len(data) - lost] + bytes(lost))
    ((study,), _) = read_studies(tmp_path, tmp_path)
    assert_review(prepare(study, make_contract()).findings, "blank-slices", f"{len(slices)} of 10 slices before")


def test_blank_rows_that_come_slice_by_slice_are_the_scanners_own(tmp_path: Path) -> None:
    """Padding, masks of air and corrected distortion leave them."""
    for number, path in enumerate(MockStudy(breast_phantom()).write(tmp_path)):
        header = dcmread(path)
        pixels = header.pixel_array.copy()
        pixels[: 2 + 2 * (number % SLICES)] = 0
        pixels[-4:] = 0
        header.PixelData = pixels.tobytes()
        header.save_as(path)
    ((study,), _) = read_studies(tmp_path, tmp_path)
    assert "blank-slices" not in reviews(prepare(study, make_contract()).findings)


def test_a_slice_with_a_single_other_column_is_an_image(tmp_path: Path) -> None:
    path = MockStudy(breast_phantom()).write(tmp_path)[0]
    header = dcmread(path)
    pixels = np.zeros_like(header.pixel_array)
    pixels[:, 5] = 1
    header.PixelData = pixels.tobytes()
    header.save_as(path)
    ((study,), _) = read_studies(tmp_path, tmp_path)
    assert reviews(prepare(study, make_contract()).findings) == ()


@pytest.mark.parametrize("value", [0, 7, 4000])
def test_a_blank_phase_never_leads_to_a_plain_score(value: int, tmp_path: Path) -> None:
    for number, path in enumerate(MockStudy(breast_phantom()).write(tmp_path)):
        if SLICES <= number < 2 * SLICES:
            with_pixels(path, value)
    ((study,), _) = read_studies(tmp_path, tmp_path)
    try:
        findings = prepare(study, make_contract()).findings
    except StudyError as error:
        assert "nothing enhances" in str(error)
    else:
        assert_review(findings, "blank-slices")


def test_different_slices_of_one_uid_are_put_to_review(tmp_path: Path) -> None:
    for number, path in enumerate(MockStudy(breast_phantom()).write(tmp_path)):
        if number in (3, 4, 15):
            header = dcmread(path)
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
            header.save_as(path)
    ((study,), _) = read_studies(tmp_path, tmp_path)
    assert_review(prepare(study, make_contract()).findings, "equal-uids", "^3 slices of series 5")
