"""Upsampling against the published transposed convolution, computed here by torch."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from fcdd_export.networks.registry import NETWORKS, upsampling_of
from fcdd_runtime.contract import Display, Upsampling
from fcdd_runtime.images.heatmap import display_range, gaussian_kernel, scaled_for_display, upsample, upsampling_matrix


def transposed_convolution(maps: npt.NDArray[np.float32], upsampling: Upsampling) -> npt.NDArray[np.float64]:
    """The published operation in float64: transposed convolution with the outer kernel, cropped by the shift."""
    kernel = torch.from_numpy(gaussian_kernel(upsampling.extent, upsampling.std))
    weight = torch.outer(kernel, kernel)[None, None]
    padding = 224 - 27 * upsampling.jump - 1 - (upsampling.extent % 2 == 0)
    whole = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(maps).double()[:, None], weight, stride=upsampling.jump, output_padding=padding
    )
    crop = (upsampling.extent - 1) // 2
    shift = int(upsampling.shift)
    result: npt.NDArray[np.float64] = whole[:, 0, crop - shift : -crop - shift, crop - shift : -crop - shift].numpy()
    return result


@pytest.mark.parametrize("net", sorted(NETWORKS))
@pytest.mark.parametrize("std", [3.0, 10.0])
def test_the_separable_product_is_the_published_transposed_convolution(net: str, std: float) -> None:
    upsampling = upsampling_of(net, std)
    maps = np.random.default_rng(3).gamma(1, 5, (3, 28, 28)).astype(np.float32)
    expected = transposed_convolution(maps, upsampling)
    assert expected.shape == (3, 224, 224)
    np.testing.assert_allclose(upsample(maps, upsampling, 224), expected, atol=1e-5 * expected.max())


def test_an_even_kernel_doubles_its_centre_and_halves_the_whole() -> None:
    odd, even = gaussian_kernel(5, 2.0), gaussian_kernel(6, 2.0)
    np.testing.assert_allclose(even, np.array([odd[0], odd[1], odd[2], odd[2], odd[3], odd[4]]) / 2)


def test_the_matrix_is_made_once_and_cannot_be_changed() -> None:
    upsampling = upsampling_of("FCDD_CNN224", 10)
    matrix = upsampling_matrix(upsampling, 28, 224)
    assert upsampling_matrix(upsampling, 28, 224) is matrix
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1


def test_display_range_takes_the_smallest_value_that_reaches_the_quantile() -> None:
    low, span = display_range(np.arange(10, 110, dtype=np.float32).reshape(10, 10), 0.97)
    assert (low, low + span) == (10, 106)


def test_scaling_saturates_at_the_quantile_and_starts_at_the_minimum() -> None:
    heatmap = np.array([[2, 4], [6, 100]], np.float32)
    local = scaled_for_display(heatmap, Display(0.75, (0, 1)), "local")
    np.testing.assert_allclose(local, np.array([[0, 0.5], [1, 1]]))
    shared = scaled_for_display(heatmap, Display(0.75, (4.0, 4.0)), "global")
    np.testing.assert_allclose(shared, np.array([[0, 0], [0.5, 1]]))


def test_a_scale_without_span_hides_nothing() -> None:
    heatmap = np.array([[0, 3]], np.float32)
    np.testing.assert_array_equal(scaled_for_display(heatmap, Display(0.97, (0, 0)), "global"), [[0, 1]])
