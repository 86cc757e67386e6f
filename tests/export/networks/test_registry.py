"""An architecture is a class and its name in the registry: nothing else of the export has to know it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

from fcdd_export.cli import main
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.networks.published import PublishedNetwork
from fcdd_export.networks.registry import NETWORKS
from fcdd_export.networks.served import ServedNetwork
from fcdd_runtime.backends import open_folder
from fcdd_runtime.contract import read_contract
from support import WriteSnapshot


class ToyNetwork(PublishedNetwork):
    """Compares two images with two trunks, and cuts its map off at 0."""

    receptive_field = (8, 12, 2.0)
    objectives = ("toy",)
    inputs = ("mip", "reference")
    map_kind = "grad_cam"

    def __init__(self, bias: bool = True):
        super().__init__(bias)
        self.first, self.second = (nn.Conv2d(3, 4, 8, 8, bias=bias) for _ in range(2))
        self.third, self.fourth = (nn.Conv2d(4, 1, 1, bias=bias) for _ in range(2))

    def served(self, objective: str, mean: Sequence[float], std: Sequence[float]) -> ServedNetwork:
        return ServedToy(self, mean, std)


class ServedToy(ServedNetwork):
    inputs = ("mip", "reference")
    trunks = {"trunk": "end", "other_trunk": "other_end"}  # noqa: RUF012  # a ClassVar of the base
    cuts_below_zero = True

    def __init__(self, network: ToyNetwork, mean: Sequence[float], std: Sequence[float]):
        super().__init__(mean, std)
        assert self.channels == 3
        self.trunk = self.folded_trunk([network.first, nn.ReLU()])
        self.other_trunk = self.folded_trunk([network.second, nn.ReLU()])
        self.end, self.other_end = network.third, network.fourth
        self.eval().requires_grad_(False)

    def forward(self, mip: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        score, uncut = self.uncut(mip, reference)
        return score, uncut.relu()

    def uncut(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        mip, reference = images
        found = self.end(self.trunk(self.normalised(mip)))
        difference = found - self.other_end(self.other_trunk(self.normalised(reference)))
        varying = difference - difference.mean((2, 3), keepdim=True)
        return 1 + difference.square().mean((2, 3)), varying


def test_a_new_architecture_is_exported_in_every_precision(
    tmp_path: Path, write_snapshot: WriteSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS, "TOY", ToyNetwork)
    snapshot = write_snapshot(tmp_path / "snapshot", net="TOY", objective="toy")
    images = tmp_path / "images"
    images.mkdir()
    for index, image in enumerate(drawn_images(16)[:, 0]):
        Image.fromarray(image).save(images / f"{index:02}.png")
    options = ["--mean", "0.1,0.2,0.3", "--std", "0.3", "--calibration-images", images, "--target", "onnxruntime"]
    precisions = [word for name in ("fp32", "fp16", "int8") for word in ("--precision", name)]
    words = [snapshot, *precisions, *options, "--accept-drift", "random weights", "--repo", tmp_path / "repo"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    for precision, share in (("fp32", 1e-4), ("fp16", 1e-2), ("int8", 0.2)):
        folder = tmp_path / "repo" / f"fcdd_{precision}"
        contract = read_contract(folder)
        assert (contract.network, contract.objective, contract.inputs) == ("TOY", "toy", ("mip", "reference"))
        assert (contract.map_kind, contract.upsampling.extent) == ("grad_cam", 12)
        assert "before what is below 0 is cut off" in (folder / "export_report.md").read_text()
        batch = {name: drawn_images(2, seed=seed) for seed, name in enumerate(contract.inputs)}
        network = ToyNetwork()
        network.load_state_dict(torch.load(snapshot / "snapshot.pt", weights_only=True)["net"])
        served = network.served("toy", contract.mean, contract.std)
        expected = [answer.numpy() for answer in served(*(torch.from_numpy(pixels) for pixels in batch.values()))]
        backend = open_folder(folder)
        scores, maps = backend.infer(batch)
        backend.close()
        np.testing.assert_allclose(scores, expected[0][:, 0], rtol=0.1)
        np.testing.assert_allclose(maps, expected[1][:, 0], atol=share * expected[1].max())
        assert (maps == 0).any() and (maps > 0).any()
    report = json.loads((tmp_path / "repo" / "fcdd_fp16" / "export_report.json").read_text())
    assert any("trunk.0" in layer["layer"] for layer in report["layers"])
