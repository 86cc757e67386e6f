import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fcdd_export.networks.registry import published_network, upsampling_of
from fcdd_export.networks.snapshot import load_snapshot
from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.contract import SCHEMA_VERSION, Display, EngineSource, MipRecipe, ModelContract, OperatingPoint
from phantom import __main__ as command
from phantom import draw_phantom
from phantom.dataset import RESIZE, Split, breasts_of, cells_on_lesions, lesion_mask
from phantom.difficulties import DIFFICULTIES
from phantom.evaluate import evaluation, findings_of, operating_point
from phantom.train import (
    NET,
    Statistics,
    TrainingOptions,
    balanced,
    fcdd_loss,
    pixel_statistics,
    scores_of,
    train,
    write_snapshot,
)

SNAPSHOT = Path(command.__file__).parent / "snapshot"


def test_loss_grows_with_the_map_beside_lesions_and_falls_with_it_on_them() -> None:
    output = torch.full((2, 1, 28, 28), 2.0)
    height = math.sqrt(5) - 1
    masks = torch.zeros((2, 28, 28))
    assert fcdd_loss(output, masks).item() == pytest.approx(height, rel=1e-6)
    masks[1, :7] = 1
    beside, on = height * 3 / 4, height / 4
    anomalous = beside - math.log(1 - math.exp(-on))
    assert fcdd_loss(output, masks).item() == pytest.approx((height + anomalous) / 2, rel=1e-6)


def test_loss_of_an_anomaly_that_is_not_seen_is_finite_and_has_a_gradient() -> None:
    output, mask = torch.full((1, 1, 28, 28), 1e-3, requires_grad=True), torch.zeros((1, 28, 28))
    mask[0, 3, 4] = 1
    loss = fcdd_loss(output, mask)
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(loss.item())
    assert output.grad is not None
    assert output.grad[0, 0, 3, 4] < 0


def test_masks_cover_the_cells_that_show_a_lesion() -> None:
    for example in breasts_of(draw_phantom(11, lesions=1, phases=2)):
        mask, cells = lesion_mask(example), cells_on_lesions(example)
        assert cells.any() == bool(example.lesions)
        for row, column in zip(*np.nonzero(mask), strict=True):
            assert cells[row * 28 // mask.shape[0], column * 28 // mask.shape[1]]
        # A cell covers several pixels of the image, and resizing reaches into the next.
        assert cells.mean() <= 4 * mask.mean() + 9 / 28**2


def test_balancing_takes_every_normal_once_and_as_many_anomalies() -> None:
    labels = np.arange(20) % 5 == 0
    chosen = balanced(labels, np.random.default_rng(0))
    assert sorted(chosen[~labels[chosen]]) == np.flatnonzero(~labels).tolist()
    assert labels[chosen].sum() == 16


def test_statistics_equal_those_of_all_pixels_with_n_minus_1() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 5, 4), dtype=np.uint8)
    statistics = pixel_statistics(images)
    assert statistics.mean == pytest.approx((images / 255).mean(), rel=1e-12)
    assert statistics.std == pytest.approx((images / 255).std(ddof=1), rel=1e-12)


def test_training_repeats_to_the_last_bit_and_moves_the_weights() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 224, 224), dtype=np.uint8)
    labels, options = np.array([True, False, False, True]), TrainingOptions(epochs=1, batch_size=4)
    masks = np.zeros((4, 28, 28), np.bool_)
    masks[labels, 5:9, 5:9] = True
    one, other = (train(images, labels, masks, options).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    torch.manual_seed(options.seed)
    assert not torch.equal(one["conv1.weight"], published_network(NET).state_dict()["conv1.weight"])


def test_written_snapshot_is_read_as_a_published_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, statistics = published_network(NET).eval(), Statistics(0.2, 0.1)
    write_snapshot(network, statistics, TrainingOptions(), tmp_path)
    snapshot = load_snapshot(tmp_path)
    assert snapshot.net == NET
    assert snapshot.resize == RESIZE
    assert snapshot.normalization is not None
    assert (snapshot.normalization.mean, snapshot.normalization.std) == ((0.2,) * 3, (0.1,) * 3)
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 224, 224), dtype=np.uint8)
    assert np.array_equal(
        scores_of(network, images, statistics), scores_of(snapshot.network.eval(), images, statistics)
    )


