"""A VGG snapshot of random weights in the published layout: as fast as a trained one, and as wise as a coin."""

import json
from pathlib import Path

import torch

from fcdd_export.networks.registry import published_network

NET = "FCDD_CNN224_VGG_NOPT"
CONFIG = {"objective": "fcdd", "net": NET, "preproc": "none", "bias": True, "gauss_std": 10, "quantile": 0.97}


def write_random_vgg(folder: Path) -> None:
    """Write snapshot.pt, config.txt and normalization.json; the same weights every time."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = published_network(NET, bias=True)
    document = {"net": network.state_dict(), "opt": {}, "sched": {}, "epoch": 0}
    torch.save(document, folder / "snapshot.pt")
    (folder / "config.txt").write_text(f"{network!r}\n\n{json.dumps(CONFIG)}\n\nrandom weights\n", encoding="utf-8")
    statistics = {"mean": [0.13] * 3, "std": [0.1] * 3}
    (folder / "normalization.json").write_text(json.dumps(statistics), encoding="utf-8")
