"""Labelled phantom breasts: what is drawn, and that the masks show where the lesions are."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner

from fcdd_benchmarks.accuracy.labelled_images import read_labelled_images
from phantom.__main__ import IMAGES, NORMALS, main
from phantom.dataset import SPLITS, breasts_of, lesion_mask
from phantom.draw import draw_phantom
from phantom.labelled import FIRST_SEED, LabelledSet


def test_the_folder_is_what_the_accuracy_benchmark_reads(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["labelled", "--normal", "3", "--anomalous", "2", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    images = read_labelled_images(tmp_path, None, None)
    assert images.labels.tolist() == [False] * 3 + [True] * 2
    assert images.groups is not None
    # The first two normals are of one study; the others have studies of their own.
    assert len(set(images.groups.tolist())) == 4
    for pixels, mask, anomalous in zip(images.images, images.masks, images.labels, strict=True):
        assert (mask is not None) == anomalous
        assert mask is None or pixels[mask].mean() > 2 * pixels[~mask].mean()


def test_a_mask_has_the_area_of_the_lesion_and_its_place() -> None:
    [example] = [one for one in breasts_of(draw_phantom(FIRST_SEED + 7, lesions=1, phases=2)) if one.lesions]
    mask, [lesion] = lesion_mask(example), example.lesions
    rows_mm, columns_mm = example.image.pixel_mm
    assert np.isclose(mask.sum() * rows_mm * columns_mm, np.pi * lesion.radius_mm**2, rtol=0.25)
    row, column = (round(float(places.mean())) for places in np.nonzero(mask))
    found = np.array(example.image.patient_mm(row, column)[:2])
    assert np.linalg.norm(found - np.array(lesion.centre_mm[:2])) <= max(rows_mm, columns_mm)


def test_no_breast_was_used_for_training_setting_or_testing_the_network() -> None:
    used = [range(split.first_seed, split.first_seed + split.studies) for split in (*SPLITS.values(), IMAGES, NORMALS)]
    labelled = range(FIRST_SEED, FIRST_SEED + 100_000)
    assert not any(seeds.start < labelled.stop and labelled.start < seeds.stop for seeds in used)


def test_breasts_beside_a_lesion_are_no_normals() -> None:
    studies = LabelledSet(normal=5, anomalous=2, first_seed=9).studies()
    assert studies == [(9, 0), (10, 0), (11, 0), (12, 1), (13, 1)]
