"""fcdd-export: parse, call one function, map known errors to exit codes."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from fcdd_export.calibration import images_in, normal_images_in, normalization_of
from fcdd_export.convert import ExportRequest, export_models
from fcdd_export.recipe import read_recipe
from fcdd_export.repository import VerifiedModel
from fcdd_export.snapshot import (
    Normalization,
    Snapshot,
    checked_normalization,
    load_snapshot,
    read_operating_point,
)
from fcdd_runtime.commands import PathOption, ending_in_order, reporting_errors
from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import SnapshotError

BUNDLED_SNAPSHOT = Path("examples/phantom/snapshot")
BUNDLED_IMAGES = Path("examples/phantom/mips")


@click.command(context_settings={"show_default": True})
@click.argument("snapshot", required=False, type=PathOption())
@click.option("--precision", "precisions", multiple=True, type=click.Choice(["fp32", "fp16"]), default=["fp16"])
@click.option("--normal-images", type=PathOption(), help="Training normals: mean and std are theirs.")
@click.option("--mean", help="Mean of the training normals' pixels (0..1): one number, or three with commas.")
@click.option("--std", help="Standard deviation of the same, likewise.")
@click.option("--verify-images", type=PathOption(), help="MIP images to verify on; else drawn ones.")
@click.option("--recipe", type=PathOption(), help="TOML file: how DICOM studies become MIP images.")
@click.option("--operating-point", type=PathOption(), help="JSON file: threshold, sensitivity, source.")
@click.option("--repo", type=PathOption(), default=Path("triton_repo"), help="Triton model repository.")
@click.option("--name", default="fcdd", help="Models are named NAME_PRECISION.")
@click.option(
    "--target",
    type=click.Choice(["auto", "onnxruntime", "python"]),
    default="auto",
    help="Triton backend: ONNX Runtime's own, or Python (auto), which every Triton has.",
)
@click.option("--max-batch-size", type=click.IntRange(1, 1024), default=32)
@reporting_errors
def main(snapshot: Path | None, **options: Any) -> None:
    """Turn SNAPSHOT, a folder with snapshot.pt and config.txt, into verified models in a Triton model repository.

    Without SNAPSHOT the network trained on drawn phantoms is exported, from a checkout of this project.
    Research use only.
    """
    bundled = snapshot is None
    folder = snapshot or _bundled_snapshot()
    trained = load_snapshot(folder)
    verify_images = options["verify_images"] or (BUNDLED_IMAGES if bundled else None)
    request = ExportRequest(
        snapshot=trained,
        normalization=_normalization(trained, folder, options["normal_images"], options["mean"], options["std"]),
        precisions=tuple(dict.fromkeys(options["precisions"])),
        target="python" if options["target"] == "auto" else options["target"],
        verify_images=images_in(verify_images) if verify_images else (),
        recipe=read_recipe(options["recipe"]) if options["recipe"] else MipRecipe(),
        operating_point=(
            read_operating_point(options["operating_point"]) if options["operating_point"] else trained.operating_point
        ),
        name=_model_name(options["name"]),
        max_batch_size=options["max_batch_size"],
        repository=options["repo"],
        command=shlex.join(["fcdd-export", *sys.argv[1:]]),
    )
    with ending_in_order():
        for model, path in export_models(request):
            click.echo(_line(model, path))


def _bundled_snapshot() -> Path:
    if not BUNDLED_SNAPSHOT.is_dir():
        raise SnapshotError(f"there is no {BUNDLED_SNAPSHOT} here; give the folder of a snapshot")
    click.echo(f"No snapshot given: exporting the phantom-trained one in {BUNDLED_SNAPSHOT} (drawn data, no patients).")
    return BUNDLED_SNAPSHOT


def _normalization(
    snapshot: Snapshot, folder: Path, normal_images: Path | None, mean: str | None, std: str | None
) -> Normalization:
    if (mean is None) != (std is None) or (mean is not None and normal_images is not None):
        raise click.UsageError("give --normal-images, or --mean and --std together")
    if mean is not None and std is not None:
        return checked_normalization(_numbers(mean), _numbers(std), "--mean, --std")
    if normal_images is not None:
        return normalization_of(normal_images_in(normal_images))
    if snapshot.normalization is None:
        raise SnapshotError(
            f"{folder} has no normalization.json, and a snapshot holds no mean and std; "
            "give --normal-images (the training normals), or --mean and --std"
        )
    return snapshot.normalization


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise click.UsageError(f"{text!r} is not one number, or three with commas") from error


def _model_name(name: str) -> str:
    if not name or not all(character.isascii() and (character.isalnum() or character in "_-") for character in name):
        raise click.UsageError("--name takes letters, digits, '_' and '-'")
    return name


def _line(model: VerifiedModel, path: Path) -> str:
    contract = model.contract
    drift = max((drift for drift in model.drifts if not drift.extreme), key=lambda drift: drift.score_largest)
    return (
        f"{contract.precision}  {contract.target}  {len(model.artefact) / 1e6:.1f} MB  "
        f"drift: score {drift.score_largest:.1e}, map {drift.map_largest:.1e}  {model.seconds:.1f} s  {path}"
    )
