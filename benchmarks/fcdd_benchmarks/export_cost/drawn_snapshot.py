"""Snapshots of drawn random weights in the layout of the published training code, where no trained one is at hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fcdd_export.networks.registry import published_network
from fcdd_export.networks.snapshot import CONFIG_FILE, NORMALIZATION_FILE, WEIGHTS_FILE

SETTINGS: dict[str, Any] = {
    "objective": "fcdd",
    "net": "FCDD_CNN224",
    "preproc": "none",
    "bias": True,
    "oe_limit": float("inf"),
    "gauss_std": 10,
    "quantile": 0.97,
}
"""The entries of a training configuration that matter, and one that only Python's JSON takes."""


def write_drawn_snapshot(folder: Path, changes: Mapping[str, Any], seed: int = 0) -> Path:
    """Write snapshot.pt, config.txt and normalization.json into a folder, made if it is missing, and return it.

    Parameters
    ----------
    changes : to `SETTINGS`: at least `net`, a published class name, and `objective` where the network has another
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**SETTINGS, **changes}
    torch.manual_seed(seed)
    network = published_network(settings["net"], bias=settings["bias"])
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    torch.save({"net": network.state_dict(), "opt": {}, "sched": {}, "epoch": 3}, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(f"{network!r}\n\n{json.dumps(settings)}\n\nfree text\n", encoding="utf-8")
    statistics = json.dumps({"mean": [0.2] * 3, "std": [0.1] * 3})
    (folder / NORMALIZATION_FILE).write_text(statistics, encoding="utf-8")
    return folder
