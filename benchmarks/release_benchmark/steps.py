"""The steps of `make bench`, each of which leaves files that the next ones read, so that any can be repeated alone.

Phantom steps take the network trained on phantoms, on breasts that were drawn for nothing else, at two prevalences; VGG
steps the VGG11 trunk on this machine: accuracy, side by side with other runtimes, latency, and through Triton.
"""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from fcdd_benchmarks.export_cost.drawn_snapshot import write_drawn_snapshot
from fcdd_benchmarks.timing.served import served
from phantom.labelled import FIRST_SEED
from release_benchmark.pages import write_pages
from release_benchmark.setting import RESULTS, Setting, run

PRECISIONS = ("fp32", "fp16", "int8")
EVERY_PRECISION = tuple(word for precision in PRECISIONS for word in ("--precision", precision))
PREVALENCES = {
    "prevalence_50": (500, 500, FIRST_SEED),
    # No study of the other set: the two reports are independent.
    "prevalence_2": (980, 20, FIRST_SEED + 100_000),
}
"""Set of labelled breasts, by its folder: numbers of normal and anomalous ones, first seed."""
RANDOM_WEIGHTS = "FCDD_REFERENCE_DATA is unset, so the VGG network has random weights: for speed only, no accuracy."


def phantom_images(setting: Setting) -> None:
    """Draw 1,000 breasts at 50 % prevalence and 1,000 others at 2 %."""
    for name, (normal, anomalous, seed) in PREVALENCES.items():
        shutil.rmtree(setting.work / name, ignore_errors=True)
        counts = ("--normal", setting.size(normal, 20), "--anomalous", setting.size(anomalous, 6))
        run("python", "-m", "phantom", "labelled", *counts, "--first-seed", str(seed), "--out", setting.work / name)


def phantom_models(setting: Setting) -> None:
    """Export the phantom-trained network."""
    repository = setting.work / "phantom_repository"
    target = ("--target", "python", "--name", "phantom", "--repo", repository)
    run("fcdd-export", "--precision", "fp32", "--precision", "fp16", *target)
    # The gate refuses it; the report says what it would cost.
    run("fcdd-export", "--precision", "int8", "--accept-drift", "to measure what INT8 of this network costs", *target)


def phantom_accuracy(setting: Setting) -> None:
    """Accuracy of all precisions on both sets."""
    models = [f"--model={setting.work / 'phantom_repository' / f'phantom_{precision}'}" for precision in PRECISIONS]
    options = ("--round-fp16", "--resamples", setting.size(2000, 100))
    for name in PREVALENCES:
        out = setting.results / "phantom" / name
        run("fcdd-bench", "accuracy", "--images", setting.work / name, *models, *options, "--out", out)


def vgg_models(setting: Setting) -> None:
    """Export the VGG network to all precisions."""
    given: tuple[str | Path, ...]
    if setting.trained_vgg is None:
        click.echo(RANDOM_WEIGHTS)
        write_drawn_snapshot(setting.work / "random_vgg", {"net": "FCDD_CNN224_VGG_NOPT"})
        # What random weights answer is near no limit by design, so the gate has nothing to say of them.
        given = ("--accept-drift", "random weights, for timing only")
    else:
        given = ("--verify-images", setting.trained_vgg / "test")
    target = ("--target", "python", "--name", "vgg", "--repo", _repository(setting))
    run("fcdd-export", *_snapshot(setting), *_calibration(setting), *given, *EVERY_PRECISION, *target)


def vgg_accuracy(setting: Setting) -> None:
    """Accuracy of all precisions on the images that came with the trained VGG network."""
    if setting.trained_vgg is None:
        click.echo(RANDOM_WEIGHTS)
        return
    models = [f"--model={_model(setting, precision)}" for precision in PRECISIONS]
    images = ("--images", setting.trained_vgg / "test", "--masks", setting.trained_vgg / "masks")
    options = ("--round-fp16", "--resamples", setting.size(2000, 100), "--out", setting.vgg_results / "accuracy")
    run("fcdd-bench", "accuracy", *images, *models, *options)


def vgg_compare(setting: Setting) -> None:
    """PyTorch, ONNX Runtime, OpenVINO and ours in turns, batch 8, and what a call to Triton costs."""
    snapshot, *statistics = _snapshot(setting)
    images = ("--images", setting.trained_vgg / "test") if setting.trained_vgg and not setting.small else ()
    options = ("--batch", "8", "--repeats", setting.size(16, 3), "--out", setting.vgg_results / "compare")
    accurate = () if setting.small else ("--accurate-int8",)
    with _triton(setting) as address:
        given = ("--snapshot", snapshot, *statistics, *images, *_calibration(setting), *accurate)
        run("fcdd-bench", "compare", *given, "--url", f"{address}/vgg_fp32", *options)


