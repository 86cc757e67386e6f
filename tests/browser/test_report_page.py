"""A study's report in a real browser, opened from disk with the network switched off."""

from pathlib import Path

import pytest
from result_builders import make_breast, make_contract, make_study

from browser.chromium import Page
from browser.conftest import ARTIFACTS, assert_quiet_and_alone, assert_readable
from fcdd_runtime.findings import Finding
from fcdd_runtime.report.colormap import PUBLISHED_LOOK
from fcdd_runtime.report.write import write_study_report

OPACITY_SHOWN = "[...document.querySelectorAll('.heat')].map((layer) => Number(getComputedStyle(layer).opacity))"
SEEN = "filter((layer) => layer.checkVisibility({visibilityProperty: true}))"
HEAT_SHOWN = f"[...document.querySelectorAll('.heat')].{SEEN}.map((layer) => layer.classList[1])"
MARKS_SHOWN = f"[...document.querySelectorAll('.peak-mark')].{SEEN}.length"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "study"
    study = make_study(
        study_instance_uid="1.2.840." + "7" * 56,
        findings=(
            Finding("not-breast", "The body part examined is not the breast. " * 3),
            Finding("not-breast", "Two slices repeat a position and phase."),
        ),
        contract=make_contract(notes=("Drift of 2 % accepted, since no image changed its place in the order.",)),
    )
    write_study_report(study, folder)
    return folder / "report.html"


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_report_opens_from_disk_without_network_and_is_readable(page: Page, report: Path, width: int) -> None:
    page.open(report, width)
    assert_readable(page)
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    page.screenshot(ARTIFACTS / f"report_{width}.png")
    assert_quiet_and_alone(page, report)


def test_a_report_of_one_breast_is_readable(page: Page, tmp_path: Path) -> None:
    write_study_report(make_study(make_breast("L")), tmp_path / "study", PUBLISHED_LOOK)
    path = tmp_path / "study" / "report.html"
    page.open(path, 1280)
    assert_readable(page)
    page.screenshot(ARTIFACTS / "report_one_breast_jet.png")
    assert_quiet_and_alone(page, path)


def test_the_slider_changes_the_heatmaps_opacity(page: Page, report: Path) -> None:
    page.open(report, 1280)
    before = page.evaluate(OPACITY_SHOWN)
    page.evaluate("document.getElementById('opacity').focus()")
    for _ in range(3):
        page.press("ArrowRight")
    after = page.evaluate(OPACITY_SHOWN)
    assert before == pytest.approx([0.5] * 4)
    assert after == pytest.approx([0.65] * 4)
    assert page.evaluate("document.getElementById('opacity-value').textContent") == "65 %"
    assert_quiet_and_alone(page, report)


def test_a_key_hides_and_shows_the_heatmap(page: Page, report: Path) -> None:
    page.open(report, 1280)
    assert page.evaluate(HEAT_SHOWN) == ["global", "global"]
    page.press("h")
    assert page.evaluate(HEAT_SHOWN) == []
    assert page.evaluate("document.getElementById('show-heat').checked") is False
    page.press("h")
    assert page.evaluate(HEAT_SHOWN) == ["global", "global"]


def test_a_key_hides_and_shows_the_peaks(page: Page, report: Path) -> None:
    page.open(report, 1280)
    assert page.evaluate(MARKS_SHOWN) == 2
    page.press("p")
    assert page.evaluate(MARKS_SHOWN) == 0


def test_the_scale_can_be_chosen(page: Page, report: Path) -> None:
    page.open(report, 1280)
    scale = "document.getElementById('scale')"
    page.evaluate(f"{scale}.value = 'local'; {scale}.dispatchEvent(new Event('change'))")
    assert page.evaluate(HEAT_SHOWN) == ["local", "local"]
    assert "97 % quantile" in page.evaluate("document.querySelector('.legend').innerText")
    assert_quiet_and_alone(page, report)


def test_the_peak_mark_lies_on_its_pixel(page: Page, report: Path) -> None:
    page.open(report, 1280)
    place = """(() => {
      const mark = document.querySelector('#breast-R .peak-mark').getBoundingClientRect();
      const image = document.querySelector('#breast-R .mip').getBoundingClientRect();
      const down = mark.top + mark.height / 2 - image.top, right = mark.left + mark.width / 2 - image.left;
      return [down / image.height, right / image.width];
    })()"""
    assert page.evaluate(place) == pytest.approx([50.5 / 140, 70.5 / 160], abs=0.005)
