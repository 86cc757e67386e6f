"""Train FCDD_CNN224 on drawn breast images with the FCDD loss, and write it as the published code writes snapshots.

Balancing is that of the published semi-supervised training (`supervise_mode` "other"): every normal image once an epoch
and as many anomalous ones, drawn once with replacement. The loss is the published one for images whose anomalies are
known pixel by pixel (Liznerski et al., ICLR 2021, section 3.3), since a drawing knows them: with the pseudo-Huber map A
and the mask M of the lesion, mean(A (1 - M)) - log(1 - exp(-mean(A M))), the latter for anomalous images only. Without
masks, the network learned half as much of small lesions (ROC AUC 0.94 instead of 0.96 at validation).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fcdd_export.networks.recipe import recipe_text
from fcdd_export.networks.registry import published_network
from fcdd_export.networks.served import pseudo_huber
from phantom.dataset import RECIPE

NET = "FCDD_CNN224"


@dataclass(frozen=True)
class TrainingOptions:
    """What the training was run with; recorded in the snapshot's config.txt."""

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 2e-3
    """Of Adam, in the first step; it falls to 0 along a cosine."""
    weight_decay: float = 1e-4
    averaging: float = 0.99
    """What is kept is a running mean of the network's weights, with this share of the former mean in each step."""
    seed: int = 0


@dataclass(frozen=True)
class Statistics:
    """Normalisation of pixels scaled to 0..1; the three channels of a grey image are equal."""

    mean: float
    std: float
    """With n - 1."""


@dataclass(frozen=True)
class _Data:
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.float32]
    statistics: Statistics


def train(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.bool_],
    masks: npt.NDArray[np.bool_],
    options: TrainingOptions,
) -> nn.Module:
    """Train a network from random weights.

    The same input gives the same weights on one machine with one PyTorch build.

    Parameters
    ----------
    images : uint8 (N, 1, 224, 224)
    labels : bool (N,), True is anomalous
    masks : bool (N, 28, 28), where the map lies on a lesion
    """
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True)
    rng = np.random.default_rng(options.seed)
    network = published_network(NET)
    data = _Data(images, masks.astype(np.float32), pixel_statistics(images[~labels]))
    optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    chosen = balanced(labels, rng)
    steps = options.epochs * (len(chosen) // options.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    mean = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(options.averaging), use_buffers=True)  # type: ignore[no-untyped-call]
    network.train()
    for epoch in range(options.epochs):
        losses = []
        # The last partial batch is left out, as it would upset batch norm.
        for batch in rng.permutation(chosen)[: steps // options.epochs * options.batch_size].reshape(
            -1, options.batch_size
        ):
            images, lesions = data.images[batch], data.masks[batch]
            # A mirrored breast is one of the other side.
            mirrored = rng.random(options.batch_size) < 0.5
            images[mirrored], lesions[mirrored] = images[mirrored][..., ::-1], lesions[mirrored][..., ::-1]
            loss = fcdd_loss(network(normalised(images, data.statistics)), torch.from_numpy(lesions))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            mean.update_parameters(network)
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {options.epochs}: loss {np.mean(losses):.4f}", flush=True)
    averaged: nn.Module = mean.module
    return averaged.eval()


def pixel_statistics(normals: npt.NDArray[np.uint8]) -> Statistics:
    """Return mean and standard deviation (n - 1) over all pixels of the normal images, scaled to 0..1."""
    counts = np.bincount(normals.ravel(), minlength=256)
    values = np.arange(256) / 255
    mean = float(counts @ values / counts.sum())
    return Statistics(mean, float(np.sqrt(counts @ (values - mean) ** 2 / (counts.sum() - 1))))


def balanced(labels: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the indices of all normals, and of as many anomalous examples, drawn with replacement."""
    normals, anomalies = np.flatnonzero(~labels), np.flatnonzero(labels)
    return np.concatenate([normals, rng.choice(anomalies, normals.size, replace=True)])


def fcdd_loss(output: Tensor, masks: Tensor) -> Tensor:
    """Return the mean loss of a batch.

    Parameters
    ----------
    output : float32 (N, 1, 28, 28), the network's answer before the pseudo-Huber norm
    masks : float32 (N, 28, 28), 1 on lesions and 0 elsewhere
    """
    maps = pseudo_huber(output)[:, 0]
    normal = (maps * (1 - masks)).flatten(1).mean(1)
    anomalous = (maps * masks).flatten(1).mean(1)
    # A lesion may lie outside the image. expm1 keeps the digits of 1 - exp(-s) where s is small.
    missed = -torch.log(-torch.expm1(-anomalous) + 1e-31)
    return (normal + torch.where(masks.flatten(1).any(1), missed, torch.zeros_like(missed))).mean()


def normalised(images: npt.NDArray[np.uint8], statistics: Statistics) -> Tensor:
    """Return uint8 (N, 1, 224, 224) as the published loader feeds it: float32 (N, 3, 224, 224)."""
    grey = (torch.from_numpy(images).float() / 255 - statistics.mean) / statistics.std
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def scores_of(network: nn.Module, images: npt.NDArray[np.uint8], statistics: Statistics) -> npt.NDArray[np.float32]:
    """Return the anomaly scores of uint8 (N, 1, 224, 224) images: float32 (N,)."""
    starts = range(0, len(images), 32)
    maps = [pseudo_huber(network(normalised(images[start : start + 32], statistics))) for start in starts]
    return torch.cat(maps).mean((1, 2, 3)).numpy()


def write_snapshot(network: nn.Module, statistics: Statistics, options: TrainingOptions, folder: Path) -> None:
    """Write snapshot.pt, config.txt, normalization.json and recipe.toml; the optimiser's state is left empty."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "net": {name: entry.contiguous() for name, entry in network.state_dict().items()},
        "opt": {"state": {}, "param_groups": []},
        "sched": {"last_epoch": options.epochs},
        "epoch": options.epochs,
    }
    torch.save(state, folder / "snapshot.pt")
    text = repr(network).replace(f"{type(network).__name__}(", f"{NET}(", 1)
    config = json.dumps(_published_config(options))
    (folder / "config.txt").write_text(f"{text}\n\n{config}\n\n", encoding="utf-8")
    channels = {"mean": [statistics.mean] * 3, "std": [statistics.std] * 3}
    (folder / "normalization.json").write_text(json.dumps(channels, indent=2) + "\n", encoding="utf-8")
    (folder / "recipe.toml").write_text(recipe_text(RECIPE), encoding="utf-8")


def _published_config(options: TrainingOptions) -> dict[str, object]:
    """Return the JSON entries of config.txt under the published code's names."""
    return {
        "datadir": "drawn",
        "objective": "fcdd",
        "batch_size": options.batch_size,
        "epochs": options.epochs,
        "workers": 0,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "optimizer_type": "adam",
        "scheduler_type": "lambda",
        "lr_sched_param": [],
        "load": None,
        "dataset": "custom",
        "validation_ratio": 0.0,
        "validation_every_epochs": 1,
        "net": NET,
        "preproc": "none",
        "acc_batches": 1,
        "bias": True,
        "cuda": False,
        "supervise_mode": "other",
        "noise_mode": "imagenet22k",
        "oe_limit": float("inf"),
        "online_supervision": True,
        "nominal_label": 0,
        "blur_heatmaps": True,
        "gauss_std": 10,
        "quantile": 0.97,
        "resdown": 64,
        "normal_class": 0,
    }
