"""fcdd-bench: parse, call one function, map known errors to exit codes."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from fcdd_benchmarks.drift.find import find_drift
from fcdd_benchmarks.drift.page import drift_page
from fcdd_benchmarks.drift.report import DriftOptions
from fcdd_benchmarks.kinds import read_report
from fcdd_benchmarks.report.page import write_report
from fcdd_runtime.commands import PathOption, ending_in_order, reporting_errors
from fcdd_runtime.errors import GateError, MissingExtraError
from fcdd_runtime.files import replaced_file

FOLDER = PathOption(file_okay=False)
PRECISIONS = ("fp32", "fp16", "int8")
SYNTAXES = ("native", "rle", "jpeg-lossless", "jpeg-ls", "jpeg-2000")
TARGETS = ("python", "onnxruntime", "tensorrt-rtx", "tensorrt")
OUT = click.option("--out", type=FOLDER, default=Path("bench_out"))


@click.group(context_settings={"show_default": True})
def main() -> None:
    """Measure this machine. Every figure comes with what it was measured on and against."""


@main.command()
@click.option("--slices", type=click.IntRange(8, 1000), default=160, help="Slices a phase.")
@click.option("--size", type=click.IntRange(64, 1024), default=448, help="Rows and columns.")
@click.option("--phases", type=click.IntRange(2, 12), default=2, help="Phases on disk; two are used.")
@click.option("--transfer-syntax", type=click.Choice(SYNTAXES), default="native")
@click.option("--repeats", type=click.IntRange(1, 100), default=9, help="Processes a contender.")
@click.option("--model", type=FOLDER, help="Exported model folder: score, too.")
@click.option("--url", help="Model on a Triton server, grpc://HOST:PORT/MODEL: score, too.")
@click.option("--studies", type=click.IntRange(2, 1000), default=8, help="Scored in one call.")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, help="Of scoring.")
@click.option("--dicom", is_flag=True, help="Write DICOM objects, too, as fcdd-score --dicom.")
@OUT
@reporting_errors
def study(model: Path | None, url: str | None, rounds: int, out: Path, **others: Any) -> None:
    """Time studies from files to results by stage, and to the MIP beside SimpleITK and the physical limit."""
    if model is not None and url is not None:
        raise click.UsageError("give --model or --url, not both")
    with _measuring("bench"):
        from fcdd_benchmarks.study.measure import measure_studies  # noqa: PLC0415
        from fcdd_benchmarks.study.page import study_page  # noqa: PLC0415
        from fcdd_benchmarks.study.report import StudyOptions  # noqa: PLC0415

        name, scored = None if model is None else model.name, model is not None or url is not None
        options = StudyOptions(**others, model=name, url=url, rounds=rounds if scored else None)
        report = measure_studies(options, model, _command_line())
        click.echo(write_report(report, study_page(report), out))


@main.command()
@click.option("--images", required=True, type=PathOption(), help="Folder with `normal` and `anomalous`.")
@click.option(
    "--model", "models", multiple=True, type=PathOption(), help="Exported model folder; the first is compared with."
)
@click.option("--url", "urls", multiple=True, help="Model on a Triton server: grpc://HOST:PORT/MODEL.")
@click.option("--masks", type=PathOption(), help="Lesion masks, named as the anomalous images; default: IMAGES/masks.")
@click.option("--groups", type=PathOption(), help="CSV file image,group, such as patients; default: IMAGES/groups.csv.")
@click.option("--reference", type=PathOption(), help="For networks that compare two images, as in fcdd-score.")
@click.option(
    "--prevalence", type=click.FloatRange(0, 1, True, True), default=0.02, help="That precision is given for."
)
@click.option("--sensitivity", type=click.FloatRange(0, 1, True), default=0.95, help="Of the proposed operating point.")
@click.option("--resamples", type=click.IntRange(100, 100_000), default=2000, help="Of the bootstrap.")
@click.option(
    "--round-fp16", is_flag=True, help="Run FP16 models of --model with every tensor rounded to half, as GPUs do."
)
@OUT
@reporting_errors
def accuracy(prevalence: float, sensitivity: float, resamples: int, round_fp16: bool, out: Path, **inputs: Any) -> None:
    """Judge models on labelled images, and propose an operating point for `fcdd-export --operating-point`."""
    if not inputs["models"] and not inputs["urls"]:
        raise click.UsageError("give --model or --url")
    with _measuring("bench"):
        from fcdd_benchmarks.accuracy import measure  # noqa: PLC0415
        from fcdd_benchmarks.accuracy.page import accuracy_page  # noqa: PLC0415
        from fcdd_benchmarks.accuracy.report import AccuracyOptions  # noqa: PLC0415

        options = AccuracyOptions(prevalence, sensitivity, resamples, round_fp16)
        report = measure.measure_accuracy(measure.AccuracyInputs(**inputs), options, _command_line())
        click.echo(write_report(report, accuracy_page(report), out))
        measure.write_operating_point(report, out / "operating_point.json")


@main.command()
@click.argument("base", type=PathOption())
@click.argument("new", type=PathOption())
@click.option(
    "--slower-by", type=click.FloatRange(0), default=0.05, help="Allowed change of figures with a unit, share."
)
@click.option(
    "--less-accurate-by",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Allowed change of the others; at least 0.0001.",
)
@OUT
@reporting_errors
def drift(base: Path, new: Path, slower_by: float, less_accurate_by: float, out: Path) -> None:
    """Compare two reports of a kind (report.json, or its folder).

    Ends with 3 if a figure got worse or is gone, or an anomalous image is no longer flagged.
    """
    before, now = read_report(base), read_report(new)
    found = find_drift(before, now, DriftOptions(slower_by, less_accurate_by), _command_line())
    click.echo(write_report(found, drift_page(found, before.report, now.report), out))
    if found.worse:
        raise GateError(f"{len(found.worse)} findings: {'; '.join(found.worse)}")


@main.command()
@click.option("--model", "models", type=FOLDER, multiple=True, help="Exported model folder.")
@click.option("--url", "urls", multiple=True, help="Model on a Triton server, grpc://HOST:PORT/MODEL.")
@click.option("--batch", "batches", type=click.IntRange(1, 1024), multiple=True, default=(1, 2, 4, 8, 16, 32))
@click.option(
    "--concurrency",
    "concurrencies",
    type=click.IntRange(1, 64),
    multiple=True,
    default=(1, 2, 4, 8),
    help="Requests under way at once.",
)
@click.option("--seconds", type=click.FloatRange(0.05, 3600), default=2.0, help="Each point.")
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    help="Poisson arrivals, requests of the smallest batch a second.",
)
@click.option(
    "--p99-limit-ms",
    type=click.FloatRange(0, min_open=True),
    help="Find the highest rate of Poisson arrivals that keeps p99 under it.",
)
@OUT
@reporting_errors
def latency(models: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Time exported models by batch size and concurrency; --model, --url and other options may be repeated."""
    with _measuring("bench"):
        from fcdd_benchmarks.latency.measure import measure_latency  # noqa: PLC0415
        from fcdd_benchmarks.latency.page import latency_page  # noqa: PLC0415
        from fcdd_benchmarks.latency.report import LatencyOptions  # noqa: PLC0415

        names = tuple(folder.name for folder in models)
        report = measure_latency(models, LatencyOptions(models=names, **options), _command_line())
        click.echo(write_report(report, latency_page(report), out))


