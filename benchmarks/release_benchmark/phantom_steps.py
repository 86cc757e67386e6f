"""The phantom-trained network on breasts that were drawn for nothing else, at two prevalences."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from phantom.labelled import FIRST_SEED
from release_benchmark.setting import Setting, run

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class DrawnSet:
    """A set of labelled breasts."""

    name: str
    """Its folder's, with the prevalence in percent."""
    normal: int
    anomalous: int
    first_seed: int


SETS = (
    DrawnSet("prevalence_50", 500, 500, FIRST_SEED),
    # No study of the other set: the two reports are independent.
    DrawnSet("prevalence_2", 980, 20, FIRST_SEED + 100_000),
)


def phantom_images(setting: Setting) -> None:
    """Draw 1,000 breasts at 50 % prevalence and 1,000 others at 2 %."""
    for drawn in SETS:
        folder = _folder(setting, drawn)
        shutil.rmtree(folder, ignore_errors=True)
        counts = ("--normal", setting.size(drawn.normal, 20), "--anomalous", setting.size(drawn.anomalous, 6))
        run("python", "-m", "phantom", "labelled", *counts, "--first-seed", str(drawn.first_seed), "--out", folder)


def phantom_models(setting: Setting) -> None:
    """Export the phantom-trained network."""
    precisions = [word for precision in PRECISIONS for word in ("--precision", precision)]
    options = ("--target", "python", "--name", "phantom", "--repo", _repository(setting))
    run("fcdd-export", *precisions, *options)


def phantom_accuracy(setting: Setting) -> None:
    """Accuracy of all precisions on both sets."""
    models = [f"--model={_repository(setting) / f'phantom_{precision}'}" for precision in PRECISIONS]
    for drawn in SETS:
        options = ("--round-fp16", "--resamples", setting.size(2000, 100))
        out = setting.results / "phantom" / drawn.name
        run("fcdd-bench", "accuracy", "--images", _folder(setting, drawn), *models, *options, "--out", out)


def _folder(setting: Setting, drawn: DrawnSet) -> Path:
    return setting.work / drawn.name


def _repository(setting: Setting) -> Path:
    return setting.work / "phantom_repository"
