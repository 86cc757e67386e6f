"""config.txt + snapshot.pt of the published training code -> Snapshot. Weights only: nothing is unpickled."""

import hashlib
import pickle
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fcdd_export.networks.operating_point import is_finite, read_json, read_operating_point
from fcdd_export.networks.published import PublishedNetwork
from fcdd_export.networks.recipe import read_recipe
from fcdd_export.networks.registry import NETWORKS, published_network
from fcdd_export.networks.served import IMAGE_SIZE
from fcdd_runtime.contract import MipRecipe, OperatingPoint, Resize
from fcdd_runtime.errors import SnapshotError
from fcdd_runtime.outside_text import MAX_BYTES, json_from_outside

CONFIG_FILE = "config.txt"
WEIGHTS_FILE = "snapshot.pt"
NORMALIZATION_FILE = "normalization.json"
OPERATING_POINT_FILE = "operating_point.json"
RECIPE_FILE = "recipe.toml"

_LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""What torch wrote first before it wrote zip archives."""

RESIZES = {
    "none": Resize("squash", IMAGE_SIZE, IMAGE_SIZE),
    "default": Resize("squash", IMAGE_SIZE, IMAGE_SIZE),
    "": Resize("squash", IMAGE_SIZE, IMAGE_SIZE),
    "aug1": Resize("shorter_side_center_crop", IMAGE_SIZE, 248),
}
"""What the published test-time pipelines do, by the training option `preproc`."""


@dataclass(frozen=True)
class Normalization:
    """Statistics of the training normals' pixels, which the published code never stores with a snapshot."""

    mean: tuple[float, ...]
    """Per RGB channel, of pixels scaled to 0..1."""
    std: tuple[float, ...]
    """Per RGB channel, with n - 1; above 0."""


@dataclass(frozen=True)
class Snapshot:
    """A trained network as the published code left it."""

    net: str
    """Class name of the network, a key of `NETWORKS`."""
    network: PublishedNetwork
    """The published network with the snapshot's weights, in evaluation mode, float32."""
    objective: str
    resize: Resize
    gauss_std: float
    """Standard deviation of the heatmap's Gaussian, image pixels."""
    quantile: float
    """Display quantile, in (0, 1]."""
    sha256: str
    """Hash of snapshot.pt."""
    normalization: Normalization | None
    """Contents of normalization.json beside the snapshot, if it is there."""
    operating_point: OperatingPoint | None
    """Contents of operating_point.json beside the snapshot, if it is there."""
    recipe: MipRecipe | None = None
    """Contents of recipe.toml beside the snapshot, if it is there."""


def load_snapshot(folder: Path) -> Snapshot:
    """Read a snapshot folder.

    Raises
    ------
    SnapshotError
        If a file is missing, damaged or holds more than tensors, or the network is none that we take, or its
        weights do not fit it.
    ContractError
        If there is a recipe that cannot be used.
    """
    if not folder.is_dir():
        raise SnapshotError(f"{folder} is no folder; give the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}")
    config = _read_config(folder / CONFIG_FILE)
    weights, point, recipe = (
        _existing(folder / WEIGHTS_FILE),
        folder / OPERATING_POINT_FILE,
        folder / RECIPE_FILE,
    )
    network = _network(config, _read_state_dict(weights))
    preproc = config.get("preproc") or ""
    if not isinstance(preproc, str) or preproc not in RESIZES:
        names = ", ".join(name for name in RESIZES if name)
        raise SnapshotError(f"config.txt has preproc {preproc!r}, which does not resize to 224 pixels; taken: {names}")
    gauss_std, quantile = _positive_number(config, "gauss_std"), _positive_number(config, "quantile")
    if quantile > 1:
        raise SnapshotError(f"config.txt has quantile {quantile}; a number in (0, 1] is needed")
    statistics, normalization = folder / NORMALIZATION_FILE, None
    if statistics.exists():
        document = read_json(statistics)
        mean, std = document.get("mean"), document.get("std")
        if not isinstance(mean, list) or not isinstance(std, list):
            raise SnapshotError(f"{statistics}: give lists `mean` and `std`, one number a channel")
        normalization = checked_normalization(tuple(mean), tuple(std), str(statistics))
    return Snapshot(
        net=config["net"],
        network=network,
        objective=config["objective"],
        resize=RESIZES[preproc],
        gauss_std=gauss_std,
        quantile=quantile,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        normalization=normalization,
        operating_point=read_operating_point(point) if point.exists() else None,
        recipe=read_recipe(recipe) if recipe.exists() else None,
    )


def checked_normalization(mean: tuple[float, ...], std: tuple[float, ...], where: str) -> Normalization:
    """Check statistics given by a user; one number stands for all three channels.

    Raises
    ------
    SnapshotError
        If there are not one or three finite numbers each, a mean is outside 0..1, or a std outside (0, 1].
    """
    mean, std = (values * 3 if len(values) == 1 else values for values in (mean, std))
    numbers = len(mean) == len(std) == 3 and all(is_finite(value) for value in mean + std)
    if not numbers or not all(0 <= value <= 1 for value in mean) or not all(0 < value <= 1 for value in std):
        raise SnapshotError(
            f"{where}: mean and std are one or three numbers each, of pixels scaled to 0..1; "
            "a mean lies in [0, 1], a std in (0, 1]"
        )
    return Normalization(tuple(float(value) for value in mean), tuple(float(value) for value in std))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise SnapshotError(f"{path.parent} has no {path.name}; give a folder as the training code wrote it")
    return path