def vgg_latency(setting: Setting) -> None:
    """Latency and throughput in the process, FP32 and INT8, batch 1 to 32."""
    models = [f"--model={_model(setting, precision)}" for precision in ("fp32", "int8")]
    batches = (1, 2) if setting.small else (1, 2, 4, 8, 16, 32)
    run("fcdd-bench", "latency", *models, *_points(setting, batches, (1,)), "--out", setting.vgg_results / "latency")


def vgg_triton(setting: Setting) -> None:
    """Latency of INT8 through Triton, concurrency 1 to 8, Poisson arrivals, and the rate that keeps p99 at 100 ms."""
    points = _points(setting, (1, 2), (2,)) if setting.small else _points(setting, (1, 8), (1, 2, 4, 8))
    open_loops = ("--rate", "20") if setting.small else ("--rate", "20", "--p99-limit-ms", "100")
    out = ("--out", setting.vgg_results / "latency_triton")
    with _triton(setting) as address:
        run("fcdd-bench", "latency", "--url", f"{address}/vgg_int8", *points, *open_loops, *out)


def studies(setting: Setting) -> None:
    """DICOM files to results with the VGG network on Triton, and compressed ones in the process, in fewer rounds."""
    small = ("--slices", "12", "--size", "96", "--repeats", "1", "--studies", "2", "--rounds", "1")
    many = small if setting.small else ("--rounds", "3")
    fewer = small if setting.small else ("--repeats", "5", "--studies", "2", "--rounds", "3")

    def study(syntax: str, *options: str | Path) -> None:
        run("fcdd-bench", "study", "--transfer-syntax", syntax, *options, "--out", setting.results / "study" / syntax)

    with _triton(setting) as address:
        study("native", "--url", f"{address}/vgg_fp32", *many)
    for syntax in ("jpeg-ls", "jpeg-lossless"):
        study(syntax, "--model", _model(setting, "fp32"), *fewer)


def exports(setting: Setting) -> None:
    """What exports of the VGG network and of the largest one take; in a small run, of a small one."""
    if setting.small:
        run("fcdd-bench", "export", "--network", "FCDD_CNN224", "--out", setting.results / "export")
        return
    run("fcdd-bench", "export", "--network", "FCDD_CNN224_VGG_NOPT", "--out", setting.results / "export" / "vgg")
    largest = ("--network", "FCDD_REF_CNN224_VGG_NOPT", "--precision", "fp32", "--precision", "fp16")
    run("fcdd-bench", "export", *largest, "--out", setting.results / "export" / "ref_vgg")


def readme(setting: Setting) -> None:
    """README's table, docs/benchmarks.md and its plot from the reports."""
    if setting.results == RESULTS:
        write_pages()


STEPS: dict[str, Callable[[Setting], None]] = {
    "phantom-images": phantom_images,
    "phantom-models": phantom_models,
    "phantom-accuracy": phantom_accuracy,
    "vgg-models": vgg_models,
    "vgg-accuracy": vgg_accuracy,
    "vgg-compare": vgg_compare,
    "vgg-latency": vgg_latency,
    "vgg-triton": vgg_triton,
    "studies": studies,
    "exports": exports,
    "readme": readme,
}
"""By name, in the order in which they are run."""


def _repository(setting: Setting) -> Path:
    return setting.work / ("vgg_random_repository" if setting.trained_vgg is None else "vgg_repository")


def _model(setting: Setting, precision: str) -> Path:
    return _repository(setting) / f"vgg_{precision}"


def _triton(setting: Setting) -> contextlib.AbstractContextManager[str]:
    return served(_repository(setting), setting.work / "triton.log")


def _points(setting: Setting, batches: tuple[int, ...], concurrencies: tuple[int, ...]) -> list[str]:
    words = [f"--batch={batch}" for batch in batches] + [f"--concurrency={count}" for count in concurrencies]
    return [*words, f"--seconds={setting.size(2, 1)}"]


def _snapshot(setting: Setting) -> tuple[str | Path, ...]:
    """Return the snapshot, and what it does not hold itself."""
    if setting.trained_vgg is None:
        return (setting.work / "random_vgg",)
    with np.load(setting.trained_vgg / "expected.npz") as arrays:
        mean, std = (float(arrays[name].ravel()[0]) for name in ("mean", "std"))
    return setting.trained_vgg, "--mean", repr(mean), "--std", repr(std)


def _calibration(setting: Setting) -> tuple[str | Path, ...]:
    folder = Path("examples/phantom/normal_mips")
    return ("--calibration-images", setting.trained_vgg / "calibration/normal" if setting.trained_vgg else folder)