@main.command()
@click.option("--snapshot", type=FOLDER, help="Default: the phantom-trained one, its images too.")
@click.option("--mean", help="Of the training normals' pixels (0..1), one number or three with commas.")
@click.option("--std", help="As --mean; both, where the snapshot has no normalization.json.")
@click.option("--images", type=FOLDER, help="MIPs to check and time on; default: drawn ones.")
@click.option("--calibration-images", type=FOLDER, help="For INT8; default: drawn ones.")
@click.option("--batch", type=click.IntRange(1, 64), default=8)
@click.option("--repeats", type=click.IntRange(3, 10000), default=20, help="Rounds.")
@click.option("--int8/--no-int8", default=True, help="Whether to make INT8 and let it take part.")
@click.option("--accurate-int8", is_flag=True, help="Let INT8 by the accurate method take part too; minutes to make.")
@click.option("--url", help="Model on a Triton server, grpc://HOST:PORT/MODEL: what a call costs beyond the model.")
@OUT
@reporting_errors
def compare(
    snapshot: Path | None, mean: str | None, std: str | None, url: str | None, out: Path, **others: Any
) -> None:
    """Run a snapshot's network through PyTorch, ONNX Runtime, OpenVINO and ours, in turns, as ratios."""
    with _measuring("bench,export"):
        from fcdd_benchmarks.compare.inputs import read_inputs  # noqa: PLC0415
        from fcdd_benchmarks.compare.measure import measure_comparison  # noqa: PLC0415
        from fcdd_benchmarks.compare.page import compare_page  # noqa: PLC0415

        images = others.pop("images"), others.pop("calibration_images")
        inputs = read_inputs(snapshot, mean, std, images, url)
        report = measure_comparison(inputs, inputs.options(**others), _command_line())
        click.echo(write_report(report, compare_page(report), out))


