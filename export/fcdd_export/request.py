"""The command's options -> an ExportRequest: files are read and checked here, before anything is computed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from fcdd_export.convert import Calibration, ExportRequest
from fcdd_export.engine.model import EngineOptions
from fcdd_export.gate.images import verification_images, warn
from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_export.int8.quantize import calibration_advice
from fcdd_export.networks.normals import images_in, normal_images_in, normalization_of
from fcdd_export.networks.operating_point import read_operating_point
from fcdd_export.networks.recipe import read_recipe
from fcdd_export.networks.registry import NETWORKS
from fcdd_export.networks.snapshot import (
    Normalization,
    Snapshot,
    checked_normalization,
    load_snapshot,
)
from fcdd_runtime.backends.gpu import find_gpu
from fcdd_runtime.backends.tensorrt.library import installed_flavours
from fcdd_runtime.contract import Target
from fcdd_runtime.errors import ImageError, SnapshotError

BUNDLED_SNAPSHOT = Path("examples/phantom/snapshot")
BUNDLED_IMAGES = Path("examples/phantom/mips")
BUNDLED_NORMALS = Path("examples/phantom/normal_mips")
DEFAULT_REPOSITORY = Path("triton_repo")


def request_of(folder: Path | None, command: str, options: Mapping[str, Any]) -> ExportRequest:
    """Read all that the options name.

    Parameters
    ----------
    folder : of the snapshot; None: the one trained on phantoms, in a checkout of this project
    options : as parsed, by name

    Raises
    ------
    SnapshotError, ContractError, ImageError
        If a file is missing or cannot be used.
    """
    bundled = folder is None
    if folder is None:
        folder = BUNDLED_SNAPSHOT
        if not folder.is_dir():
            raise SnapshotError(f"there is no {folder} here; give the folder of a snapshot")
        click.echo(f"No snapshot given: exporting the phantom-trained one in {folder} (drawn data, no patients).")
    trained = load_snapshot(folder)
    normalization = _normalization(trained, folder, options)
    target = _target(options["target"])
    verification = verification_images(
        options["verify_images"] or (BUNDLED_IMAGES if bundled else None),
        options["verify_references"],
        NETWORKS[trained.net].inputs,
    )
    recipe = read_recipe(options["recipe"]) if options["recipe"] else trained.recipe
    point = options["operating_point"]
    operating_point = read_operating_point(point) if point else trained.operating_point
    name, reason = options["name"], options["accept_drift"]
    if not 0 < len(name) <= 200 or not all(
        character.isascii() and (character.isalnum() or character in "_-") for character in name
    ):
        raise click.UsageError("--name takes up to 200 letters, digits, '_' and '-'")
    calibration = _calibration(options, bundled=bundled)
    if reason is not None and not reason.strip():
        raise click.UsageError("--accept-drift needs a reason, which is written into the contract")
    return ExportRequest(
        snapshot=trained,
        normalization=normalization,
        precisions=tuple(dict.fromkeys(options["precisions"])),
        target=target,
        verification=verification,
        recipe=recipe,
        operating_point=operating_point,
        name=name,
        max_batch_size=options["max_batch_size"],
        repository=options["repo"] or DEFAULT_REPOSITORY,
        command=command,
        calibration=calibration,
        engine_options=EngineOptions(options["version_compatible"], options["hardware_compatible"]),
        accept_drift=reason,
        kept_versions=options["keep_versions"],
    )


def _normalization(snapshot: Snapshot, folder: Path, options: Mapping[str, Any]) -> Normalization:
    normal_images, mean, std = (options[name] for name in ("normal_images", "mean", "std"))
    if (mean is None) != (std is None) or (mean is not None and normal_images is not None):
        raise click.UsageError("give --normal-images, or --mean and --std together")
    if mean is not None:
        return checked_normalization(numbers_in(mean), numbers_in(std), "--mean, --std")
    if normal_images is not None:
        return normalization_of(normal_images_in(normal_images))
    if snapshot.normalization is None:
        raise SnapshotError(
            f"{folder} has no normalization.json, and a snapshot holds no mean and std; "
            "give --normal-images (the training normals), or --mean and --std"
        )
    return snapshot.normalization


def numbers_in(text: str) -> tuple[float, ...]:
    """Parse one number, or three with commas; click.UsageError if it is neither."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise click.UsageError(f"{text!r} is not one number, or three with commas") from error


def _calibration(options: Mapping[str, Any], *, bundled: bool) -> Calibration | None:
    """Read the images that INT8 and its like are made of: those named for it, or the training normals."""
    calibrated = [name for name in options["precisions"] if PRECISIONS[name].calibrated]
    if not calibrated:
        return None
    folder = options["calibration_images"] or options["normal_images"] or (BUNDLED_NORMALS if bundled else None)
    if folder is None:
        raise ImageError(
            f"{calibrated[0].upper()} needs images to find its scales with; give --calibration-images (MIPs, "
            "unlabelled or normal), or --normal-images"
        )
    images = images_in(folder)
    if advice := calibration_advice(len(images)):
        warn(advice)
    return Calibration(images, options["int8_method"])


def _target(name: str) -> Target:
    """Return what runs the artefact; `auto` is a TensorRT that is installed if there is a GPU, else Triton's Python."""
    if name != "auto":
        return cast(Target, name)
    flavours = installed_flavours() if find_gpu() else []
    return flavours[0] if flavours else "python"
