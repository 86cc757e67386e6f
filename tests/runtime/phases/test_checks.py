"""Checks speak when they are called; what a result says about its source images, such as loss and absent numbers."""

import inspect
import pkgutil
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from fcdd_runtime import phases as phases_package
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import Phases, split_phases
from fcdd_runtime.phases.manual import manual_phases
from fcdd_runtime.study.lossy import loss_in
from fcdd_runtime.study.read import read_studies
from support import assert_review, reviews, sentences

PHANTOM = breast_phantom(phases=3)
SLICES = PHANTOM.voxels.shape[1]


def split(folder: Path, *choices: str) -> Phases:
    (study,), notes = read_studies(folder, folder)
    assert notes == []
    return split_phases(study, MipRecipe(), manual_phases(*choices) if choices else None)


def edit(paths: Iterable[Path], **values: Any) -> None:
    """Set attributes of files; None removes one."""
    for path in paths:
        header = dcmread(path)
        for keyword, value in values.items():
            if value is None:
                delattr(header, keyword)
            else:
                setattr(header, keyword, value)
        header.save_as(path)


def phase(paths: list[Path], number: int) -> list[Path]:
    return paths[number * SLICES : (number + 1) * SLICES]


def test_a_check_that_is_called_has_checked_whatever_is_done_with_its_answer() -> None:
    modules = [
        import_module(f"fcdd_runtime.phases.{module.name}") for module in pkgutil.iter_modules(phases_package.__path__)
    ]
    checks = [
        value for module in modules for name, value in inspect.getmembers(module, inspect.isfunction) if "check" in name
    ]
    assert len(checks) > 10
    assert not [check.__name__ for check in checks if inspect.isgeneratorfunction(check)]


@pytest.mark.parametrize("enhanced", [False, True])
def test_images_that_were_once_compressed_with_loss_are_warned_about_once_a_series(
    tmp_path: Path, enhanced: bool
) -> None:
    MockStudy(
        PHANTOM,
        enhanced=enhanced,
        series_per_phase=True,
        phase_attribute="AcquisitionTime",
        attributes={"LossyImageCompression": "01"},
    ).write(tmp_path)
    assert sentences(split(tmp_path).findings) == tuple(
        f'The images of series {number} "dyn t1 fs" were compressed with loss; the scores may differ from the '
        "original's."
        for number in (5, 6)
    )


def test_one_image_with_loss_is_enough(tmp_path: Path) -> None:
    edit(MockStudy(PHANTOM).write(tmp_path)[3:4], LossyImageCompression="01")
    assert "compressed with loss" in sentences(split(tmp_path).findings)[0]


def test_loss_in_a_phase_that_is_not_used_does_not_matter(tmp_path: Path) -> None:
    edit(phase(MockStudy(PHANTOM).write(tmp_path), 2), LossyImageCompression="01")
    assert sentences(split(tmp_path).findings) == ()


@pytest.mark.parametrize(("syntax", "option"), [(JPEG2000, {"j2k_cr": [4]}), (JPEGLSNearLossless, {"jls_error": 2})])
def test_a_transfer_syntax_that_loses_is_warned_about(tmp_path: Path, syntax: UID, option: dict[str, Any]) -> None:
    for path in MockStudy(PHANTOM).write(tmp_path):
        header = dcmread(path)
        try:
            header.compress(syntax, generate_instance_uid=False, **option)
        except RuntimeError:
            pytest.skip(f"pydicom's encoder of {syntax.name} is not installed")
        header.save_as(path)
    (warning,) = sentences(split(tmp_path).findings)
    assert "a transfer syntax that may lose something" in warning


@pytest.mark.parametrize(
    ("syntax", "unsaid", "denied"),
    [
        (JPEGBaseline8Bit, "known", "known"),
        (JPEGExtended12Bit, "known", "known"),
        (JPEGLSNearLossless, "possible", "possible"),
        (JPEG2000, "possible", ""),
        (HTJ2K, "possible", ""),
        (JPEGLSLossless, "", ""),
        (JPEG2000Lossless, "", ""),
        (HTJ2KLossless, "", ""),
        (ExplicitVRLittleEndian, "", ""),
        (None, "", ""),
    ],
)
def test_what_header_and_transfer_syntax_say_of_loss(syntax: UID | None, unsaid: str, denied: str) -> None:
    assert loss_in((), False, syntax) == unsaid
    assert loss_in(("00",), False, syntax) == denied
    assert loss_in(("01",), False, syntax) == "known"
    assert loss_in((), True, syntax) == "known"


def test_another_attribute_replaces_positions_in_time_that_some_slices_lack(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    for number in range(3):
        edit(phase(paths, number), AcquisitionTime=f"10{10 + number}00")
    edit(paths[12:15], TemporalPositionIdentifier=None)
    phases = split(tmp_path)
    assert (phases.choice.method, phases.choice.count) == ("AcquisitionTime", 3)
    assert sentences(phases.findings) == (
        'In series 5 "dyn t1 fs", TemporalPositionIdentifier is absent in 3 of 30 slices; AcquisitionTime told the '
        "phases apart.",
    )


def test_without_another_attribute_slices_that_lack_theirs_are_counted(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM, random_instance_numbers=True).write(tmp_path)
    edit(paths[12:15], TemporalPositionIdentifier=None)
    sentence = "cannot be told apart: TemporalPositionIdentifier is absent in 3 of 30 slices"
    with pytest.raises(StudyError, match=sentence):
        split(tmp_path)


def test_an_attribute_that_orders_otherwise_than_the_known_positions_replaces_none(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    for number in range(3):
        edit(phase(paths, number), AcquisitionTime=f"10{12 - number}00")
    edit(paths[12:15], TemporalPositionIdentifier=None)
    assert_review(split(tmp_path).findings, "order-unclear", "absent in 3 of 30 slices")


@pytest.mark.parametrize("orders", [True, False])
def test_series_whose_slices_lack_their_position_in_part(tmp_path: Path, orders: bool) -> None:
    paths = MockStudy(PHANTOM, series_per_phase=True).write(tmp_path)
    for number in range(3):
        edit(phase(paths, number), AcquisitionTime=f"10{10 + number if orders else 10}00")
    edit(paths[12:15], TemporalPositionIdentifier=None)
    phases = split(tmp_path)
    assert "TemporalPositionIdentifier is absent in 3 of 10 slices" in " ".join(sentences(phases.findings))
    assert ("order-unclear" in reviews(phases.findings)) == (not orders)


def test_slices_of_one_phase_in_several_frames_of_reference_are_refused(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    edit(paths[3:5], FrameOfReferenceUID="1.2.3")
    with pytest.raises(StudyError, match="slices in different frames of reference"):
        split(tmp_path)


def test_phases_of_one_series_in_two_frames_of_reference_are_put_to_review(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    edit(phase(paths, 0), FrameOfReferenceUID="1.2.3")
    assert_review(split(tmp_path).findings, "repositioned", "have different frames of reference")


def test_a_further_phase_in_another_frame_of_reference_is_a_warning(tmp_path: Path) -> None:
    paths = MockStudy(PHANTOM).write(tmp_path)
    edit(phase(paths, 2), FrameOfReferenceUID="1.2.3")
    (warning,) = sentences(split(tmp_path).findings)
    assert "several frames of reference" in warning