def test_operating_point_reaches_its_sensitivity() -> None:
    labels = np.arange(40) % 4 == 0
    scores = np.random.default_rng(0).random(40).astype(np.float32)
    point = operating_point(scores, labels)
    assert (scores[labels] >= point["threshold"]).mean() >= point["sensitivity"]
    assert "40 drawn phantom breasts, 10 with a lesion" in point["source"]


def test_evaluation_counts_flagged_and_localised_lesions_in_3d() -> None:
    phantom = draw_phantom(11, lesions=1, phases=2, enhancement=4.0)
    lesion, examples = phantom.lesions[0], breasts_of(phantom)
    [shown] = [example.image for example in examples if example.lesions]
    column, row = (round((lesion.centre_mm[axis] - shown.patient_mm(0, 0)[axis]) / 1.75) for axis in (0, 1))
    rows, columns = shown.pixels.shape
    cell = row * 28 // rows, column * 28 // columns
    hit = evaluation(findings_of(examples, FakeBackend(_contract(), cell=cell)), _contract())
    miss = evaluation(findings_of(examples, FakeBackend(_contract(), cell=(0, 0))), _contract())
    assert hit["localisation"]["all"] == {
        "breasts": 1,
        "flagged": 1,
        "peak_in_lesion": 1,
        "share": 1.0,
        "region_in_lesion": 1,
    }
    assert miss["localisation"]["all"] == {
        "breasts": 1,
        "flagged": 1,
        "peak_in_lesion": 0,
        "share": 0.0,
        "region_in_lesion": 0,
    }
    assert hit["auc"]["auc"] == 0.5


def test_images_command_names_what_each_image_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "IMAGES", Split(first_seed=500, studies=1, lesion_share=1.0))
    answer = CliRunner().invoke(command.main, ["images", "--out", str(tmp_path)])
    assert answer.exit_code == 0
    kinds = sorted(path.stem.split("_")[2] for path in tmp_path.iterdir())
    assert kinds == ["lesion", "normal"]


def test_bundled_snapshot_is_small_and_complete() -> None:
    snapshot = load_snapshot(SNAPSHOT)
    assert snapshot.net == NET
    assert snapshot.normalization is not None
    assert snapshot.operating_point is not None
    assert (SNAPSHOT / "snapshot.pt").stat().st_size <= 3_000_000


def test_recorded_figures_are_of_the_bundled_snapshot_and_good_enough() -> None:
    report: dict[str, Any] = json.loads((SNAPSHOT / "evaluation.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((SNAPSHOT / "snapshot.pt").read_bytes()).hexdigest()
    assert report["model"]["snapshot_sha256"] == digest
    assert (report["auc"]["normals"], report["auc"]["anomalies"]) == (441, 150)
    assert report["auc"]["auc"] >= 0.90
    assert report["localisation"]["all"]["share"] >= 0.90
    assert set(report["one_difficulty"]) == {"none", *DIFFICULTIES}
    assert all(figures["auc"]["auc"] >= 0.85 for figures in report["one_difficulty"].values())


def _contract() -> ModelContract:
    return ModelContract(
        schema_version=SCHEMA_VERSION,
        name="fake",
        network=NET,
        objective="fcdd",
        inputs=("mip",),
        resize=RESIZE,
        recipe=MipRecipe(),
        map_shape=(28, 28),
        map_kind="fcdd",
        upsampling=upsampling_of(NET, 10),
        display=Display(0.97, (0.0, 1.0)),
        operating_point=OperatingPoint(0.5, None, "chosen for the tests"),
        precision="fp32",
        target="python",
        artefact="1/model.onnx",
        max_batch_size=4,
        mean=(0.2,),
        std=(0.1,),
        snapshot_sha256="",
        artefact_sha256="",
        engine_source=EngineSource("model.onnx", "golden.npz", "ef" * 32),
        versions={},
    )
