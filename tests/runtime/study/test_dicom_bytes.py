"""What tells DICOM files from others, and files and folders that cannot be read."""

import os
from pathlib import Path
from random import Random

import pytest
from mock_study import MockStudy, breast_phantom
from PIL import Image
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fcdd_runtime.errors import StudyError
from fcdd_runtime.images.mip_files import is_image_folder
from fcdd_runtime.study.dicom_bytes import begins_like_dicom, has_dicom_mark, is_dicom
from fcdd_runtime.study.read import read_studies

UNREADABLE = Path("/proc/self/mem")
"""A regular file whose first byte nobody can read, the superuser neither."""

needs_unreadable = pytest.mark.skipif(not UNREADABLE.is_file(), reason="there is no /proc/self/mem here")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (bytes(128) + b"DICM", True),
        (b"x" * 128 + b"DICM" + b"more", True),
        (bytes(128) + b"DICO", False),
        (bytes(127) + b"DICM", False),
        (bytes(128) + b"DIC", False),
        (b"DICM", False),
        (b"", False),
    ],
)
def test_the_mark_follows_128_bytes(head: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(head)
    assert (has_dicom_mark(head), is_dicom(tmp_path / "file")) == (expected, expected)


NO_MARK = "DICOM mark (Part 10 preamble)"


def cut_mark(path: Path) -> None:
    path.write_bytes(path.read_bytes()[132:])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("keeps_meta", [True, False])
def test_content_without_the_mark_is_recognised(syntax: UID, keeps_meta: bool, tmp_path: Path) -> None:
    path = MockStudy(breast_phantom(), transfer_syntax=syntax).write(tmp_path)[0]
    content = path.read_bytes()
    first = 132 if keeps_meta else 144 + int.from_bytes(content[140:144], "little")
    assert begins_like_dicom(content[first:])
    assert not begins_like_dicom(content[first : first + 20])
    assert not begins_like_dicom(content[first + 1 :])


@pytest.mark.parametrize(
    "content",
    [
        b"\x08\x00" * 500,
        b"\x08\x00\x05\x00" * 200,
        b"plain text, " * 50,
        b"PK\x03\x04" + bytes(300),
        b"\x89PNG\r\n\x1a\n" + bytes(300),
        b"\x08\x00\x00\x00\x04\x00\x00\x00" + b"\xff" * 300,
    ],
)
def test_ordinary_files_are_not_taken_for_dicom_without_the_mark(content: bytes, tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path)
    (tmp_path / "other").write_bytes(content)
    assert not begins_like_dicom(content)
    _, notes = read_studies(tmp_path, tmp_path)
    assert notes == []


def test_files_without_the_mark_are_counted_in_one_note_before_all_others(tmp_path: Path) -> None:
    files = MockStudy(breast_phantom()).write(tmp_path)
    files[5].write_bytes(files[5].read_bytes()[:500])
    cut_mark(files[0])
    _, notes = read_studies(tmp_path, tmp_path)
    assert len(notes) == 2
    assert notes[0] == f"1 file has no {NO_MARK} and was not read; export the study as DICOM files."
    cut_mark(files[1])
    _, notes = read_studies(tmp_path, tmp_path)
    assert notes[0] == f"2 files have no {NO_MARK} and were not read; export the study as DICOM files."


def test_a_study_without_any_mark_is_refused_with_that_reason(tmp_path: Path) -> None:
    for path in MockStudy(breast_phantom()).write(tmp_path):
        cut_mark(path)
    with pytest.raises(StudyError, match=r"nothing usable .* 30 files have no DICOM mark"):
        read_studies(tmp_path, tmp_path)


@pytest.mark.parametrize(
    "rest", [b"\xff" * 50, b"", bytes(200), Random(0).randbytes(400)], ids=["ff", "nothing", "0", "noise"]
)
def test_nothing_but_garbage_after_the_mark_is_damage_and_no_other_dicom_object(rest: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM" + rest)
    with pytest.raises(StudyError, match='file "x.dcm" has a damaged or truncated header'):
        read_studies(tmp_path, tmp_path)


@needs_unreadable
def test_a_file_that_cannot_be_read_is_named_and_the_study_is_read(tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path)
    (tmp_path / "odd").symlink_to(UNREADABLE)
    (study,), notes = read_studies(tmp_path, tmp_path)
    assert notes == ['file "odd" could not be read (Input/output error).']
    assert len(study.series) == 1


@needs_unreadable
def test_pictures_beside_a_file_that_may_be_dicom_are_no_image_folder(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert is_image_folder(tmp_path)
    (tmp_path / "odd").symlink_to(UNREADABLE)
    assert not is_image_folder(tmp_path)


def test_a_folder_that_cannot_be_read_does_not_keep_pictures_from_being_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    scandir = os.scandir

    def refusing(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert is_image_folder(tmp_path)
