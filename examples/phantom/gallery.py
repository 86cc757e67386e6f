"""One page that shows what each difficulty looks like, beside a real examination where there is one."""

import tempfile
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fcdd_runtime.breasts.projection import Projection, project
from fcdd_runtime.breasts.split import split_breasts
from fcdd_runtime.errors import StudyError
from fcdd_runtime.images.network_input import resize_image
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.report.pages import data_uri
from fcdd_runtime.software import INTENDED_USE
from fcdd_runtime.study.read import read_studies
from phantom.dataset import RECIPE, RESIZE, phantom_volume
from phantom.difficulties import DIFFICULTIES
from phantom.draw import draw_phantom

_STYLE = """body{background:#0d1116;color:#e6edf3;font:14px/1.4 system-ui,sans-serif;margin:16px}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(380px,1fr));gap:14px}
figure{margin:0;background:#151b23;border:1px solid #2a333f;border-radius:8px;overflow:hidden}
figure.real{border:2px solid #f2c14e}
.row{display:grid;grid-template-columns:1fr 1fr;background:#000}
img{width:100%;display:block;image-rendering:auto}figcaption{padding:8px 12px}
b{font-size:16px}p{margin:0 0 12px;color:#9aa7b5}"""


def gallery_page(seed: int, real: Path | None) -> str:
    """Return an HTML page that needs no other file.

    Parameters
    ----------
    seed : of all drawn studies; they differ in nothing but their difficulty
    real : a folder, zip or file with one real study to show first; it is put into the page

    Raises
    ------
    StudyError
        If no image can be made of it.
    """
    figures = [] if real is None else [_figure("real", "a real examination", _real_projection(real))]
    figures.append(_figure("none", "no difficulty", _drawn_projection(seed, {})))
    for name, meaning in DIFFICULTIES.items():
        figures.append(_figure(name, meaning, _drawn_projection(seed, {name: 1.0})))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Drawn difficulties</title><style>{_STYLE}</style>"
        f"<h1>Drawn difficulties</h1><p>Each as strong as it can be asked for. Above: mean before contrast, and the "
        f"largest difference after it, seen from the head. Below: what the network is given. {escape(INTENDED_USE)}</p>"
        f"<main>{''.join(figures)}</main></html>"
    )


def _drawn_projection(seed: int, difficulties: dict[str, float]) -> Projection:
    phantom = draw_phantom(seed, phases=2, difficulties=difficulties)
    return project(phantom_volume(phantom, 0), phantom_volume(phantom, 1))


def _real_projection(path: Path) -> Projection:
    with tempfile.TemporaryDirectory() as scratch:
        studies, _ = read_studies(path, Path(scratch))
        phases = split_phases(studies[0], RECIPE)
        return project(phases.pre, phases.post)


def _figure(name: str, meaning: str, projection: Projection) -> str:
    try:
        seen = [resize_image(breast.pixels, RESIZE) for breast in split_breasts(projection, RECIPE)[0]]
    except StudyError as error:
        seen, meaning = [], f"{meaning} ({error})"
    front = projection.maximum[: len(projection.maximum) // 2]
    pictures = [_grey(projection.pre_mean, 0.99), _grey(projection.maximum, 0.99, front), *seen]
    images = "".join(f'<img alt="" src="{data_uri(Image.fromarray(pixels))}">' for pixels in pictures)
    style = " class=real" if name == "real" else ""
    return (
        f"<figure{style}><div class=row>{images}</div>"
        f"<figcaption><b>{escape(name)}</b> {escape(meaning)}</figcaption></figure>"
    )


def _grey(
    image: npt.NDArray[np.float32], quantile: float, among: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.uint8]:
    high = float(np.quantile(image if among is None else among, quantile)) or 1.0
    return np.clip(image / high * 255, 0, 255).astype(np.uint8)
