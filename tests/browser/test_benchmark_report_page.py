"""A benchmark's report in a real browser, opened from disk with the network switched off."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.labelled_folder import write_labelled_images
from browser.chromium import Page
from browser.conftest import ARTIFACTS, assert_quiet_and_alone, assert_readable
from fcdd_benchmarks.cli import main

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def report(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The accuracy report of two precisions."""
    folder = tmp_path_factory.mktemp("accuracy")
    images = write_labelled_images(folder / "images")
    models = [f"--model={repository / name}" for name in ("small_fp32", "small_fp16")]
    arguments = ["accuracy", "--images", str(images), "--resamples", "100", "--out", str(folder / "out"), *models]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return folder / "out" / "report.html"


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_accuracy_report_opens_from_disk_and_is_readable(page: Page, report: Path, width: int) -> None:
    page.open(report, width, 1900)
    assert_readable(page)
    assert page.evaluate("[...document.images].map((shown) => shown.naturalWidth > 0)") == [True, True]
    page.screenshot(ARTIFACTS / f"accuracy_{width}.png")
    assert_quiet_and_alone(page, report)


def test_the_report_names_its_use_first_and_every_model_in_the_table(page: Page, report: Path) -> None:
    page.open(report, 1280)
    assert page.evaluate("document.body.firstElementChild.textContent").startswith("Research use only")
    headers = "[...document.querySelector('table').querySelectorAll('thead th')].map((shown) => shown.textContent)"
    assert page.evaluate(headers) == ["", "small_fp32", "small_fp16"]


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_study_report_opens_from_disk_and_is_readable(
    page: Page, repository: Path, tmp_path: Path, width: int
) -> None:
    scored = ["--model", str(repository / "small_fp32"), "--studies", "2", "--rounds", "1"]
    arguments = ["study", "--slices", "12", "--size", "96", "--repeats", "1", "--out", str(tmp_path), *scored]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    page.open(tmp_path / "report.html", width, 2300)
    assert_readable(page)
    assert page.evaluate("[...document.images].map((shown) => shown.naturalWidth > 0)") == [True, True]
    page.screenshot(ARTIFACTS / f"study_{width}.png")
    assert_quiet_and_alone(page, tmp_path / "report.html")


def test_the_export_report_opens_from_disk_and_is_readable(page: Page, tmp_path: Path) -> None:
    arguments = ["export", "--network", "FCDD_CNN224", "--precision", "fp32", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    page.open(tmp_path / "report.html", 1280, 1400)
    assert_readable(page)
    page.screenshot(ARTIFACTS / "export_1280.png")
    assert_quiet_and_alone(page, tmp_path / "report.html")


@pytest.mark.parametrize("name", ["vgg/compare", "vgg/latency", "vgg/latency_triton", "phantom/prevalence_2"])
def test_the_committed_reports_open_from_disk_and_are_readable(page: Page, name: str) -> None:
    report = RESULTS / name / "report.html"
    page.open(report, 1280, 2300)
    assert_readable(page)
    shown = page.evaluate("[...document.images].map((shown) => shown.naturalWidth > 0)")
    assert shown
    assert all(shown)
    page.screenshot(ARTIFACTS / f"{name.replace('/', '_')}.png")
    assert_quiet_and_alone(page, report)


def test_the_drift_report_opens_from_disk_and_is_readable(page: Page, tmp_path: Path) -> None:
    base = str(RESULTS / "vgg" / "accuracy")
    result = CliRunner().invoke(main, ["drift", base, base, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    page.open(tmp_path / "report.html", 1280, 1400)
    assert_readable(page)
    page.screenshot(ARTIFACTS / "drift_1280.png")
    assert_quiet_and_alone(page, tmp_path / "report.html")
