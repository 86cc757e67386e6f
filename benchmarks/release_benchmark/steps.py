"""The steps of `make bench`, each of which leaves files that the next ones read, so that any can be repeated alone."""

from collections.abc import Callable
from pathlib import Path

from release_benchmark.phantom_steps import phantom_accuracy, phantom_images, phantom_models
from release_benchmark.readme import write_readme
from release_benchmark.setting import RESULTS, Setting, run
from release_benchmark.vgg_steps import (
    NAME,
    model_folder,
    served,
    vgg_accuracy,
    vgg_compare,
    vgg_latency,
    vgg_models,
    vgg_triton,
)


def studies(setting: Setting) -> None:
    """DICOM files to results with the VGG network on Triton, and compressed ones in the process, in fewer rounds."""
    small = ("--slices", "12", "--size", "96", "--repeats", "1", "--studies", "2", "--rounds", "1")
    with served(setting) as address:
        _study(setting, "native", "--url", f"{address}/{NAME}_fp32", *(small if setting.small else ("--rounds", "3")))
    fewer = small if setting.small else ("--repeats", "5", "--studies", "2", "--rounds", "3")
    for syntax in ("jpeg-ls", "jpeg-lossless"):
        _study(setting, syntax, "--model", model_folder(setting, "fp32"), *fewer)


def _study(setting: Setting, syntax: str, *options: str | Path) -> None:
    out = setting.results / "study" / syntax
    run("fcdd-bench", "study", "--transfer-syntax", syntax, *options, "--out", out)


def exports(setting: Setting) -> None:
    """What exports of the VGG network and of the largest one take; in a small run, of a small one."""
    if setting.small:
        run("fcdd-bench", "export", "--network", "FCDD_CNN224", "--out", setting.results / "export")
        return
    run("fcdd-bench", "export", "--network", "FCDD_CNN224_VGG_NOPT", "--out", setting.results / "export" / "vgg")
    largest = ("--network", "FCDD_REF_CNN224_VGG_NOPT", "--precision", "fp32", "--precision", "fp16")
    run("fcdd-bench", "export", *largest, "--out", setting.results / "export" / "ref_vgg")


def readme(setting: Setting) -> None:
    """README's figures and plot from the reports."""
    if setting.results == RESULTS:
        write_readme()


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
