"""Images that a site verifies on: pairs of a network of two inputs, and what the report says of the images."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fcdd_export.cli import main
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.gate.images import VerificationImages, verification_facts, verification_images
from fcdd_export.networks import fcdd_ref
from fcdd_runtime.errors import ImageError
from support import WriteSnapshot

ONE, TWO = ("mip",), ("mip", "reference")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images `normal/0.png` to `anomalous/1.png`, of grey 10, 20, 30 and 40, in a folder that bears a name."""
    for index, place in enumerate(("normal/0", "normal/1", "anomalous/0", "anomalous/1")):
        path = tmp_path / "Doe_Jane" / "verify" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((224, 224), 10 * (index + 1), np.uint8)).save(path)
    return tmp_path / "Doe_Jane" / "verify"


def table(folder: Path, rows: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text("image,reference\n" + rows)
    return path


ROWS = "normal/0.png,normal/1.png\nnormal/1.png,normal/0.png\nanomalous/0.png,normal/0.png\n"
LAST = "anomalous/1.png,normal/0.png\n"


def greys(images: Any) -> list[int]:
    return [int(image[0, 0]) for image in images]


def test_a_table_gives_each_image_its_reference_in_the_order_of_the_images(folder: Path) -> None:
    found = verification_images(folder, table(folder, ROWS + LAST), TWO)
    assert found.references is not None and found.labels is not None
    assert (greys(found.images), greys(found.references)) == ([30, 40, 10, 20], [10, 10, 20, 10])
    assert found.labels.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS, 'image "anomalous/1.png" has no row in the table of references'),
        (ROWS + "anomalous/1.png,anomalous/1.png\n", 'compares image "anomalous/1.png" with itself'),
        (ROWS + LAST + "other.png,normal/0.png\n", 'names image "other.png", which the folder of images does not hold'),
    ],
)
def test_a_table_that_leaves_a_pair_open_is_refused(rows: str, words: str, folder: Path) -> None:
    with pytest.raises(ImageError, match=words):
        verification_images(folder, table(folder, rows), TWO)


def test_references_that_nothing_is_compared_with_are_refused(folder: Path) -> None:
    with pytest.raises(ImageError, match="give that folder too"):
        verification_images(None, table(folder, ROWS + LAST), TWO)
    with pytest.raises(ImageError, match="leave it out"):
        verification_images(folder, table(folder, ROWS + LAST), ONE)


def test_what_is_said_of_images_names_the_folder_alone_and_changes_with_their_content(folder: Path) -> None:
    images = verification_images(folder, None, ONE)
    pixels = np.stack(images.images)[:, np.newaxis]
    facts = verification_facts(images, {"mip": pixels})
    assert (facts.folder, facts.images, facts.classes) == ("verify", 4, {"normal": 2, "anomalous": 2})
    assert facts.sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert verification_facts(images, {"mip": pixels + np.uint8(1)}).sha256 != facts.sha256
    drawn = verification_facts(VerificationImages((), None), {"mip": drawn_images(2)})
    assert (drawn.folder, drawn.images, drawn.classes, drawn.references) == (None, 2, None, None)


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def report_of(repo: Path) -> tuple[dict[str, Any], str]:
    folder = repo / "fcdd_fp32"
    return json.loads((folder / "export_report.json").read_text()), (folder / "export_report.md").read_text()


def test_a_network_of_two_inputs_has_its_auc_judged_with_the_pairs_of_the_table_only(
    folder: Path, tmp_path: Path, write_snapshot: WriteSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    # VGG's hidden layers hold 120 of the 134 million weights: a few values say as much here.
    monkeypatch.setattr(fcdd_ref, "HIDDEN", 16)
    snapshot = write_snapshot(tmp_path / "snapshot", net="FCDD_REF_CNN224_VGG_NOPT", objective="fcddrefs")
    options = [snapshot, "--precision", "fp32", "--verify-images", folder, "--repo"]
    plain = run(*options, tmp_path / "plain")
    paired = run(*options, tmp_path / "paired", "--verify-references", table(folder, ROWS + LAST))
    assert (plain.exit_code, paired.exit_code) == (0, 0), plain.output + paired.output
    assert "the AUC is not judged; give --verify-references" in plain.stderr and not paired.stderr
    (plain_report, _), (report, page) = report_of(tmp_path / "plain"), report_of(tmp_path / "paired")
    aucs = [
        [drift["auc"] for drift in document["drifts"] if not drift["extreme"]] for document in (plain_report, report)
    ]
    assert aucs[0] == [None] and aucs[1][0]["change"] == 0
    assert plain_report["verification"]["references"] == "each image's neighbour"
    assert report["verification"]["sha256"] != plain_report["verification"]["sha256"]
    assert "4 of the folder `verify` (2 normal, 2 anomalous) compared with: recorded" in page


def test_too_few_images_to_put_in_order_are_named_as_the_reason_why_the_order_is_not_judged(
    folder: Path, tmp_path: Path, write_snapshot: WriteSnapshot
) -> None:
    snapshot = write_snapshot(tmp_path / "snapshot")
    result = run(snapshot, "--precision", "fp32", "--verify-images", folder / "normal", "--repo", tmp_path / "repo")
    assert result.exit_code == 0, result.output
    assert "Warning: the order of the scores is not judged" in result.stderr
    report, page = report_of(tmp_path / "repo")
    drifts = {drift["extreme"]: drift for drift in report["drifts"]}
    assert (drifts[False]["rank_correlation"], drifts[False]["rank_not_judged"]) == (None, "fewer than 3 images")
    assert drifts[True]["rank_not_judged"] is None
    assert "| rank correlation of scores | not judged: fewer than 3 images |" in page
