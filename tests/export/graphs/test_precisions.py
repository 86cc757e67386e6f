"""A precision is a row of `PRECISIONS` and what makes its graph: nothing else of the export has to know it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from fcdd_export.convert import CONVERTERS
from fcdd_export.engine.layers import Layer, check_layers
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_runtime.backends.golden import read_golden
from fcdd_runtime.contract import Precision
from fcdd_runtime.errors import GateError
from support import WriteSnapshot

WITH_A_TOY_PRECISION = """
import json, sys
from dataclasses import replace
import numpy as np
from onnx import numpy_helper
from fcdd_export.graphs.precisions import PRECISIONS, Limits, PrecisionSpec

limits = Limits(score=0.3, score_mean=0.3, rank=None, map=0.3, map_of_set=0.3, auc=None, flips=1.0, extreme=None)
row = {"limits": limits, "golden_limit": 0.25, "trunk_type": "BF16", "largest_activation": 3e38}
changes = json.loads(sys.argv.pop(1))
row |= {"limits": replace(limits, **changes.pop("limits"))}
PRECISIONS["toy"] = PrecisionSpec(**row | changes)

from fcdd_export import convert

def toy_from_source(source, for_tensorrt):
    model = type(source.graph)()
    model.CopyFrom(source.graph)
    for weight in model.graph.initializer:
        if len(weight.dims) == 4:
            bits = numpy_helper.to_array(weight).view(np.uint32) & np.uint32(0xFFFF0000)
            weight.CopyFrom(numpy_helper.from_array(bits.view(np.float32), weight.name))
    if not for_tensorrt:
        model.graph.name += " for CPUs"
    return model

convert.CONVERTERS["toy"] = toy_from_source

from fcdd_export.cli import main
main()
"""


@pytest.fixture
def snapshot(tmp_path: Path, write_snapshot: WriteSnapshot) -> Path:
    return write_snapshot(tmp_path / "snapshot")


def export_toy(
    row: dict[str, Any], *arguments: Any, limits: Mapping[str, float] = MappingProxyType({})
) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own, in which a row was added before the command was loaded."""
    words = [
        json.dumps({**row, "limits": dict(limits)}),
        *map(str, arguments),
        "--precision",
        "toy",
        "--target",
        "onnxruntime",
    ]
    command = [sys.executable, "-c", WITH_A_TOY_PRECISION, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_precision_of_the_contract_has_a_row_and_a_converter() -> None:
    assert set(PRECISIONS) == set(CONVERTERS) == set(get_args(Precision))


def test_a_new_precision_goes_through_options_conversion_gate_and_report(snapshot: Path, tmp_path: Path) -> None:
    done = export_toy({}, snapshot, "--repo", tmp_path / "repo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("toy  onnxruntime")
    folder = tmp_path / "repo" / "fcdd_toy"
    report = json.loads((folder / "export_report.json").read_text())
    assert report["contract"]["precision"] == "toy"
    assert report["limits"]["map_of_set"] == 0.3
    [drift] = [drift for drift in report["drifts"] if not drift["extreme"]]
    # Seven bits of a weight are not twenty-three: the graph is the converter's.
    assert 1e-4 < drift["map_of_set"] < 0.3
    page = (folder / "export_report.md").read_text()
    assert "Extremes have no limit." in page and "3e+38" in page
    assert read_golden(folder).limit == 0.25


def test_the_gate_holds_a_new_precision_by_its_own_limits(snapshot: Path, tmp_path: Path) -> None:
    done = export_toy({}, snapshot, "--repo", tmp_path / "repo", limits={"map_of_set": 0.0})
    assert done.returncode == 3
    assert "Error: toy changes maps, as a share of the set's largest value, by" in done.stderr
    assert not (tmp_path / "repo").exists()


def test_a_new_precision_can_ask_for_images_and_for_a_graph_of_tensorrts_own(snapshot: Path, tmp_path: Path) -> None:
    row = {"calibrated": True, "own_graph_for_tensorrt": True}
    refused = export_toy(row, snapshot, "--repo", tmp_path / "repo")
    assert refused.returncode == 2
    assert "TOY needs images to find its scales with" in refused.stderr
    images = tmp_path / "images"
    images.mkdir()
    for index, image in enumerate(drawn_images(16)[:, 0]):
        Image.fromarray(image.astype(np.uint8)).save(images / f"{index}.png")
    done = export_toy(row, snapshot, "--calibration-images", images, "--repo", tmp_path / "repo")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "repo" / "fcdd_toy"
    assert "## How TOY was made" in (folder / "export_report.md").read_text()
    assert (folder / "1" / "engine_source.onnx").read_bytes() != (folder / "1" / "model.onnx").read_bytes()


def test_an_engine_of_a_new_precision_is_held_to_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRECISIONS, "toy", replace(PRECISIONS["fp16"], trunk_type="BF16"))
    check_layers([convolution("BF16")], "toy")  # type: ignore[arg-type]
    with pytest.raises(GateError, match="answer HALF instead of BF16; toy is not exported"):
        check_layers([convolution("HALF")], "toy")  # type: ignore[arg-type]


def convolution(kind: str) -> Layer:
    return Layer("trunk.0.conv2d", "CONVOLUTION", ("image",), (kind,), ("features",), (kind,))
