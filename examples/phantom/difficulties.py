"""What makes real examinations hard, as far as it is drawn: each by its name, and as strong as asked for."""

from collections.abc import Mapping

import numpy as np

from phantom.fields import stream

Difficulties = Mapping[str, float]
"""Name, a key of `DIFFICULTIES`, -> strength, 0 (absent) to 1 (as strong as real ones, or stronger)."""

DIFFICULTIES = {
    "air": "more of the field of view is air in front of the breasts, up to half of it",
    "small": "small breasts",
    "pendulous": "long, narrow breasts with steep sides",
    "unequal": "one breast is smaller than the other",
    "missing": "one breast is not there",
    "sternum": "the valley over the sternum is shallow",
    "fat": "fat near the sternum and the arms that suppression missed: bright, and it does not enhance",
    "uptake": "the whole body enhances, up to 75 % in the last phase",
    "background": "strong background enhancement of the gland",
    "vessels": "a net of vessels under the skin",
    "wave": "a wave artefact over one side, another one in each phase",
    "motion": "the body moves between the phases, up to 1.5 mm along each axis",
    "capsules": "marker capsules in front of the breasts",
    "arms": "arms beside the breasts, with vessels",
    "bare": "values of 12 bits that clip, and files without times",
}
"""What each of them is."""

_OFTEN = 0.2
_SELDOM = {"missing": 0.04}
"""How often each occurs among studies that are drawn at random."""


def check_difficulties(difficulties: Difficulties) -> None:
    """Refuse names that are not drawn, and strengths outside 0..1, with a ValueError."""
    for name, strength in difficulties.items():
        if name not in DIFFICULTIES:
            raise ValueError(f"there is no difficulty {name!r}; there are {', '.join(DIFFICULTIES)}")
        if not 0 <= strength <= 1:
            raise ValueError(f"the strength of {name} is {strength:g}; give 0 to 1")


def sample_difficulties(seed: int) -> dict[str, float]:
    """Draw which difficulties a study has, each on its own, and how strong they are."""
    rng = stream(seed, "difficulties")
    drawn = {name: (rng.random(), float(rng.uniform(0.2, 1))) for name in DIFFICULTIES}
    return {name: strength for name, (chance, strength) in drawn.items() if chance < _SELDOM.get(name, _OFTEN)}


def harder_side(seed: int, name: str) -> str:
    """Return which side, `L` or `R`, a difficulty of one side falls on."""
    return "RL"[int(np.floor(stream(seed, f"side of {name}").random() * 2))]
