"""The recipe whose images are nearest to a site's: from several starts, one move after the other until none helps.

What is compared is made by the runtime, so that a recipe that is found gives in service what it gave here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np

from fcdd_benchmarks.recipe.report import Similarity
from fcdd_benchmarks.recipe.similarity import Candidate, SiteStudy, mean_of
from fcdd_runtime.contract import MipRecipe

CROPS: tuple[Literal["field", "breast"], ...] = ("field", "breast")
VALUES: dict[str, tuple[Any, ...]] = {
    "crop": CROPS,
    "air": ("keep", "clear"),
    "mirror_left": (False, True),
    "posterior_margin_mm": (0.0, 10.0, 20.0, 30.0, 40.0, 55.0, 75.0, 100.0, 1000.0),
    "crop_margin_mm": (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0),
    "window_high_quantile": (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 1.0),
}
"""Values of entries that are tried first. Phases are those that the studies have."""
START_BEHIND_MM, START_BESIDE_MM = (5.0, 20.0, 40.0, 70.0, 1000.0), (5.0, 20.0)
"""Margins that all combinations of phases, crops and sides are tried with, to find where to start."""
STARTS = 4
MARGIN_STEPS_MM = (4.0, 2.0, 1.0, 0.5)
"""By which both margins are moved, together and alone."""
TAIL_FACTORS = (2.0, 1.4, 1.15, 1.05)
"""By which the share of pixels above `window_high_quantile` is changed."""
SEARCHED = 6
"""Studies that are searched with; the others are compared in the end."""
EVEN = 0.02
"""Grey levels by which a candidate has to be nearer to count as better."""

_Move = Callable[[Candidate], Iterator[Candidate]]


class Search:
    """Candidates and how near they come, each computed once."""

    def __init__(self, studies: Sequence[SiteStudy]):
        self.studies = studies
        self.phases = sorted(set.union(*(study.phases for study in studies)))
        self._square = all(len(set(image.pixels.shape)) == 1 for study in studies for image in study.images)
        self._known: dict[Candidate, Similarity] = {}

    def similarity(self, candidate: Candidate) -> Similarity:
        """Return the mean over all images of these studies."""
        if candidate not in self._known:
            self._known[candidate] = mean_of([one for study in self.studies for one in study.similarities(candidate)])
        return self._known[candidate]

    def find(self) -> Candidate:
        """Return the nearest candidate that any of several starts leads to."""
        starts = [
            Candidate(
                MipRecipe(phase, crop=crop, crop_margin_mm=beside, posterior_margin_mm=behind, mirror_left=mirror)
            )
            for phase, crop, mirror, behind in product(self.phases, CROPS, (False, True), START_BEHIND_MM)
            for beside in (START_BESIDE_MM if crop == "breast" else START_BESIDE_MM[:1])
        ]
        # Windows are not known yet: correlation hardly depends on them.
        starts.sort(key=lambda start: -self.similarity(start).correlation)
        return self._rounded(min((self._improved(start) for start in starts[:STARTS]), key=self._difference))

    def _rounded(self, best: Candidate) -> Candidate:
        """Take a plain value instead of a fitted one wherever the images do not tell them apart."""
        if best.recipe.crop == "field":
            best = _with(best, crop_margin_mm=MipRecipe.crop_margin_mm)
        for name in ("window_low", "window_high_quantile", "posterior_margin_mm", "crop_margin_mm"):
            for value in (getattr(MipRecipe, name), *VALUES.get(name, ())):
                plain = _with(best, **{name: value})
                if self._difference(plain) < self._difference(best) + EVEN:
                    best = plain
                    break
        return best

    def alternatives(self, best: Candidate) -> dict[str, list[Candidate]]:
        """Return what else was possible, an entry at a time: the best with other values of that entry."""
        others = {name: list(self._others(best, name)) for name in ("post_contrast_phase", *VALUES, "scaling")}
        return {name: [other for other in found if other != best] for name, found in others.items()}

    def _difference(self, candidate: Candidate) -> float:
        return self.similarity(candidate).difference

    def _improved(self, start: Candidate) -> Candidate:
        """Move a candidate until no move makes it better: in large steps, then in small ones."""
        large = [partial(self._others, name=name) for name in ("post_contrast_phase", *VALUES, "scaling")]
        best = self._descended(start, [*large, self._fitted_windows])
        # These change so much that a window has to be fitted anew before they can be judged.
        switches = [partial(self._others, name=name) for name in ("post_contrast_phase", "crop", "air", "mirror_left")]
        margins = [partial(_other_margins, step=step) for step in MARGIN_STEPS_MM]
        tails = [partial(_other_tails, factor=factor) for factor in TAIL_FACTORS]
        refitted = [partial(self._refitted, move=move) for move in (*margins, *switches)]
        return self._descended(best, [*margins, self._fitted_windows, *tails, *refitted])

    def _descended(self, best: Candidate, moves: Sequence[_Move]) -> Candidate:
        """Take the best of each move's candidates in turn, until none is better."""
        while True:
            before = best
            for move in moves:
                nearest = min(move(best), key=self._difference, default=best)
                if self._difference(nearest) < self._difference(best) - EVEN:
                    best = nearest
            if best == before:
                return best

    def _others(self, candidate: Candidate, name: str) -> Iterator[Candidate]:
        """Give one entry all its values."""
        if name == "scaling":
            if self._square:
                yield from (replace(candidate, scaling=scaling) for scaling in ("squash", "shorter_side_center_crop"))
        elif name == "post_contrast_phase":
            yield from (_with(candidate, post_contrast_phase=phase) for phase in self.phases)
        elif name != "crop_margin_mm" or candidate.recipe.crop == "breast":
            yield from (_with(candidate, **{name: value}) for value in VALUES[name])

    def _fitted_windows(self, candidate: Candidate) -> Iterator[Candidate]:
        """Fit the window to the images: with its low end, and with 0 for it."""
        found = [window for study in self.studies if (window := study.window(candidate)) is not None]
        if not found:
            return
        low, quantile = (float(np.median(values)) for values in zip(*found, strict=True))
        if quantile > 0:
            for value in (0.0, round(low, 2)):
                yield _with(candidate, window_low=value, window_high_quantile=round(quantile, 6))

    def _refitted(self, candidate: Candidate, move: _Move) -> Iterator[Candidate]:
        for other in move(candidate):
            yield from self._fitted_windows(other)


def _with(candidate: Candidate, **entries: Any) -> Candidate:
    return replace(candidate, recipe=replace(candidate.recipe, **entries))


def _other_margins(candidate: Candidate, step: float) -> Iterator[Candidate]:
    recipe = candidate.recipe
    sideways = (-step, 0.0, step) if recipe.crop == "breast" else (0.0,)
    for behind, beside in product((-step, 0.0, step), sideways):
        margins = {
            "posterior_margin_mm": recipe.posterior_margin_mm + behind,
            "crop_margin_mm": recipe.crop_margin_mm + beside,
        }
        if (behind or beside) and all(0 <= value <= 1000 for value in margins.values()):
            yield _with(candidate, **margins)


def _other_tails(candidate: Candidate, factor: float) -> Iterator[Candidate]:
    tail = 1 - candidate.recipe.window_high_quantile
    for changed in (tail / factor, tail * factor):
        if 0 < changed < 1:
            yield _with(candidate, window_high_quantile=round(1 - changed, 6))
