"""Breasts with known truth as a folder that `fcdd-bench accuracy` reads: normal/, anomalous/, masks/, groups.csv."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from phantom.dataset import Example, breasts_of, in_processes, lesion_mask
from phantom.difficulties import sample_difficulties
from phantom.draw import draw_phantom

FIRST_SEED = 600_000
"""Behind the seeds of all splits, and of the images that exports are verified and calibrated on."""


@dataclass(frozen=True)
class LabelledSet:
    """How many breasts of each kind are drawn, from which seed on.

    Normal breasts come from studies without a lesion, two a study; anomalous ones from studies with one lesion. The
    other breast of those is left out: both share one window, so a bright lesion makes it darker than a normal study's
    breast, and the more lesions a set had, the easier its normals would be. So sets of different prevalence differ in
    nothing else.
    """

    normal: int
    anomalous: int
    first_seed: int

    def studies(self) -> list[tuple[int, int]]:
        """Return seed and number of lesions of all studies."""
        without = -(-self.normal // 2)
        lesions = [0] * without + [1] * self.anomalous
        return [(self.first_seed + index, count) for index, count in enumerate(lesions)]


def write_labelled(wanted: LabelledSet, out: Path) -> None:
    """Draw the breasts, with one process a core, and write PNG images, lesion masks and groups (studies)."""
    for name in ("normal", "anomalous", "masks"):
        (out / name).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, int]] = []
    for example in _examples(wanted.studies()):
        kind = "anomalous" if example.lesions else "normal"
        if kind == "normal" and len(rows) == wanted.normal:
            continue
        name = f"{example.seed}_{example.image.laterality}.png"
        Image.fromarray(example.image.pixels).save(out / kind / name)
        rows.append((f"{kind}/{name}", example.seed))
        mask = lesion_mask(example)
        if mask.any():
            Image.fromarray(mask.astype(np.uint8) * 255).save(out / "masks" / name)
    _write_groups(rows, out / "groups.csv")


def _examples(studies: list[tuple[int, int]]) -> Iterator[Example]:
    """Draw studies in their order, and yield all breasts of those without a lesion and the diseased ones of others."""
    for drawn in in_processes(_drawn, studies):
        yield from drawn


def _drawn(study: tuple[int, int]) -> list[Example]:
    seed, lesions = study
    breasts = breasts_of(draw_phantom(seed, lesions=lesions, phases=2, difficulties=sample_difficulties(seed)))
    return [example for example in breasts if bool(example.lesions) == bool(lesions)]


def _write_groups(rows: list[tuple[str, int]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "group"), *rows])
