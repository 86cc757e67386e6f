"""Served network -> INT8 ONNX: scales and corrections come from unlabelled images and spots drawn into them."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from fcdd_export.graphs.fp16 import with_half_nodes
from fcdd_export.graphs.onnx_graph import checked, onnx_from_network
from fcdd_export.int8.equalised_trunk import EqualisedTrunk, equalised_trunk
from fcdd_export.int8.last_layer import fitted_last_layer
from fcdd_export.int8.qdq_graph import module_of, with_quantized_trunks
from fcdd_export.int8.quantized_trunk import (
    QuantizedTrunk,
    exact_answers,
    quantized_trunk,
    rounded_weights,
)
from fcdd_export.int8.ranges import Activations, Scale, channel_ranges
from fcdd_export.int8.search import DriftFromFp32, search_graph
from fcdd_export.int8.spots import with_drawn_spots
from fcdd_export.networks.served import ServedNetwork
from fcdd_runtime.errors import ImageError

Method = Literal["fast", "accurate"]
"""`fast`: all convolutions in INT8. `accurate`: calibrated on more images, and a search takes convolutions out of
INT8 where images that were not calibrated on drift too far."""

FEWEST_IMAGES = 16
ADVISED_IMAGES = 300
IMAGES_USED = {"fast": 24, "accurate": 32}
"""As they are; as many again have spots drawn into them."""
HELD_OUT = 3
"""With `accurate` one image in so many is not calibrated on, but judged by."""
RANGE_DRAWS = 4
"""Spots are drawn anew so many times to see how far activations reach, which costs no more than running the trunk."""


def int8_from_network(
    network: ServedNetwork, calibration_images: npt.NDArray[np.uint8], method: Method, activations: Activations
) -> onnx.ModelProto:
    """Quantise the trunk's convolutions; the last layer, the head and the mean stay FP32.

    The same images give the same graph. What is not in INT8 is FP16 in front of the last layer for `s8`, FP32 for
    `u8`.

    Parameters
    ----------
    network : left as it is
    calibration_images : unlabelled or normal, uint8 (N, 1, 224, 224), at least 16
    activations : `u8` for CPUs, `s8` for TensorRT; there the first convolution stays out of INT8, because half the
        codes of its image would be lost (1 % of the multiply-adds)

    Raises
    ------
    ImageError
        If there are fewer than 16 images.
    """
    if len(calibration_images) < FEWEST_IMAGES:
        raise ImageError(
            f"INT8 was given {len(calibration_images)} calibration images; give at least {FEWEST_IMAGES}, "
            f"better {ADVISED_IMAGES}, as --calibration-images"
        )
    if method == "fast":
        calibration = _calibration(calibration_images, IMAGES_USED["fast"])
        return _Quantizer(_with_biases(network), calibration, activations).model(frozenset())
    calibrated, judged = calibrated_and_judged(calibration_images)
    quantizer = _Quantizer(_with_biases(network), _calibration(calibrated, IMAGES_USED["accurate"]), activations)
    plain, spotted = _plain_and_spotted(judged, IMAGES_USED["fast"])
    drift = DriftFromFp32(quantizer.graph, np.concatenate([plain, with_drawn_spots(spotted, seed=1)]))
    return search_graph(quantizer.model, quantizer.convolutions(), drift)


def calibrated_and_judged(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Part the calibration images of `accurate`: those that scales come from, and every third one to judge them by."""
    held_out = np.arange(len(images)) % HELD_OUT == HELD_OUT - 1
    return images[~held_out], images[held_out]


def calibration_advice(count: int) -> str | None:
    """Say what is wrong with a number of calibration images that is enough to go on."""
    if count >= ADVISED_IMAGES:
        return None
    return f"INT8 is calibrated on {count} images; {ADVISED_IMAGES} or more cover more of what patients look like"


@dataclass(frozen=True)
class _Calibration:
    images: npt.NDArray[np.uint8]
    """uint8 (N, 1, 224, 224)."""
    plain: int
    """So many, the first ones, have no spots drawn into them."""
    for_ranges: npt.NDArray[np.uint8]
    """More images than those, uint8 (M, 1, 224, 224)."""


def _calibration(images: npt.NDArray[np.uint8], used: int) -> _Calibration:
    plain, spotted = _plain_and_spotted(images, used)
    drawn = [with_drawn_spots(spotted, seed=2 * draw) for draw in range(1 + RANGE_DRAWS)]
    calibrated = np.concatenate([plain, drawn[0]])
    return _Calibration(calibrated, len(plain), np.concatenate([calibrated, *drawn[1:]]))


