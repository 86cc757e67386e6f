"""How heatmaps are coloured for people: a choice of the reader, without any influence on scores."""

from dataclasses import dataclass
from typing import Literal

Scale = Literal["global", "local"]
"""`global`: the contract's reference range, so that colours compare between exams; `local`: each heatmap's own."""

Colormap = Literal["inferno", "jet"]
"""`inferno`: steps that look even, readable without colour vision; `jet`: the published one, which is neither."""


@dataclass(frozen=True)
class Look:
    """Colours and their scale."""

    colormap: Colormap
    scale: Scale
    """Of written pictures; a report begins with it and offers both."""


DEFAULT_LOOK = Look("inferno", "global")
PUBLISHED_LOOK = Look("jet", "local")
"""As in the published figures: each heatmap on its own scale, up to the contract's display quantile."""

LOOKS: dict[Colormap, Look] = {look.colormap: look for look in (DEFAULT_LOOK, PUBLISHED_LOOK)}