@main.command()
@click.option("--network", "networks", multiple=True, help="Published class name.  [default: one each architecture]")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), default=PRECISIONS, help="Repeatable."
)
@click.option("--target", type=click.Choice(TARGETS), default="python")
@click.option("--repeats", type=click.IntRange(1, 100), default=1, help="Processes for each network and precision.")
@OUT
@reporting_errors
def export(networks: tuple[str, ...], out: Path, **options: Any) -> None:
    """Export networks of drawn weights, each in a process of its own: time, peak memory and size against limits."""
    with _measuring("bench,export"):
        from fcdd_benchmarks.export_cost.measure import measure_exports, named_networks  # noqa: PLC0415
        from fcdd_benchmarks.export_cost.page import export_page  # noqa: PLC0415
        from fcdd_benchmarks.export_cost.report import ExportOptions  # noqa: PLC0415

        report = measure_exports(ExportOptions(networks=named_networks(networks), **options))
        click.echo(write_report(report, export_page(report), out))


@main.command()
@click.option("--studies", required=True, type=FOLDER, help="Folder with a folder or zip for each study.")
@click.option("--images", required=True, type=FOLDER, help="MIP images that the site trained on, STUDY_R.png or so.")
@click.option("--pairs", type=PathOption(), help="CSV file image,study,side, where names do not tell.")
@OUT
@reporting_errors
def recipe(studies: Path, images: Path, pairs: Path | None, out: Path) -> None:
    """Find how a site made MIP images of its studies, for `fcdd-export --recipe`."""
    with _measuring("bench"):
        from fcdd_benchmarks.recipe.measure import measure_recipe, recipe_toml  # noqa: PLC0415
        from fcdd_benchmarks.recipe.page import recipe_page  # noqa: PLC0415

        report, worst = measure_recipe(studies, images, pairs, _command_line())
        click.echo(write_report(report, recipe_page(report, worst), out))
        with replaced_file(out / "recipe.toml") as path:
            path.write_text(recipe_toml(report), encoding="utf-8")


@contextmanager
def _measuring(extra: str) -> Iterator[None]:
    """Leave in order when ended by a signal, and name the extra to install where a package is missing."""
    try:
        with ending_in_order():
            yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed; pip install 'fcdd-edge[{extra}]'") from error


def _command_line() -> str:
    return shlex.join(["fcdd-bench", *sys.argv[1:]])
