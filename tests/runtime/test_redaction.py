"""What the terminal shows: numbers in the place of names and free text, whatever these are."""

import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from mock_study import MockStudy, breast_phantom, cropped
from pydicom import dcmread

from fcdd_runtime.cli import score
from fcdd_runtime.redaction import for_terminal, quoted
from fcdd_runtime.report.write import study_folder_name
from fcdd_runtime.runs.worker import Worker
from fcdd_runtime.study.body_part import body_part_for_messages

SECRETS = ("roe", "jane", "1931", "4711", "1.2.840", "1.2.826")
NAME = 'T1 "ROE^JANE" 19310203 "'


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ('series 5 "T1", right side, phase 1 of 2', "series 5, right side, phase 1 of 2"),
        ('series without number "a" + series -3 "b"', "series without number + series -3"),
        ('file "a.dcm" is truncated, file "c" too', "file 7 is truncated, file too"),
        ('The folder "x" and the zip "y" of the input "z"', "The folder and the zip of the input"),
        ('The body part is "ROE JANE", which', "The body part is (not shown), which"),
        ("series 19310203 of 1.2.840.1 has 3.5 mm", "series (date) of (UID) has 3.5 mm"),
        ("no server answers at grpc://10.0.0.12:8001", "no server answers at grpc://10.0.0.12:8001"),
    ],
)
def test_quoted_parts_are_left_out(sentence: str, shown: str) -> None:
    assert for_terminal(sentence, {'"a.dcm"': 7}) == shown


@given(st.text())
def test_nothing_gets_out_of_its_quotes(text: str) -> None:
    assert for_terminal(f"series 5 {quoted(text)}, file {quoted(text)}.", {}) == "series 5, file."


@pytest.mark.parametrize(
    ("value", "named"), [("breast", "BREAST"), (" Brain ", "BRAIN"), ("", ""), ("Roe Jane", '"ROE JANE"')]
)
def test_only_body_parts_that_dicom_defines_go_without_quotes(value: str, named: str) -> None:
    assert body_part_for_messages(value) == named


def lines_of(model: Path, out: Path, *arguments: Any) -> str:
    done = CliRunner().invoke(score, [*map(str, arguments), "--model", str(model), "--out", str(out)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return str(done.stdout + done.stderr).replace(str(out), "")


def assert_names_nobody(text: str, expected: str) -> None:
    assert re.search(expected, text), text
    for secret in SECRETS:
        assert secret not in text.lower(), text


@pytest.fixture
def model(repository: Path) -> Path:
    return repository / "small_fp32"


def named_files(folder: Path, **values: Any) -> list[Path]:
    """Write a study whose every free text is a secret, in files and folders that are called by secrets."""
    attributes = {"SeriesDescription": NAME, "PatientID": "4711", "PatientName": "Roe^Jane", **values.pop("also", {})}
    paths = MockStudy(breast_phantom(values.pop("phases", 3)), attributes=attributes, **values).write(folder)
    return [path.rename(path.with_name(f"ROE 'JANE' {number:03d}.dcm")) for number, path in enumerate(paths)]


def cut_pixels(paths: list[Path]) -> None:
    paths[6].write_bytes(paths[6].read_bytes()[:-500])


def cut_header(paths: list[Path]) -> None:
    paths[6].write_bytes(paths[6].read_bytes()[:500])


def without_position(paths: list[Path]) -> None:
    edit(paths[6], ImagePositionPatient=None)


def edit(path: Path, **values: Any) -> None:
    header = dcmread(path)
    for keyword, value in values.items():
        setattr(header, keyword, value)
    header.save_as(path)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (cut_pixels, "file 7 is truncated"),
        (cut_header, "file 7 has a damaged or truncated header"),
        (without_position, "file 7 in series 5 says not where it lies"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damaged_files_go_by_their_numbers(
    damage: Callable[[list[Path]], None], expected: str, packed: bool, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ROE JANE 1931"
    damage(named_files(folder))
    if packed:
        with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, f"ROE/{path.name}")
        folder = folder.with_suffix(".zip")
    assert_names_nobody(lines_of(model, tmp_path / "out", folder), expected)


def damaged_zip(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(100))


def zip_with_a_damaged_member(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ROE_JANE.dcm", b"x" * 1000)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"x" * 1000, b"y" * 1000))


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ROE_JANE.dcm", bytes(2**20))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (damaged_zip, r"the zip cannot be unpacked \(it is damaged"),
        (zip_with_a_damaged_member, r"the zip cannot be unpacked \(it is damaged"),
        (zip_bomb, "the zip would unpack to 1 files"),
        (Path.mkdir, "the input is empty"),
        (lambda path: path.write_text("ROE"), "the input holds no DICOM file"),
        (lambda _: None, "the input does not exist"),
    ],
)
def test_inputs_that_cannot_be_used_are_not_named(
    make: Callable[[Path], object], expected: str, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ROE JANE 1931.zip"
    if expected == "the input is empty" or "no DICOM" in expected:
        path = path.with_suffix("")
    make(path)
    assert_names_nobody(lines_of(model, tmp_path / "out", path), expected)


def test_a_folder_that_cannot_be_read_is_not_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named_files(tmp_path / "in")
    (tmp_path / "in" / "ROE^JANE").mkdir()
    scandir = os.scandir

    def refusing(folder: Path | int) -> object:
        if not isinstance(folder, int) and Path(folder).name == "ROE^JANE":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setattr(Worker, "call", lambda _, function, *arguments: function(*arguments))
    text = lines_of(model, tmp_path / "out", tmp_path / "in")
    assert_names_nobody(text, r"The folder could not be read \(Permission denied\)")
    assert text.count("could not be read") == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"phases": 1}, r"only one phase was found, series 5 \(1 phases\)"),
        ({"phases": 1, "also": {"SeriesNumber": None}}, "series without number"),
        ({"phases": 1, "also": {"SeriesNumber": "19310203"}}, r"series \(date\)"),
        ({"phases": 1, "also": {"SeriesDescription": ["T1", "ROE^JANE"]}}, "only one phase"),
        ({"phases": 1, "also": {"SeriesDescription": '"\nROE "JANE'}}, "only one phase"),
    ],
    ids=str,
)
def test_descriptions_never_show(values: dict[str, Any], expected: str, model: Path, tmp_path: Path) -> None:
    named_files(tmp_path / "in", **values)
    assert_names_nobody(lines_of(model, tmp_path / "out", tmp_path / "in"), expected)


