"""fcdd-export: parse, call one function, map known errors to exit codes."""

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_export.networks.operating_point import read_operating_point
from fcdd_export.repository.report import summary_line
from fcdd_runtime.commands import PathOption, ending_in_order, log_format_option, reporting_errors
from fcdd_runtime.contract import CONTRACT_FILE
from fcdd_runtime.errors import MissingExtraError
from fcdd_runtime.log_lines import EventLog

LOG = EventLog("fcdd_export")
OPTIONS_OF_A_BUILD = {"snapshot", "target", "repo", "keep_versions", "version_compatible", "hardware_compatible"}
OPTIONS_OF_A_THRESHOLD = {"snapshot", "operating_point", "repo", "keep_versions"}
EXPORT_PACKAGES = {"torch", "onnx", "onnxruntime", "onnxscript", "rich", "tomli"}


@click.command(context_settings={"show_default": True})
@click.argument("snapshot", required=False, type=PathOption())
@click.option("--precision", "precisions", multiple=True, type=click.Choice([*PRECISIONS]), default=["fp16"])
@click.option(
    "--normal-images", type=PathOption(), help="Training normals: mean and std are theirs, and INT8's scales."
)
@click.option("--mean", help="Mean of the training normals' pixels (0..1): one number, or three with commas.")
@click.option("--std", help="Standard deviation of the same, likewise.")
@click.option("--calibration-images", type=PathOption(), help="MIP images, at any depth, that INT8 is calibrated on.")
@click.option(
    "--int8-method", type=click.Choice(["fast", "accurate"]), default="fast", help="Seconds, or minutes a network."
)
@click.option(
    "--verify-images",
    type=PathOption(),
    help="MIP images to verify on, in folders `normal` and `anomalous` for the AUC; else drawn ones.",
)
@click.option(
    "--verify-references",
    type=PathOption(),
    metavar="CSV",
    help="What a network of two inputs compares the verify images with: a CSV file with the columns image,reference, "
    "as for fcdd-score, or one image; else each image's neighbour.",
)
@click.option("--recipe", type=PathOption(), help="TOML file: how DICOM studies become MIP images.")
@click.option("--operating-point", type=PathOption(), help="JSON file: threshold, sensitivity, source.")
@click.option("--accept-drift", metavar="REASON", help="Publish beyond the limits, with the reason in the contract.")
@click.option(
    "--repo",
    type=PathOption(),
    show_default="triton_repo; for a model's folder the repository that it lies in",
    help="Triton model repository.",
)
@click.option("--name", default="fcdd", help="Models are named NAME_PRECISION.")
@click.option("--keep-versions", type=click.IntRange(1), default=3, help="Versions of a model that stay.")
@click.option(
    "--target",
    type=click.Choice(["auto", "tensorrt", "tensorrt-rtx", "onnxruntime", "python"]),
    default="auto",
    help="TensorRT engine, or Triton's ONNX Runtime or Python backend; auto: TensorRT where it and a GPU are, else "
    "Python, which every Triton has.",
)
@click.option("--version-compatible", is_flag=True, help="Let later releases of TensorRT load the engine.")
@click.option("--hardware-compatible", is_flag=True, help="Build for all GPUs from Ampere on, not this one alone.")
@click.option("--max-batch-size", type=click.IntRange(1, 1024), default=32)
@log_format_option
@click.pass_context
@reporting_errors
def main(context: click.Context, /, snapshot: Path | None, **options: Any) -> None:
    """Turn SNAPSHOT, a folder with snapshot.pt and config.txt, into verified models in a Triton model repository.

    Without SNAPSHOT the network trained on drawn phantoms is exported, from a checkout of this project. If SNAPSHOT is
    an exported model's folder, its TensorRT engine is built, or with --operating-point its threshold set; that needs
    no PyTorch. Research use only.
    """
    command = shlex.join(["fcdd-export", *sys.argv[1:]])
    started = time.monotonic()
    LOG.info("export started")
    with ending_in_order():
        if snapshot is not None and (snapshot / CONTRACT_FILE).is_file():
            threshold = options["operating_point"] is not None
            _check_options(context, OPTIONS_OF_A_THRESHOLD if threshold else OPTIONS_OF_A_BUILD)
            lines = (_set_threshold if threshold else _rebuild_engine)(snapshot, command, options)
        else:
            lines = _export_snapshot(snapshot, command, options)
        LOG.info("export ended", models=len(lines), seconds=round(time.monotonic() - started, 3))
        for line in lines:
            click.echo(line)


def _check_options(context: click.Context, taken: set[str]) -> None:
    """Refuse options that would change a model's folder otherwise: the model is as it was verified."""
    given = [
        f"--{name.removesuffix('s').replace('_', '-')}" if name == "precisions" else f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in taken and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(sorted(given))} cannot change a model that was exported"
            + (" together with --operating-point" if taken is OPTIONS_OF_A_THRESHOLD else "")
            + "; export the snapshot again"
        )


def _rebuild_engine(folder: Path, command: str, options: dict[str, Any]) -> list[str]:
    # Imported on demand: an appliance builds engines without the packages that exporting needs.
    from fcdd_export.engine.model import EngineOptions  # noqa: PLC0415
    from fcdd_export.rebuild import RebuildRequest, rebuild  # noqa: PLC0415

    engines = EngineOptions(options["version_compatible"], options["hardware_compatible"])
    request = RebuildRequest(folder, options["target"], engines, options["repo"], options["keep_versions"], command)
    return [summary_line(*rebuild(request))]


def _set_threshold(folder: Path, command: str, options: dict[str, Any]) -> list[str]:
    from fcdd_export.rebuild import set_operating_point  # noqa: PLC0415

    point = read_operating_point(options["operating_point"])
    return [summary_line(*set_operating_point(folder, point, options["repo"], options["keep_versions"], command))]


def _export_snapshot(snapshot: Path | None, command: str, options: dict[str, Any]) -> list[str]:
    try:
        from fcdd_export.convert import export_models  # noqa: PLC0415
        from fcdd_export.request import request_of  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in EXPORT_PACKAGES:
            raise
        raise MissingExtraError(
            f"fcdd-export needs {error.name}, which is not installed: pip install 'fcdd-edge[export]'"
        ) from error
    return [summary_line(model, path) for model, path in export_models(request_of(snapshot, command, options))]
