"""Images unlike those that a model was verified on are told by their grey values; like ones are left alone."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from mock_study import MockStudy, breast_phantom
from result_builders import make_contract

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.images.grey_range import MIN_IMAGES, grey_range, unlike_verified
from fcdd_runtime.images.mip_files import find_images, read_image
from fcdd_runtime.score_study import prepare, score_study
from fcdd_runtime.study.read import Study, read_studies
from support import REFERENCE_VARIABLE, assert_review

Image = npt.NDArray[np.uint8]

SPOILT: dict[str, Callable[[Image], Image]] = {
    "inverted": np.invert,
    "far too dark": lambda image: (image // 4).astype(np.uint8),
    "mostly air": lambda image: np.pad(image, ((2 * len(image), 0), (0, 0))),
    "saturated": lambda image: np.where(image > 60, 255, image).astype(np.uint8),
}


def images_like_one(seed: int, count: int) -> list[Image]:
    """Draw half-ellipses of tissue, of a little different size and grey, in front of nothing."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :100]
    drawn = []
    for _ in range(count):
        height, width = random.uniform(40, 60), random.uniform(35, 45)
        inside = ((80 - y) / height) ** 2 + ((x - 50) / width) ** 2 < 1
        grey = random.uniform(70, 90) + random.normal(0, 25, inside.shape)
        drawn.append(np.clip(np.where(inside, grey, random.normal(4, 2, inside.shape)), 0, 255).astype(np.uint8))
    return drawn


def test_images_like_those_of_the_range_are_left_alone() -> None:
    usual = grey_range(images_like_one(1, 40))
    assert usual is not None
    assert usual.images == 40
    assert [words for image in images_like_one(2, 200) if (words := unlike_verified(image, usual))] == []


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_images_that_are_unlike_those_of_the_range_are_found(spoil: Callable[[Image], Image]) -> None:
    usual = grey_range(images_like_one(1, 40))
    assert usual is not None
    assert all(unlike_verified(spoil(image), usual) for image in images_like_one(2, 20))


def test_too_few_images_make_no_range() -> None:
    assert grey_range(images_like_one(1, MIN_IMAGES - 1)) is None
    assert grey_range([]) is None


@pytest.fixture
def study(tmp_path: Path) -> Study:
    MockStudy(breast_phantom()).write(tmp_path)
    (study,), _ = read_studies(tmp_path, tmp_path)
    return study


def test_a_study_whose_images_are_unlike_the_verified_ones_is_put_to_review(study: Study) -> None:
    own = list(prepare(study, make_contract()).images)
    usual = grey_range(own * MIN_IMAGES)
    assert usual is not None
    assert score_study(study, FakeBackend(make_contract(grey=usual))).review == ()
    unlike = replace(usual, black=(0.0, 0.001))
    assert_review(
        score_study(study, FakeBackend(make_contract(grey=unlike))).findings,
        "unlike-verified",
        r"^The image of the right breast is unlike .*: [\d.]+% of it are black, 0\.0% to 0\.1% there\.$",
    )


@pytest.mark.skipif(not os.environ.get(REFERENCE_VARIABLE), reason=f"{REFERENCE_VARIABLE} names no reference data")
def test_held_out_images_of_a_trained_network_are_like_those_that_it_was_calibrated_on() -> None:
    root = Path(os.environ[REFERENCE_VARIABLE]) / "trained_vgg"
    usual = grey_range([read_image(path) for path in find_images(root / "calibration" / "normal")])
    assert usual is not None
    held_out = [read_image(path) for path in find_images(root / "test")]
    assert sum(bool(unlike_verified(image, usual)) for image in held_out) <= 0.02 * len(held_out)
    assert all(unlike_verified(np.invert(image), usual) for image in held_out)
