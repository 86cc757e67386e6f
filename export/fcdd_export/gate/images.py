"""Images that a site verifies on: a folder, truth from its subfolders, and what two-input networks compare with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcdd_export.gate.drift import Inputs
from fcdd_export.gate.proven_model import ImageFacts
from fcdd_export.gate.roc import FEWEST_RANKED, Labels
from fcdd_runtime.commands import complain
from fcdd_runtime.errors import ImageError
from fcdd_runtime.images.mip_files import find_images, read_image
from fcdd_runtime.images.network_input import GreyImage
from fcdd_runtime.images.references import folder_references
from fcdd_runtime.log_lines import EventLog
from fcdd_runtime.redaction import for_terminal

LOG = EventLog("fcdd_export")
CLASSES = ("normal", "anomalous")


@dataclass(frozen=True)
class VerificationImages:
    """Images that a site verifies on."""

    images: Sequence[GreyImage]
    """Any size; none: drawn ones."""
    labels: Labels | None
    """Truth, bool (N,), where they come in folders `normal` and `anomalous`."""
    references: Sequence[GreyImage] | None = None
    """What a two-input network compares each image with; None: its neighbour, for want of a true reference."""
    folder: str | None = None
    """Name of the folder that they came in, without the path to it."""


def verification_images(folder: Path | None, references: Path | None, inputs: Sequence[str]) -> VerificationImages:
    """Read images to verify on; those in folders named `normal` and `anomalous` have labels if all are in one.

    Parameters
    ----------
    folder : None: drawn images are verified on
    references : what a two-input network compares the images with, as `fcdd-score --reference` takes it
    inputs : names of the network's inputs

    Raises
    ------
    ImageError
        If an image or the references cannot be used, or there are references for a network or folder without need.
    """
    if references is not None and (folder is None or "reference" not in inputs):
        raise ImageError(
            "--verify-references pairs the images of --verify-images for networks that compare two; leave it out"
            if folder
            else "--verify-references pairs the images of --verify-images; give that folder too"
        )
    if folder is None:
        return VerificationImages((), None)
    paths = find_images(folder)
    images, labels = [read_image(path) for path in paths], _labels([path.relative_to(folder) for path in paths])
    compared = None
    if references is not None:
        reference_of = folder_references(references, folder)
        compared = [reference_of(path.relative_to(folder).as_posix()).pixels for path in paths]
    if "reference" in inputs and compared is None:
        warn(
            "each image is compared with its neighbour as its reference, and the AUC is not judged; "
            "give --verify-references"
        )
    if len(images) < FEWEST_RANKED:
        warn(f"the order of the scores is not judged, because fewer than {FEWEST_RANKED} images are verified on")
    return VerificationImages(images, labels, compared, folder.resolve().name)


def verification_facts(images: VerificationImages, inputs: Inputs) -> ImageFacts:
    """Return what a report says of the images; `inputs` are what the network was given of them."""
    labels, digest = images.labels, hashlib.sha256()
    for pixels in inputs.values():
        digest.update(pixels.tobytes())
    counts = None if labels is None else {name: int((labels == place).sum()) for place, name in enumerate(CLASSES)}
    pairs = ("recorded" if images.references else "each image's neighbour") if len(inputs) > 1 else None
    return ImageFacts(images.folder, len(next(iter(inputs.values()))), counts, pairs, digest.hexdigest())


def warn(text: str) -> None:
    """Print a warning."""
    LOG.warning("doubt", sentence=for_terminal(text, {}))
    complain(f"Warning: {text}.")


def _labels(paths: Sequence[Path]) -> Labels | None:
    kinds = [{*CLASSES} & {part.lower() for part in path.parts} for path in paths]
    if all(len(kind) == 1 for kind in kinds) and len(set().union(*kinds)) == len(CLASSES):
        return np.array([kind == {"anomalous"} for kind in kinds])
    if any(kinds):
        warn("the AUC is not judged, because not all images lie in folders named normal and anomalous")
    return None
