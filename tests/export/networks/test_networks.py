"""The networks that the paper compares, as served: score and map by the published formulas, in torch and in ONNX."""

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from fcdd_export.gate.drawn import drawn_images, extreme_images
from fcdd_export.gate.drift import Inputs, Outputs
from fcdd_export.gate.half_simulation import half_simulation
from fcdd_export.gate.outputs import onnxruntime_outputs, torch_outputs
from fcdd_export.graphs.fp16 import fp16_from_onnx, with_half_nodes
from fcdd_export.graphs.onnx_graph import checked, onnx_from_network
from fcdd_export.networks import fcdd_ref
from fcdd_export.networks.fcdd_ref import FcddRefNetwork
from fcdd_export.networks.grad_cam import HscHead
from fcdd_export.networks.hsc_bce import BceNetwork, HscNetwork
from fcdd_export.networks.published import PublishedNetwork
from fcdd_export.networks.served import ServedNetwork
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.errors import SnapshotError
from rounding import assert_equal_but_for_rounding, rounding_limits
from support import WriteSnapshot

MEAN, STD = [0.2] * 3, [0.1] * 3
OBJECTIVES = {
    "CNN224_CROP": ["hsc"],
    "VGG_BCE_CROP": ["bce"],
    "FCDD_REF_CNN224_VGG_NOPT": ["fcddrefs", "fcddrefs_symmetric"],
}
CASES = [(net, objective) for net, objectives in OBJECTIVES.items() for objective in objectives]


Case = tuple[PublishedNetwork, str, onnx.ModelProto]
"""The published network, its objective, and the graph that is exported of it."""


@pytest.fixture(scope="module", autouse=True)
def narrow_classifier() -> Iterator[None]:
    """VGG's hidden layers hold 120 of FCDD_REF's 134 million weights: a few values say as much here."""
    patch = pytest.MonkeyPatch()
    patch.setattr(fcdd_ref, "HIDDEN", 16)
    yield
    patch.undo()


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[1])
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, write_snapshot: WriteSnapshot
) -> Case:
    net, objective = request.param
    snapshot = load_snapshot(write_snapshot(tmp_path_factory.mktemp("net"), net=net, objective=objective))
    served = snapshot.network.served(snapshot.objective, MEAN, STD)
    return snapshot.network, objective, onnx_from_network(served)


def inputs_of(network: nn.Module) -> Inputs:
    images = np.concatenate([drawn_images(2), extreme_images()[[0, 3]]])
    if isinstance(network, FcddRefNetwork):
        return {"mip": images, "reference": drawn_images(4, seed=9)}
    return {"mip": images}


def normalised(images: npt.NDArray[np.uint8]) -> Tensor:
    pixels = torch.from_numpy(images).double().repeat(1, 3, 1, 1) / 255
    return (pixels - MEAN[0]) / STD[0]


def huber(difference: Tensor) -> Tensor:
    return (difference.square() + 1).sqrt() - 1


