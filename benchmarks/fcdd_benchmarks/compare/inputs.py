"""What `fcdd-bench compare` is given, read and checked before anything is computed."""

from dataclasses import dataclass
from pathlib import Path

import click

from fcdd_benchmarks.compare.report import CompareOptions, Kind
from fcdd_export.networks.registry import NETWORKS
from fcdd_export.networks.snapshot import Normalization, Snapshot, checked_normalization, load_snapshot
from fcdd_export.request import BUNDLED_IMAGES, BUNDLED_NORMALS, BUNDLED_SNAPSHOT, numbers_in
from fcdd_runtime.errors import SnapshotError


@dataclass(frozen=True)
class CompareInputs:
    """What is compared, on what."""

    snapshot: Snapshot
    normalization: Normalization
    images: Path | None
    """MIPs to check and time on; None: drawn ones."""
    calibration_images: Path | None
    """For INT8's scales; None: drawn ones."""
    url: str | None
    """A model on a Triton server, to measure what a call costs beyond the model."""

    def options(self, batch: int, repeats: int, int8: bool, accurate_int8: bool) -> CompareOptions:
        """Say in a report what is compared."""
        images: Kind = "drawn" if self.images is None else "given"
        calibration: Kind = "drawn" if self.calibration_images is None else "given"
        net, sha256 = self.snapshot.net, self.snapshot.sha256
        return CompareOptions(net, sha256, batch, repeats, int8, accurate_int8, images, calibration)


def read_inputs(
    folder: Path | None,
    mean: str | None,
    std: str | None,
    images: tuple[Path | None, Path | None],
    url: str | None,
) -> CompareInputs:
    """Read the snapshot.

    Parameters
    ----------
    folder : of the snapshot; None: the one trained on phantoms, in a checkout of this project, with its images
    mean, std : as given, one number or three with commas; None: those beside the snapshot
    images : folders of those to check and time on, and of those for INT8's scales

    Raises
    ------
    SnapshotError
        If a file is missing or cannot be used, or the published score is no mean of a map of one image.
    """
    if folder is None:
        folder, images = BUNDLED_SNAPSHOT, (images[0] or BUNDLED_IMAGES, images[1] or BUNDLED_NORMALS)
    snapshot = load_snapshot(folder)
    spec = NETWORKS[snapshot.net]
    if spec.map_kind != "fcdd" or len(spec.inputs) > 1:
        raise SnapshotError(f"compare takes FCDD networks of one image, not {snapshot.net}; take another snapshot")
    if (mean is None) != (std is None):
        raise click.UsageError("give --mean and --std together")
    normalization = snapshot.normalization
    if mean is not None and std is not None:
        normalization = checked_normalization(numbers_in(mean), numbers_in(std), "--mean, --std")
    if normalization is None:
        raise SnapshotError(f"{folder} has no normalization.json, and a snapshot holds no mean and std; give them")
    return CompareInputs(snapshot, normalization, *images, url)
