"""The options of `fcdd-bench compare` -> its report: files are read and checked here, before anything is computed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fcdd_benchmarks.compare.report import compare_report
from fcdd_benchmarks.compare.run import CompareOptions, measure_comparison
from fcdd_benchmarks.report.write import Report
from fcdd_export.networks.registry import NETWORKS
from fcdd_export.networks.snapshot import Normalization, Snapshot, checked_normalization, load_snapshot
from fcdd_export.request import BUNDLED_IMAGES, BUNDLED_NORMALS, BUNDLED_SNAPSHOT, numbers_in
from fcdd_runtime.errors import SnapshotError


def compare_report_of(
    folder: Path | None, mean: str | None, std: str | None, others: Mapping[str, Any], command: str
) -> Report:
    """Read the snapshot, measure and report.

    Parameters
    ----------
    folder : of the snapshot; None: the one trained on phantoms, in a checkout of this project, with its images
    mean, std : as given, one number or three with commas; None: those beside the snapshot
    others : the other fields of `CompareOptions`
    command : the command line, for the report

    Raises
    ------
    FcddError
        If a file is missing or cannot be used, or our own answers are not torch's.
    """
    given = dict(others)
    if folder is None:
        given["images"] = given["images"] or BUNDLED_IMAGES
        given["calibration_images"] = given["calibration_images"] or BUNDLED_NORMALS
    folder = folder or BUNDLED_SNAPSHOT
    snapshot = load_snapshot(folder)
    _check_network(snapshot.net)
    options = CompareOptions(snapshot, _normalization(snapshot, folder, mean, std), **given)
    return compare_report(options, measure_comparison(options), command)


def _check_network(net: str) -> None:
    """Refuse networks whose published score is no mean of a map of one image."""
    spec = NETWORKS[net]
    if spec.map_kind != "fcdd" or len(spec.inputs) > 1:
        raise SnapshotError(f"compare takes FCDD networks of one image, not {net}; take another snapshot")


def _normalization(snapshot: Snapshot, folder: Path, mean: str | None, std: str | None) -> Normalization:
    if (mean is None) != (std is None):
        raise click.UsageError("give --mean and --std together")
    if mean is not None and std is not None:
        return checked_normalization(numbers_in(mean), numbers_in(std), "--mean, --std")
    if snapshot.normalization is None:
        raise SnapshotError(f"{folder} has no normalization.json, and a snapshot holds no mean and std; give them")
    return snapshot.normalization