def by_autograd(network: HscNetwork, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Score, and Grad-CAM as in the textbook: the gradient's mean over the cells weighs the channels."""
    features = network.features(normalised(inputs["mip"])).detach().requires_grad_()
    pooled = network.features_n[1:](features)
    target = network.lin(pooled) if isinstance(network, BceNetwork) else huber(pooled.norm(dim=1, keepdim=True))
    [gradient] = torch.autograd.grad(target.sum(), features)
    weighted = gradient.mean((2, 3), keepdim=True) * features
    score = target.sigmoid() if isinstance(network, BceNetwork) else target
    return score, functional.relu(weighted.sum(1, keepdim=True))


def by_comparison(network: FcddRefNetwork, objective: str, inputs: Inputs) -> tuple[Tensor, Tensor]:
    (found, found_other), (own, expected) = network(*(normalised(images) for images in inputs.values()))
    maps = huber(expected[:, :, None, None] - found).mean(1, keepdim=True)
    if objective == "fcddrefs_symmetric":
        maps = maps + huber(own[:, :, None, None] - found_other).mean(1, keepdim=True)
    return maps.mean((2, 3)), maps


def published_outputs(network: nn.Module, objective: str, inputs: Inputs) -> Outputs:
    """What the published code computes, in float64 and with batch norm apart."""
    network.double().eval()
    if isinstance(network, FcddRefNetwork):
        scores, maps = by_comparison(network, objective, inputs)
    else:
        assert isinstance(network, HscNetwork)
        scores, maps = by_autograd(network, inputs)
    network.float()
    return Outputs(scores[:, 0].detach().float().numpy(), maps[:, 0].detach().float().numpy())


def test_the_graph_computes_the_published_score_and_map(case: Case) -> None:
    network, objective, graph = case
    inputs = inputs_of(network)
    expected = published_outputs(network, objective, inputs)
    outputs = onnxruntime_outputs(graph, inputs)
    assert expected.maps.max() > 0
    assert_equal_but_for_rounding(outputs, expected, network.served(objective, MEAN, STD), inputs)


def test_torch_tells_what_grad_cam_cuts_off(case: Case) -> None:
    network, objective, _ = case
    inputs = inputs_of(network)
    outputs = torch_outputs(network.served(objective, MEAN, STD), inputs)
    assert (outputs.uncut is not None) == isinstance(network, HscNetwork)
    if outputs.uncut is not None:
        np.testing.assert_array_equal(np.maximum(outputs.uncut, 0), outputs.maps)
        assert objective == "hsc" or outputs.uncut.min() < 0


def test_the_graph_answers_what_torch_answers(case: Case) -> None:
    network, objective, graph = case
    inputs = inputs_of(network)
    served = network.served(objective, MEAN, STD)
    outputs, expected = onnxruntime_outputs(graph, inputs), torch_outputs(served, inputs)
    assert_equal_but_for_rounding(outputs, expected, served, inputs)


def with_another_epsilon(network: PublishedNetwork, objective: str) -> ServedNetwork:
    changed = copy.deepcopy(network)
    for layer in changed.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-3
    return changed.served(objective, MEAN, STD)


def with_another_padding(network: PublishedNetwork, objective: str) -> ServedNetwork:
    served = network.served(objective, MEAN, STD)
    first = served.trunk[0]
    assert isinstance(first, nn.Conv2d)
    first.padding_mode = "replicate"
    return served


def with_another_mean(network: PublishedNetwork, objective: str) -> ServedNetwork:
    return network.served(objective, [mean + 1e-3 for mean in MEAN], STD)


@pytest.mark.parametrize("fault", [with_another_epsilon, with_another_padding, with_another_mean])
def test_rounding_is_no_excuse_for_a_fault(fault: Callable[[PublishedNetwork, str], ServedNetwork], case: Case) -> None:
    network, objective, _ = case
    inputs, served = inputs_of(network), network.served(objective, MEAN, STD)
    found, expected = (torch_outputs(way, inputs) for way in (fault(network, objective), served))
    with pytest.raises(AssertionError):
        assert_equal_but_for_rounding(found, expected, served, inputs)


def test_the_inputs_are_grey_images_under_their_names(case: Case) -> None:
    network, _, graph = case
    for value, name in zip(graph.graph.input, inputs_of(network), strict=True):
        shape = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert (value.name, value.type.tensor_type.elem_type) == (name, TensorProto.UINT8)
        assert shape == ["batch", 1, 224, 224]


def test_every_node_has_a_name_of_its_own(case: Case) -> None:
    names = [node.name for node in case[2].graph.node]
    assert len(set(names)) == len(names)


def test_fp16_halves_the_trunks_alone_and_casts_nothing_twice(
    case: Case,
) -> None:
    network, _, graph = case
    half = fp16_from_onnx(graph)
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*half.graph.value_info, *half.graph.output)}
    kinds |= {weight.name: weight.data_type for weight in half.graph.initializer}
    casts = [node for node in half.graph.node if node.op_type == "Cast" and node.name.endswith(("fp16", "fp32"))]
    for node in half.graph.node:
        types = {kinds[name] for name in (*node.input, *node.output) if name in kinds} - {TensorProto.INT64}
        if node.name.startswith(("trunk.", "reference_trunk.")):
            assert types == {TensorProto.FLOAT16}, node.name
        elif node not in casts:
            assert TensorProto.FLOAT16 not in types, node.name
    trunks = 2 if isinstance(network, FcddRefNetwork) else 1
    assert len(casts) == 2 * trunks  # one into each trunk, one out of it
    expected = onnxruntime_outputs(graph, inputs_of(network))
    outputs = onnxruntime_outputs(half, inputs_of(network))
    np.testing.assert_allclose(outputs.scores, expected.scores, rtol=1e-2)