def _read_config(path: Path) -> dict[str, Any]:
    """Find the one JSON line: the file also holds the network's repr before it and free text after it."""
    if _existing(path).stat().st_size > MAX_BYTES:
        raise SnapshotError(f"{path} has more than {MAX_BYTES >> 20} MB; give the training code's own config.txt")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    config: dict[str, Any] | None = None
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                document = json_from_outside(line)
            except ValueError:
                continue
            if isinstance(document, dict) and isinstance(document.get("net"), str):
                config = document
                break
    if config is None:
        raise SnapshotError(
            f"{path} has no line of JSON with the network's name; give the training code's own config.txt"
        )
    net, objective = config["net"], config.get("objective")
    if net not in NETWORKS:
        raise SnapshotError(f"{path} names the network {net!r}; this release takes {', '.join(NETWORKS)}")
    if objective not in NETWORKS[net].objectives:
        raise SnapshotError(
            f"{path} has the objective {objective!r}; {net} is trained with "
            f"{' or '.join(map(repr, NETWORKS[net].objectives))}"
        )
    return config


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        if file.read(len(_LEGACY_MAGIC)) == _LEGACY_MAGIC:
            raise SnapshotError(f"{path} is in the format of torch < 1.6; save it with torch >= 1.6")
    # Checks the sums that torch writes into its archive and does not check itself: a flipped bit is another network.
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            plain = all(record.compress_type == zipfile.ZIP_STORED for record in records)
            plain = plain and sum(record.file_size for record in records) <= path.stat().st_size
            damaged = archive.testzip() if plain else None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, zlib.error) as error:
        raise SnapshotError(f"{path} is truncated or no torch file; copy it again from the training machine") from error
    if not plain:
        raise SnapshotError(f"{path} holds packed records, which torch never writes; save it with torch.save")
    if damaged is not None:
        raise SnapshotError(f"{path} is damaged ({damaged}); copy it again from the training machine")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SnapshotError(
            f"{path} is damaged or holds more than tensors, and is not opened for safety; save plain state dicts"
        ) from error
    except Exception as error:  # damaged files make torch raise almost anything
        raise SnapshotError(f"{path} is damaged or no torch file; copy it again from the training machine") from error
    weights = document.get("net") if isinstance(document, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise SnapshotError(f"{path} has no state dict under 'net'; give a snapshot of the published training code")
    return weights


def _network(config: dict[str, Any], weights: dict[str, Tensor]) -> PublishedNetwork:
    net = config["net"]
    # Without memory behind its tensors: the weights take their places, and are not there twice.
    with torch.device("meta"):
        network = published_network(net, bias=bool(config.get("bias", True)))
    expected = network.state_dict(keep_vars=True)
    if any(name.startswith("module.") for name in weights):
        raise SnapshotError("the weights are those of a DataParallel wrapper; save them without the prefix 'module.'")
    if missing := sorted(set(expected) - set(weights)):
        raise SnapshotError(f"the weights lack {_listed(missing)} of {net}; config.txt and snapshot.pt must match")
    if extra := sorted(set(weights) - set(expected)):
        raise SnapshotError(f"the weights hold {_listed(extra)}, unknown to {net}; use the matching config.txt")
    for name, tensor in expected.items():
        _check_tensor(name, weights[name], tensor)
    # Some entries are one parameter of the network under several names.
    first: dict[int, str] = {}
    for name, tensor in expected.items():
        other = first.setdefault(id(tensor), name)
        if not torch.equal(weights[name], weights[other]):
            raise SnapshotError(
                f"the weights {other} and {name} are one parameter of {net} and differ; take the snapshot as it was "
                "saved by the training code"
            )
    fitting = {name: weights[name].to(tensor.dtype).contiguous() for name, tensor in expected.items()}
    network.load_state_dict(fitting, assign=True)
    return network.eval()


def _check_tensor(name: str, tensor: Tensor, expected: Tensor) -> None:
    if tensor.shape != expected.shape:
        raise SnapshotError(
            f"the weight {name} has shape {tuple(tensor.shape)} instead of {tuple(expected.shape)}; "
            "config.txt and snapshot.pt must come from the same training"
        )
    plain = tensor.layout == torch.strided and not tensor.is_quantized
    if not plain or tensor.is_floating_point() != expected.is_floating_point() or tensor.is_complex():
        raise SnapshotError(f"the weight {name} is no plain tensor of real numbers; save the network in float32")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise SnapshotError(f"the weight {name} holds NaN or infinite values; train again or take an earlier snapshot")


def _positive_number(config: dict[str, Any], name: str) -> float:
    value = config.get(name)
    if not is_finite(value) or not value > 0:
        raise SnapshotError(f"config.txt has {name} {value!r}; a positive number is needed")
    return float(value)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