@pytest.mark.parametrize("choice", ["ROE JANE/1", "1.2.840.4711/1", "4711/1", "ROE JANE"])
def test_a_choice_of_phases_is_not_repeated(choice: str, model: Path, tmp_path: Path) -> None:
    named_files(tmp_path / "in")
    text = lines_of(model, tmp_path / "out", tmp_path / "in", "--pre", choice, "--post", "5/2")
    assert_names_nobody(text.replace("4711", "") if choice == "4711/1" else text, "no series|SERIES/PHASE")


def provoke_warnings(folder: Path) -> MockStudy:
    """Write a study of which nearly everything that can be doubted without refusing it is doubtful."""
    also = {
        "BodyPartExamined": "ROE JANE",
        "LossyImageCompression": "01",
        "ScanningSequence": "SE",
        "PatientID": "4711",
        "PatientName": "Roe^Jane",
        "SeriesDescription": f"CONTRAST {NAME}",
    }
    named_files(folder, also=also, repeats=2)
    mock = MockStudy(breast_phantom(), attributes=also)
    paths = sorted(folder.iterdir())
    for number, path in enumerate(paths):
        edit(path, AcquisitionNumber=9 - number // 20, FrameOfReferenceUID=None if number == 50 else "1.2.3")
    edit(paths[45], FrameOfReferenceUID="1.2.3.4711")
    shutil.copy(paths[3], folder / "ROE JANE copy")
    paths[59].write_bytes(paths[59].read_bytes()[:700])
    (folder / "ROE no mark").write_bytes(paths[0].read_bytes()[132:])
    elsewhere = cropped(breast_phantom(1), 0, 20)
    object.__setattr__(elsewhere, "first_voxel_mm", (-900.0, 0.0, 0.0))
    MockStudy(elsewhere, series_number=7, attributes=also).write(folder / "ROE elsewhere")
    return mock


def test_no_warning_names_anybody_and_the_result_keeps_every_word(model: Path, tmp_path: Path) -> None:
    mock = provoke_warnings(tmp_path / "in")
    text = lines_of(model, tmp_path / "out", tmp_path / "in")
    for words in (
        r"file \d+ has a damaged or truncated header",
        "1 file has no DICOM mark",
        r"The body part is \(not shown\), which",
        "The images of series 5 were compressed with loss",
        "In series 5 .* slices repeat",
        "series 5 is no dynamic T1",
        "series 5 holds 1 copied slices",
        "series 5 holds several frames of reference",
        "series 7 has the protocol of the subtracted phases, but lies elsewhere",
        "AcquisitionNumber orders the phases of series 5",
        "The description of series 5, phase 1 of 3, which was taken as pre-contrast, says CONTRAST",
    ):
        assert_names_nobody(text, words)
    result = (tmp_path / "out" / study_folder_name(mock.study_instance_uid) / "result.json").read_text()
    for words in ("ROE JANE", "ROE^JANE", "ROE 'JANE' 059.dcm"):
        assert words in result


def test_what_is_chosen_by_hand_for_two_breasts_warns_without_names(model: Path, tmp_path: Path) -> None:
    for number, columns in ((5, (0, 46)), (6, (46, 96))):
        attributes = {"SeriesDescription": NAME}
        MockStudy(cropped(breast_phantom(), *columns), series_number=number, attributes=attributes).write(
            tmp_path / "in" / str(number)
        )
    choices = ("--pre", "5/1", "--post", "5/2", "--pre", "6/1", "--post", "6/3")
    text = lines_of(model, tmp_path / "out", tmp_path / "in", *choices)
    assert_names_nobody(text, "series 5, phase 2 of 3 was chosen for the right breast, but series 6, phase 3 of 3")
