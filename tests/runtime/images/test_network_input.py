from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from result_builders import make_contract

from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.contract import Resize
from fcdd_runtime.errors import ImageError
from fcdd_runtime.images.network_input import GreyImage, image_position, infer_images, resize_image, stack_images

SQUASH = Resize("squash", 224, 224)
CROP = Resize("shorter_side_center_crop", 224, 248)


def images(count: int) -> list[GreyImage]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (100 + index, 80), np.uint8) for index in range(count)]


@pytest.mark.parametrize(("count", "batches"), [(1, [1]), (32, [32]), (70, [32, 32, 6])])
def test_images_are_scored_in_batches_of_the_contracts_size(count: int, batches: list[int]) -> None:
    backend = FakeBackend(make_contract(max_batch_size=32))
    scores, maps = infer_images(images(count), backend)
    assert backend.batch_sizes == batches
    assert (scores.shape, maps.shape) == ((count,), (count, 28, 28))


def test_a_batch_is_contiguous_grey_and_in_order() -> None:
    batch = stack_images(images(3), SQUASH)
    assert (batch.shape, batch.flags.c_contiguous) == ((3, 1, 224, 224), True)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch[2, 0], resize_image(images(3)[2], SQUASH))


def test_resizing_is_pillows_bilinear_filter_on_rgb_as_in_the_published_loader() -> None:
    image = images(1)[0]
    rgb = Image.fromarray(image).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_image(image, SQUASH), np.asarray(rgb)[..., 0])


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (248, 248), (60, 61)])
def test_the_centre_crop_comes_after_the_shorter_side(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    scale = 248 / min(shape)
    height, width = (248 if side == min(shape) else int(scale * side) for side in shape)
    whole = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    top, left = round((height - 224) / 2), round((width - 224) / 2)
    np.testing.assert_array_equal(resize_image(image, CROP), whole[top : top + 224, left : left + 224])


@pytest.mark.parametrize("resize", [SQUASH, CROP], ids=["squash", "crop"])
@pytest.mark.parametrize("shape", [(448, 448), (500, 300), (300, 500)])
def test_a_network_pixel_leads_back_to_where_it_came_from(resize: Resize, shape: tuple[int, int]) -> None:
    rows, columns = np.indices(shape)
    ramps = [(ramp * 255.0 / ramp.max()).astype(np.uint8) for ramp in (rows, columns)]
    for pixel in ((20, 30), (112, 112), (200, 180)):
        position = image_position(pixel, shape, resize)
        for ramp, place, side in zip(ramps, position, shape, strict=True):
            assert int(resize_image(ramp, resize)[pixel]) == pytest.approx(place * 255 / (side - 1), abs=1.5)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_grey_8_bit_image_is_refused(image: npt.NDArray[Any]) -> None:
    with pytest.raises(ImageError, match="uint8"):
        resize_image(image, SQUASH)


def test_a_reference_image_is_asked_for_where_the_network_takes_one_and_only_there() -> None:
    two = FakeBackend(make_contract(inputs=("mip", "reference")))
    with pytest.raises(ImageError, match="one reference image"):
        infer_images(images(2), two)
    with pytest.raises(ImageError, match="takes no reference"):
        infer_images(images(2), FakeBackend(make_contract()), references=images(2))
    assert len(infer_images(images(2), two, references=images(2))[0]) == 2
