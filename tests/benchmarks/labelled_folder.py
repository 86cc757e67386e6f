"""A folder of labelled images for tests, drawn from a seed: squares of rising brightness in noise."""

from pathlib import Path

import numpy as np
from PIL import Image

NORMAL, ANOMALOUS, SIZE = 12, 8, 64


def write_labelled_images(folder: Path, masks: bool = True, groups: bool = False) -> Path:
    rng = np.random.default_rng(5)
    rows = ["image,group"]
    for kind, count in (("normal", NORMAL), ("anomalous", ANOMALOUS)):
        (folder / kind).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 60, (SIZE, SIZE))
            if kind == "anomalous":
                pixels[20:32, 20:32] += 10 + 15 * index
            _save(pixels, folder / kind / f"i{index:02}.png")
            rows.append(f"{kind}/i{index:02}.png,patient {index // 2}")
    if masks:
        (folder / "masks").mkdir()
        mask = np.zeros((SIZE, SIZE))
        mask[20:32, 20:32] = 255
        for index in range(ANOMALOUS):
            _save(mask, folder / "masks" / f"i{index:02}.png")
    if groups:
        (folder / "groups.csv").write_text("\n".join(rows) + "\n")
    return folder


def _save(pixels: "np.typing.NDArray[np.generic]", path: Path) -> None:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