def _plain_and_spotted(images: npt.NDArray[np.uint8], used: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Take evenly from all images: those to use as they are, and those to draw spots into; others where enough."""
    if len(images) < 2 * used:
        chosen = _evenly(images, used)
        return chosen, chosen
    chosen = _evenly(images, 2 * used)
    return chosen[::2], chosen[1::2]


def _evenly(images: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    taken: npt.NDArray[np.uint8] = images[np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)]
    return taken


def _with_biases(network: ServedNetwork) -> ServedNetwork:
    """Return a copy in which every convolution has a bias that can be corrected."""
    served = copy.deepcopy(network)
    for layer in served.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(layer.out_channels), requires_grad=False)
    return served


class _Quantizer:
    """Makes a graph with any choice of convolutions in INT8."""

    def __init__(self, network: ServedNetwork, calibration: _Calibration, activations: Activations):
        self.network = network
        self.calibration = calibration
        self.activations = activations
        self.rounds_features = activations == "u8"
        self.graph = onnx_from_network(network)
        self.images = network.normalised(torch.from_numpy(calibration.images))
        with torch.inference_mode():
            self.equalised: dict[str, EqualisedTrunk] = {}
            for name, last in network.trunks.items():
                trunk = network.get_submodule(name)
                assert isinstance(trunk, nn.Sequential)
                self.equalised[name] = equalised_trunk(
                    trunk,
                    channel_ranges(trunk, network.normalised(torch.from_numpy(calibration.for_ranges))),
                    self._input_scale(),
                    activations,
                    with_features=isinstance(network.get_submodule(last), nn.Conv2d),
                )
            self.exact = {name: exact_answers(trunk, self.images) for name, trunk in self.equalised.items()}
            self.weights = {
                name: rounded_weights(trunk, self.images, activations) for name, trunk in self.equalised.items()
            }

    def convolutions(self) -> list[str]:
        """Return the modules that may be in INT8, such as `trunk.3`."""
        return [f"{prefix}.{index}" for prefix, weights in self.weights.items() for index in weights]

    def model(self, kept: frozenset[str]) -> onnx.ModelProto:
        """Quantise all but the modules `kept`."""
        trunks: dict[str, QuantizedTrunk] = {}
        weights: dict[str, Tensor] = {}
        with torch.inference_mode():
            for prefix, name in self.network.trunks.items():
                trunk = trunks[prefix] = quantized_trunk(
                    self.equalised[prefix],
                    {
                        index: weight
                        for index, weight in self.weights[prefix].items()
                        if f"{prefix}.{index}" not in kept
                    },
                    self.images,
                    self.exact[prefix],
                    self.calibration.plain,
                )
                last = self.network.get_submodule(name)
                # Other last layers than convolutions stay as they are.
                if isinstance(last, nn.Conv2d):
                    features = trunk.scale.rounded(trunk.rounded) if self.rounds_features else trunk.rounded
                    weights[f"{name}.weight"], weights[f"{name}.bias"] = fitted_last_layer(last, trunk, features)
        model = checked(with_quantized_trunks(self.graph, trunks, weights, self.rounds_features))
        return model if self.activations == "u8" else with_half_nodes(model, _half_nodes(model, trunks))

    def _input_scale(self) -> Scale | None:
        """Return the scale whose codes are the 8-bit pixels themselves.

        The published normalisation makes black -mean / std, no whole number of steps from 0, where the padding is. The
        nearest whole zero point shifts all pixels by less than half a grey value, which the biases take back.
        """
        if self.activations == "s8" or self.network.channels > 1:
            return None
        mean, std = float(self.network.mean), float(self.network.std)
        return Scale(1 / (255 * std), round(255 * mean), 0, 255)


def _half_nodes(model: onnx.ModelProto, trunks: Mapping[str, QuantizedTrunk]) -> set[str]:
    """Return the nodes in front of the last layer that no convolution in INT8 feeds without another in between."""
    half: set[str] = set()
    for node in model.graph.node:
        prefix, _, name = module_of(node).partition(".")
        if prefix in trunks:
            trunk, index = trunks[prefix], int(name)
            convolution = max(before for before in trunk.convolutions if before <= index)
            if index > trunk.end or trunk.convolutions[convolution].input_scale is None:
                half.add(node.name)
    return half
