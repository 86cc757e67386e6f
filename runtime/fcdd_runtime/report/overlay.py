"""Breast images with their heatmaps laid over them, at their true proportions.

Three grids meet here: the network's square image, which a heatmap lies on; the breast image, whose pixels need not be
square; and the display image, whose pixels are. Where the recipe mirrors the left breast for the network, breast image
and heatmap are mirrored; the display image never is.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fcdd_runtime.contract import ModelContract, Resize
from fcdd_runtime.images.heatmap import scaled_for_display
from fcdd_runtime.images.network_input import crop_offset, resized_shape
from fcdd_runtime.report.colormap import DEFAULT_LOOK, Look, color_table
from fcdd_runtime.report.rings import rings_mm
from fcdd_runtime.report.words import SIDES, state_of
from fcdd_runtime.result import BreastResult, StudyResult
from fcdd_runtime.software import INTENDED_USE

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, ...]
"""Rows and columns."""

OPACITY = 0.5
"""How much of the picture the hottest colours cover at first, 0..1."""
_OPAQUE_FROM = 0.5
"""Normalised heat from which a colour has that full opacity; colder colours let the anatomy through."""
RING = (16, 21, 27)
"""Colour of lines within the hottest colour, which is light."""
_MINIMUM_SIDE = 512
"""A written picture is enlarged by a whole number until its longer side has this many pixels."""


def overlay_image(breast: BreastResult, result: StudyResult, look: Look = DEFAULT_LOOK) -> Image.Image:
    """Draw a breast of a study with its heatmap, and a caption below that keeps side, state and purpose with it.

    Returns
    -------
    RGB, anterior up, the patient's right at the left, square pixels
    """
    blended = blended_image(breast, result.contract, look)
    enlargement = -(-_MINIMUM_SIDE // max(blended.size))
    width, height = blended.width * enlargement, blended.height * enlargement
    caption_height = round(width / 8)
    page = Image.new("RGB", (width, height + caption_height))
    page.paste(blended.resize((width, height), Image.Resampling.BICUBIC))
    drawing, finest = ImageDraw.Draw(page), min(breast.pixel_mm)
    for (top, left), (bottom, right) in (rings_mm(breast, result.contract, look.scale) / finest * enlargement).tolist():
        drawing.line((left, top, right, bottom), RING, max(1, width // 400))
    drawing.multiline_text(
        (width / 40, height + caption_height / 2),
        caption(breast, result),
        (214, 222, 232),
        ImageFont.load_default(width / 30),
        anchor="lm",
    )
    return page


def caption(breast: BreastResult, result: StudyResult, place: str = "") -> str:
    """Return what a picture of a breast says of itself: side, score, state and purpose.

    Viewers show the picture without the report, so a doubt stands out in it.

    Parameters
    ----------
    place : what is shown, if not all of the breast
    """
    state = state_of(breast.flagged, to_review=bool(result.review)).in_line
    shown = state.upper() if result.review else state
    words = [f"{SIDES[breast.laterality]} breast", f"score {breast.score:.4g}", shown, *([place] if place else [])]
    return f"{'   '.join(words)}\n{INTENDED_USE}"


def blended_image(breast: BreastResult, contract: ModelContract, look: Look) -> Image.Image:
    """Return `display_image` with its heatmap laid over it: RGB, same size."""
    heat = heat_layer(breast, contract, look).convert("RGBA")
    heat.putalpha(heat.getchannel("A").point([round(level * OPACITY) for level in range(256)]))
    return Image.alpha_composite(display_image(breast, contract).convert("RGBA"), heat).convert("RGB")


def display_image(breast: BreastResult, contract: ModelContract) -> Image.Image:
    """Return the breast image with square pixels, the patient's right at the left.

    Returns
    -------
    mode L, shape as `display_shape` says
    """
    rows, columns = display_shape(breast)
    image = breast.image[:, ::-1] if contract.recipe.mirrors(breast.laterality) else breast.image
    return Image.fromarray(np.ascontiguousarray(image)).resize((columns, rows), Image.Resampling.BILINEAR)


def display_shape(breast: BreastResult) -> Shape:
    """Return rows and columns of the breast image once its longer pixel side is divided to match the shorter one."""
    finest = min(breast.pixel_mm)
    rows, columns = (
        max(1, round(count * size / finest)) for count, size in zip(breast.image.shape, breast.pixel_mm, strict=True)
    )
    return rows, columns


def heat_layer(breast: BreastResult, contract: ModelContract, look: Look) -> Image.Image:
    """Return the heatmap as a layer over `display_image`, of the same size.

    Returns
    -------
    mode P: 0 (cold) to 255 (hot) with an RGBA palette, from transparent to opaque; small and quick to write as PNG
    """
    scaled = scaled_for_display(breast.heatmap, contract.display, look.scale)
    heat = heat_on_breast(scaled, breast.image.shape, display_shape(breast), contract.resize)
    if contract.recipe.mirrors(breast.laterality):
        heat = heat[:, ::-1]
    return coloured(heat, look)


def coloured(heat: FloatArray, look: Look) -> Image.Image:
    """Return heat, float32 (rows, columns), 0..1, as a layer of colours: mode P, see `heat_layer`."""
    layer = Image.fromarray(np.rint(255 * heat).astype(np.uint8))
    alpha = np.clip(np.linspace(0, 255 / _OPAQUE_FROM, 256), 0, 255)
    palette = np.column_stack([color_table(look.colormap), np.rint(alpha).astype(np.uint8)])
    layer.putpalette(palette.tobytes(), "RGBA")
    return layer


def peak_mm(breast: BreastResult, contract: ModelContract) -> tuple[float, float]:
    """Return how far the peak's pixel centre lies below the top and right of the left edge of `display_image`, mm."""
    row, column = breast.peak.image_pixel
    if contract.recipe.mirrors(breast.laterality):
        column = breast.image.shape[1] - 1 - column
    return (row + 0.5) * breast.pixel_mm[0], (column + 0.5) * breast.pixel_mm[1]


