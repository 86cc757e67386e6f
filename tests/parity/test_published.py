"""The published code's numbers, through every backend that runs on this machine."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fcdd_export.gate.drift import Outputs
from fcdd_export.networks.normals import normal_images_in, normalization_of
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.images.network_input import infer_images, stack_images
from rounding import assert_equal_but_for_rounding
from support import PublishedCase

PROMISED = 1e-4
"""What README says at most: relative for scores, of the largest value for maps and heatmaps."""
MAP_NAMES = {"fcdd": "anomaly_map", "grad_cam": "grad_cam"}
CASES = ["cnn", "vgg", "hsc", "bce", "ref"]


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def case(name: str, request: pytest.FixtureRequest) -> PublishedCase:
    alone = {"cnn": "small_case", "vgg": "vgg_case"}
    found: PublishedCase = (
        request.getfixturevalue(alone[name]) if name in alone else request.getfixturevalue("compared_cases")[name]
    )
    return found


@pytest.fixture(params=["onnxruntime", "triton"])
def backend(name: str, case: PublishedCase, request: pytest.FixtureRequest) -> Iterator[Backend]:
    opened: Backend
    which = "compared_" if name in {"hsc", "bce", "ref"} else ""
    if request.param == "triton":
        opened = open_url(f"{request.getfixturevalue(f'{which}server')}/{name}_fp32")
    else:
        opened = open_folder(request.getfixturevalue(f"{which}repository") / f"{name}_fp32")
    with opened:
        yield opened


def test_scores_maps_and_heatmaps_are_the_published_ones(case: PublishedCase, backend: Backend) -> None:
    scores, maps = infer_images(case.images, backend, case.references)
    expected, snapshot = case.expected, load_snapshot(case.snapshot)
    expected_maps = expected[MAP_NAMES[backend.contract.map_kind]][:, 0]
    network = snapshot.network.served(snapshot.objective, backend.contract.mean, backend.contract.std)
    pixels = [stack_images(images, snapshot.resize) for images in (case.images, case.references) if images is not None]
    inputs = dict(zip(network.inputs, pixels, strict=True))
    assert_equal_but_for_rounding(Outputs(scores, maps), Outputs(expected["score"], expected_maps), network, inputs)
    np.testing.assert_allclose(scores, expected["score"], rtol=PROMISED)
    np.testing.assert_allclose(maps, expected_maps, atol=PROMISED * expected_maps.max())
    if "heatmap" not in expected:
        return  # the published code upsamples no Grad-CAM
    heatmaps = upsample(maps, backend.contract.upsampling, backend.contract.resize.size)
    np.testing.assert_allclose(heatmaps, expected["heatmap"][:, 0], atol=PROMISED * expected["heatmap"].max())


def test_mean_and_std_of_the_training_normals_are_the_published_ones(case: PublishedCase) -> None:
    normalization = normalization_of(normal_images_in(case.normal_images))
    np.testing.assert_allclose(normalization.mean, case.expected["mean"], atol=1e-6)
    np.testing.assert_allclose(normalization.std, case.expected["std"], atol=1e-6)


def test_the_network_gets_the_published_input_to_the_last_bit(case: PublishedCase) -> None:
    snapshot = load_snapshot(case.snapshot)
    mean, std = case.expected["mean"].tolist(), case.expected["std"].tolist()
    network = snapshot.network.served(snapshot.objective, mean, std)
    tensor = network.normalised(torch.from_numpy(stack_images(case.images[:1], snapshot.resize)))
    np.testing.assert_array_equal(tensor.numpy().repeat(3, axis=1), case.expected["input_first"])