def test_a_symmetric_comparison_does_not_care_which_image_is_the_reference(
    tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    net = "FCDD_REF_CNN224_VGG_NOPT"
    network = load_snapshot(write_snapshot(tmp_path, net=net, objective="fcddrefs")).network
    images, others = drawn_images(2), drawn_images(2, seed=9)
    inputs = {"mip": images, "reference": others}
    for objective, equal in (("fcddrefs_symmetric", True), ("fcddrefs", False)):
        served = network.served(objective, MEAN, STD)
        compared = torch_outputs(served, inputs).scores
        swapped = torch_outputs(served, {"mip": others, "reference": images}).scores
        limits, _ = rounding_limits(served, inputs)
        assert bool((np.abs(compared - swapped) < limits).all()) == equal


def test_the_hsc_score_keeps_the_digits_of_small_features() -> None:
    features = torch.full((1, 512, 28, 28), 1e-6)
    score, _ = HscHead()(features)
    assert float(score) == pytest.approx(512e-12 / 2, rel=1e-5)  # sqrt(s + 1) - 1 is s / 2 for small s


@pytest.mark.parametrize("net", ["CNN224_CROP", "VGG_BCE_CROP"])
@pytest.mark.parametrize("name", ["features.4.weight", "features_n.0.1.running_mean"])
def test_a_parameter_that_is_listed_with_two_values_is_refused(
    net: str, name: str, tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    folder = write_snapshot(tmp_path, net=net, objective=OBJECTIVES[net][0])
    document = torch.load(folder / "snapshot.pt", weights_only=True)
    changed = document["net"][name].clone()
    changed.view(-1)[0] += 1
    document["net"][name] = changed
    torch.save(document, folder / "snapshot.pt")
    with pytest.raises(SnapshotError, match=f"{name} are one parameter of {net} and differ"):
        load_snapshot(folder)


@pytest.mark.parametrize(
    ("net", "objective", "taken"),
    [
        ("CNN224_CROP", "fcdd", "'hsc'"),
        ("VGG_BCE_CROP", "hsc", "'bce'"),
        ("FCDD_REF_CNN224_VGG_NOPT", "fcdd", "'fcddrefs' or 'fcddrefs_symmetric'"),
    ],
)
def test_an_objective_that_does_not_go_with_the_network_is_refused(
    net: str, objective: str, taken: str, tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    folder = write_snapshot(tmp_path)
    (folder / "config.txt").write_text(json.dumps({"net": net, "objective": objective}))
    with pytest.raises(SnapshotError, match=f"the objective '{objective}'; {net} is trained with {taken}"):
        load_snapshot(folder)


def small_graph() -> onnx.ModelProto:
    """a = x + w; b = relu(a); c = b * w; d = b + c: the weight and `b` are used inside and outside of {a, b}."""
    nodes = [
        helper.make_node("Add", ["x", "w"], ["a"], name="a"),
        helper.make_node("Relu", ["a"], ["b"], name="b"),
        helper.make_node("Mul", ["b", "w"], ["c"], name="c"),
        helper.make_node("Add", ["b", "c"], ["d"], name="d"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "d")]
    weight = numpy_helper.from_array(np.array([0.1, -0.2], np.float32), "w")
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], [weight])
    return checked(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))


def test_a_tensor_that_several_fp32_nodes_use_leaves_the_half_nodes_once_and_a_shared_weight_is_kept_exact() -> None:
    half = with_half_nodes(small_graph(), {"a", "b"})
    assert [node.name for node in half.graph.node] == ["x.to_fp16", "a", "b", "b.to_fp32", "c", "d"]
    kinds = {weight.name: weight.data_type for weight in half.graph.initializer}
    assert kinds == {"w": TensorProto.FLOAT, "w_fp16": TensorProto.FLOAT16}
    assert [list(node.input) for node in half.graph.node if node.name in {"a", "c"}] == [
        ["x_fp16", "w_fp16"],
        ["b_fp32", "w"],
    ]


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_converted_graph_does_not_hold_the_weights_that_it_replaced() -> None:
    weight = numpy_helper.from_array(np.ones((100, 250_000), np.float32), "w")
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 100])]
    ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 250_000]))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="a"), helper.make_node("Relu", ["a"], ["y"], name="y")]
    model = helper.make_model(
        helper.make_graph(nodes, "large", ends[:1], ends[1:], [weight]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    del weight
    checked(model)
    before = resident_mb()
    half = with_half_nodes(model, {"a"})
    halved = resident_mb()
    simulated = half_simulation(half)
    assert half.graph.initializer[0].data_type == TensorProto.FLOAT16
    assert halved - before < 75  # 50 MB in half, not 100 MB of FP32 beside them
    assert resident_mb() - halved < 125
    assert simulated.graph.initializer[0].data_type == TensorProto.FLOAT
