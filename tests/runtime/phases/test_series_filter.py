"""What a scanner computed, and what is no magnitude, is never taken as a phase: by ImageType first, by words second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mock_study import MockStudy, breast_phantom
from pydicom import dcmread
from pydicom.dataset import Dataset

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.phases.series_filter import (
    mentions_contrast,
    ruled_out_by_description,
    ruled_out_by_type,
    says_after_contrast,
)
from fcdd_runtime.study.read import read_studies
from support import reviews

PHANTOM = breast_phantom()


@pytest.mark.parametrize(
    "words",
    [
        *("WI", "WO", "PEI", "TTP", "MIPT", "MEAN", "STDDEV", "RELCBV", "IAUC", "AUC90", "SUB", "SUBTRACT", "MIP"),
        *("PROJECTION IMAGE", "MPR", "LOCALIZER", "ADC", "TRACEW", "KTRANS", "T1 MAP", "P", "R", "I", "PHASE MAP"),
        *("PHASE", "REAL", "IMAGINARY", "SER", "PE1", "WASHIN", "T2_STAR MAP", "FIT", "MAXIMUM", "STD_DEVIATION"),
    ],
)
def test_types_of_images_that_are_no_phase(words: str) -> None:
    assert ruled_out_by_type(("ORIGINAL", "SECONDARY", words, "NORM", "DIS2D"))
    assert ruled_out_by_type(("ORIGINAL", "SECONDARY", "M", "NORM", "DIS2D", words)) or words in ("P", "R", "I")


@pytest.mark.parametrize(
    "image_type",
    [
        ("ORIGINAL", "PRIMARY", "M", "ND"),
        ("ORIGINAL", "SECONDARY", "M", "NORM", "DIS2D"),
        ("DERIVED", "SECONDARY", "OTHER"),
        ("DERIVED", "PRIMARY", "W"),
        ("ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"),
        ("R", "P"),
        ("ORIGINAL", "PRIMARY", "M", "ND", "P"),
        ("ORIGINAL", "PRIMARY", "M", "ND", "IN_PHASE"),
        ("DERIVED", "PRIMARY", "DIXON", "OPP_PHASE"),
        ("DERIVED", "PRIMARY", "DIXON", "WATER"),
    ],
)
def test_types_of_images_that_may_be_phases(image_type: tuple[str, ...]) -> None:
    assert not ruled_out_by_type(image_type)


@pytest.mark.parametrize(
    "description",
    ["dyn wash-in", "Wash out", "AUC90", "BPE map", "t1_SUB_1", "kinetic", "dyn_PEI", "t2_tse"],
)
def test_descriptions_of_series_that_are_no_phase(description: str) -> None:
    assert ruled_out_by_description(description)


@pytest.mark.parametrize("description", ["t1_fl3d_tra_dynaVIEWS_spair_1+5", "T1 WI dyn", "ax t1 wo", "washed t1", ""])
def test_descriptions_of_series_that_may_be_phases(description: str) -> None:
    assert not ruled_out_by_description(description)


def test_wo_in_a_description_means_without_contrast() -> None:
    assert mentions_contrast("T1 WO CONTRAST") == ""
    assert says_after_contrast("T1 WO AND POST") == ""
    assert mentions_contrast("T1 CONTRAST") == "CONTRAST"


def mark_as_ge_phase_image(header: Dataset) -> None:
    header.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    header.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 1)


@pytest.mark.parametrize(
    "mark",
    [
        lambda header: setattr(header, "ImageType", ["ORIGINAL", "PRIMARY", "P", "ND"]),
        lambda header: setattr(header, "ImageType", ["ORIGINAL", "PRIMARY", "PHASE MAP"]),
        lambda header: setattr(header, "ComplexImageComponent", "PHASE"),
        mark_as_ge_phase_image,
    ],
    ids=["P", "PHASE MAP", "ComplexImageComponent", "GE"],
)
def test_magnitude_is_used_where_phase_images_share_its_series(tmp_path: Path, mark: Callable[[Dataset], None]) -> None:
    for path in MockStudy(PHANTOM).write(tmp_path / "magnitude"):
        header = dcmread(path)
        header.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 0)
        header.save_as(path)
    for path in MockStudy(PHANTOM).write(tmp_path / "phase"):
        header = dcmread(path)
        mark(header)
        header.SOPInstanceUID += ".1"
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.PixelData = bytes(len(header.PixelData))
        header.save_as(path)
    (study,), _ = read_studies(tmp_path, tmp_path)
    phases = split_phases(study, MipRecipe())
    np.testing.assert_array_equal(phases.post.read_slice(6), PHANTOM.voxels[1, 6])
    assert reviews(phases.findings) == ()


def test_magnitude_is_used_where_phase_images_share_a_multi_frame_file(tmp_path: Path) -> None:
    doubled = np.repeat(PHANTOM.voxels, 2, axis=0)
    (path,) = MockStudy(breast_phantom(), enhanced=True).write(tmp_path)
    header = dcmread(path)
    frames = list(header.PerFrameFunctionalGroupsSequence)
    for frame in frames:
        kind = Dataset()
        kind.FrameType, kind.ComplexImageComponent = ["ORIGINAL", "PRIMARY", "DYNAMIC", "NONE"], "MAGNITUDE"
        frame.MRImageFrameTypeSequence = [kind]
    copies = []
    for frame in frames:
        copy = Dataset.from_json(frame.to_json())
        copy.MRImageFrameTypeSequence[0].ComplexImageComponent = "PHASE"
        copies.append(copy)
    header.PerFrameFunctionalGroupsSequence = frames + copies
    header.NumberOfFrames = 2 * len(frames)
    header.PixelData = header.PixelData + bytes(len(header.PixelData))
    header.save_as(path)
    (study,), _ = read_studies(tmp_path, tmp_path)
    phases = split_phases(study, MipRecipe())
    np.testing.assert_array_equal(phases.post.read_slice(6), doubled[2, 6])
    assert phases.choice.count == 3
    assert reviews(phases.findings) == ()
