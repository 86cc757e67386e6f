"""`python -m phantom`: draw a study, draw images, train the small network on drawn studies, evaluate a model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from PIL import Image

from fcdd_runtime.backends import open_folder
from fcdd_runtime.commands import reporting_errors
from phantom.dataset import SPLITS, Split, examples_of, training_images
from phantom.dicom import write_phantom
from phantom.difficulties import DIFFICULTIES, check_difficulties
from phantom.draw import Phantom, draw_phantom
from phantom.evaluate import evaluation, figures, findings_of, operating_point
from phantom.gallery import gallery_page
from phantom.labelled import FIRST_SEED, LabelledSet, write_labelled

_FOLDER = Path(__file__).parent
IMAGES = Split(first_seed=400_000, studies=16, lesion_share=0.5)
NORMALS = Split(first_seed=500_000, studies=32, lesion_share=0.0)


@click.group()
def main() -> None:
    """Drawn bilateral breast DCE studies with known lesions. No patient data, research use only."""


@main.command()
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True)
@click.option("--lesions", type=click.IntRange(0, 10), default=1, show_default=True)
@click.option(
    "--with",
    "wanted",
    multiple=True,
    metavar="NAME[=STRENGTH]",
    help=f"A difficulty and how strong it is, 0 to 1; repeatable: {', '.join(DIFFICULTIES)}.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@reporting_errors
def draw(seed: int, lesions: int, wanted: tuple[str, ...], out: Path) -> None:
    """Draw a study: DICOM files in OUT/dicom, and where the lesions are in OUT/truth.json."""
    phantom = draw_phantom(seed, lesions, difficulties=_difficulties(wanted))
    files = write_phantom(phantom, out / "dicom")
    _write_json(out / "truth.json", _truth(phantom))
    click.echo(f"{len(files)} files in {out / 'dicom'}, {len(phantom.volumes)} phases")
    for lesion in phantom.lesions:
        x, y, z = lesion.centre_mm
        click.echo(
            f"lesion in {lesion.laterality}: centre ({x:.1f}, {y:.1f}, {z:.1f}) mm LPS, "
            f"radius {lesion.radius_mm:.1f} mm"
        )


@main.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=_FOLDER / "mips", show_default=True)
@reporting_errors
def images(out: Path) -> None:
    """Draw breast images as PNG, half of the studies with a lesion: what an export is verified on."""
    _write_images(IMAGES, out)


@main.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=_FOLDER / "normal_mips", show_default=True
)
@reporting_errors
def normals(out: Path) -> None:
    """Draw breast images without a lesion as PNG: what INT8 is calibrated on."""
    _write_images(NORMALS, out)


@main.command()
@click.option("--normal", type=click.IntRange(1), default=500, show_default=True, help="Breasts without a lesion.")
@click.option("--anomalous", type=click.IntRange(1), default=500, show_default=True, help="Breasts with one lesion.")
@click.option("--first-seed", type=click.IntRange(0, 2**31), default=FIRST_SEED, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@reporting_errors
def labelled(normal: int, anomalous: int, first_seed: int, out: Path) -> None:
    """Draw breasts for `fcdd-bench accuracy`: images by class, lesion masks, and the study of each as its group."""
    write_labelled(LabelledSet(normal, anomalous, first_seed), out)
    click.echo(f"{normal} normal and {anomalous} anomalous breasts in {out}")


@main.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=_FOLDER / "snapshot", show_default=True
)
@reporting_errors
def train(out: Path) -> None:
    """Train the network on drawn studies and write the snapshot with its operating point."""
    from phantom import train as training  # noqa: PLC0415 (torch is needed here only)

    options = training.TrainingOptions()
    pixels, labels, masks = training_images(SPLITS["train"])
    statistics = training.pixel_statistics(pixels[~labels])
    network = training.train(pixels, labels, masks, options)
    training.write_snapshot(network, statistics, options, out)
    pixels, labels, _ = training_images(SPLITS["validation"])
    scores = training.scores_of(network, pixels, statistics)
    _write_json(out / "operating_point.json", operating_point(scores, labels))


@main.command()
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Model folder, from fcdd-export.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="JSON file to write; else printed only.")
@reporting_errors
def evaluate(model: Path, out: Path | None) -> None:
    """Evaluate an exported model on test studies, which were used for nothing else, and for each difficulty alone."""
    alone: dict[str, dict[str, float]] = {"none": {}} | {name: {name: 1.0} for name in DIFFICULTIES}
    with open_folder(model) as backend:
        report = evaluation(findings_of(examples_of(SPLITS["test"]), backend), backend.contract)
        report["one_difficulty"] = {
            name: figures(findings_of(examples_of(SPLITS["one difficulty"], hard), backend), backend.contract)
            for name, hard in alone.items()
        }
    click.echo(json.dumps(report, indent=2))
    if out is not None:
        _write_json(out, report)


@main.command()
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=3, show_default=True)
@click.option("--real", type=click.Path(path_type=Path, exists=True), help="A real examination to show beside them.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="phantoms.html", show_default=True)
@reporting_errors
def gallery(seed: int, real: Path | None, out: Path) -> None:
    """Show each difficulty in a row on one page: the patient, the subtraction, and what a network gets to see."""
    out.write_text(gallery_page(seed, real), encoding="utf-8")
    click.echo(str(out))


def _difficulties(wanted: tuple[str, ...]) -> dict[str, float]:
    try:
        strengths = {name: float(strength or 1) for name, _, strength in (one.partition("=") for one in wanted)}
        check_difficulties(strengths)
    except ValueError as error:
        raise click.UsageError(f"--with: {error}") from error
    return strengths


def _truth(phantom: Phantom) -> dict[str, Any]:
    return {"seed": phantom.seed, "lesions": [asdict(lesion) for lesion in phantom.lesions]}


def _write_images(split: Split, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for earlier in out.glob("*_[LR]_*.png"):
        earlier.unlink()
    for example in examples_of(split):
        kind = "lesion" if example.lesions else "normal"
        name = f"{example.seed}_{example.image.laterality}_{kind}.png"
        Image.fromarray(example.image.pixels).save(out / name, optimize=True)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(prog_name="python -m phantom")
