"""What tells DICOM files from others, and files and folders that cannot be read."""

import os
from pathlib import Path

import pytest
from mock_study import MockStudy, breast_phantom
from PIL import Image

from fcdd_runtime.dicom_mark import has_dicom_mark, is_dicom
from fcdd_runtime.images import is_image_folder
from fcdd_runtime.study import read_studies

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


@needs_unreadable
def test_a_file_that_cannot_be_read_is_named_and_the_study_is_read(tmp_path: Path) -> None:
    MockStudy(breast_phantom()).write(tmp_path)
    (tmp_path / "odd").symlink_to(UNREADABLE)
    (study,), notes = read_studies(tmp_path, tmp_path)
    assert notes == ["odd could not be read (Input/output error)."]
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