def heat_on_breast(heat: FloatArray, breast_shape: Shape, target_shape: Shape, resize: Resize) -> FloatArray:
    """Carry heat from the network's image back to where it belongs in the breast image.

    Parameters
    ----------
    heat : float32 (size, size), 0..1, on the network's image
    breast_shape : rows and columns of the breast image that was resized for the network
    target_shape : rows and columns of the result, which covers exactly the breast image
    resize : the rule that made the network's image

    Returns
    -------
    float32 `target_shape`, 0..1; 0 where the network did not look
    """
    margins = _margins(breast_shape, resize)
    whole = Image.fromarray(np.pad(heat, margins, mode="edge"))
    scaled = np.asarray(whole.resize((target_shape[1], target_shape[0]), Image.Resampling.BILINEAR))
    seen: list[npt.NDArray[np.bool_]] = []
    for count, (before, after) in zip(target_shape, margins, strict=True):
        # Pixels along this axis whose centre lies inside the crop.
        centers = (np.arange(count) + 0.5) * (before + resize.size + after) / count
        seen.append((centers >= before) & (centers < before + resize.size))
    return np.asarray(scaled * np.outer(*seen), np.float32)


def seen_part(breast: BreastResult, contract: ModelContract) -> tuple[float, float, float, float]:
    """Return top, left, bottom and right of what the network saw, as fractions of `display_image`."""
    size = contract.resize.size
    (top, below), (before, after) = _margins(breast.image.shape, contract.resize)
    left, right = (after, before) if contract.recipe.mirrors(breast.laterality) else (before, after)
    height, width = top + size + below, left + size + right
    return top / height, left / width, (top + size) / height, (left + size) / width


def _margins(breast_shape: Shape, resize: Resize) -> list[tuple[int, int]]:
    """Pixels that the central crop leaves before and after itself, for rows and for columns."""
    resized = resized_shape(breast_shape, resize)
    offsets = crop_offset(resized, resize.size)
    return [(before, length - resize.size - before) for before, length in zip(offsets, resized, strict=True)]
