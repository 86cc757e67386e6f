"""The three steps of scoring: they may run in different processes, and many studies may share a batch."""

import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from mock_study import MockStudy, breast_phantom, cropped
from result_builders import make_contract

from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores
from fcdd_runtime.contract import MipRecipe, ModelContract
from fcdd_runtime.images.network_input import infer_images
from fcdd_runtime.result import BreastResult, StudyResult
from fcdd_runtime.score_study import Prepared, finish, prepare, score_study
from fcdd_runtime.study.read import Study, read_studies


class LocalBackend(Backend):
    """Maps each image's mean grey over the pixels of a map cell, less that of its reference if there is one."""

    def __init__(self, contract: ModelContract):
        self.contract = contract

    def infer(self, batch: Batch) -> tuple[Scores, Maps]:
        """Answer every image by itself, so that the batch it came in changes nothing."""
        maps = sum(
            weight * batch[name].reshape(-1, 28, 8, 28, 8).mean((2, 4))
            for name, weight in (("mip", 1), ("reference", -0.5))
            if name in batch
        )
        maps = np.abs(maps).astype(np.float32)
        return maps.mean((1, 2)), maps

    def close(self) -> None:
        """Nothing was opened."""


def study_of(name: str, folder: Path) -> Study:
    phantom = breast_phantom(seed=len(name))
    MockStudy(cropped(phantom, 54, 96) if name == "left" else phantom, study=name).write(folder / name)
    (study,), _ = read_studies(folder / name, folder)
    return study


def assert_equal(found: StudyResult, expected: StudyResult) -> None:
    assert [breast.laterality for breast in found.breasts] == [breast.laterality for breast in expected.breasts]
    for breast, other in zip(found.breasts, expected.breasts, strict=True):
        for field in fields(BreastResult):
            np.testing.assert_equal(getattr(breast, field.name), getattr(other, field.name))
    for name in ("study_instance_uid", "phases", "split", "contract", "findings", "exam_score", "flagged"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("inputs", [("mip",), ("mip", "reference")])
def test_studies_prepared_in_other_processes_and_scored_in_one_batch_have_the_results_of_each_alone(
    inputs: tuple[str, ...], tmp_path: Path
) -> None:
    contract = make_contract(inputs=inputs, recipe=MipRecipe(mirror_left=True))
    backend = LocalBackend(contract)
    names = ("a", "several") if "reference" in inputs else ("a", "several", "left")
    studies = [study_of(name, tmp_path) for name in names]
    alone = [score_study(study, backend) for study in studies]
    assert len({breast.score for result in alone for breast in result.breasts}) == sum(len(r.breasts) for r in alone)

    prepared: list[Prepared] = [pickle.loads(pickle.dumps(prepare(study, contract))) for study in studies]
    images = [image for each in prepared for image in each.images]
    references = [image for each in prepared for image in each.reference_images or []]
    scores, maps = infer_images(images, backend, references or None)
    begin = 0
    for each, expected in zip(prepared, alone, strict=True):
        own = slice(begin, begin + len(each.breasts))
        assert_equal(finish(each, scores[own], maps[own], contract), expected)
        begin = own.stop
