"""The index of many studies in a real browser, opened from disk with the network switched off."""

import dataclasses
from pathlib import Path

import pytest
from result_builders import make_breast, make_study

from browser.chromium import Page
from browser.conftest import ARTIFACTS, assert_quiet_and_alone, assert_readable
from fcdd_runtime.findings import Finding
from fcdd_runtime.report.index_page import FailedEntry, IndexEntry, index_entry, write_index
from fcdd_runtime.report.write import write_study_report

STUDIES = 1000
FOCUSED = "document.activeElement.querySelector('.name b')?.textContent"
VISIBLE = "[...document.querySelectorAll('.study')].filter((row) => row.checkVisibility())"
SHOWN = f"{VISIBLE}.length"
NAMES = f"{VISIBLE}.map((row) => row.querySelector('b').textContent)"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand studies, one of which was not scored; the three with the highest scores have their reports."""
    folder = tmp_path_factory.mktemp("index")
    example = index_entry(
        make_study(study_instance_uid="1.2.840." + "7" * 56, findings=(Finding("not-breast", "One."),))
    )
    rows: list[IndexEntry | FailedEntry] = [
        dataclasses.replace(example, study=f"{number:012x}", exam_score=number / STUDIES, flagged=number > 950)
        for number in range(1, STUDIES)
    ]
    for number in (999, 998, 997):
        write_study_report(
            make_study(make_breast("L", score=number / STUDIES, flagged=True)), folder / f"{number:012x}"
        )
    write_index(
        [FailedEntry("study 12 of incoming", "a slice is missing; export the study again"), *rows],
        folder / "index.html",
    )
    return folder / "index.html"


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_index_of_a_thousand_studies_opens_and_is_readable(page: Page, index: Path, width: int) -> None:
    page.open(index, width)
    assert page.evaluate(SHOWN) == STUDIES
    assert_readable(page)
    page.screenshot(ARTIFACTS / f"index_{width}.png")
    assert_quiet_and_alone(page, index)


@pytest.mark.parametrize(("following", "previous"), [("j", "k"), ("ArrowDown", "ArrowUp")])
def test_keys_go_from_study_to_study(page: Page, index: Path, following: str, previous: str) -> None:
    page.open(index, 1280)
    page.press(following)
    assert page.evaluate(FOCUSED) == f"{999:012x}"
    page.press(following)
    page.press(following)
    assert page.evaluate(FOCUSED) == f"{997:012x}"
    page.press(previous)
    assert page.evaluate(FOCUSED) == f"{998:012x}"
    for _ in range(5):
        page.press(previous)
    assert page.evaluate(FOCUSED) == f"{999:012x}"
    assert_quiet_and_alone(page, index)


def test_the_study_that_a_key_goes_to_is_in_sight(page: Page, index: Path) -> None:
    page.open(index, 1280, 720)
    for _ in range(30):
        page.press("j")
    box = page.evaluate("(({top, bottom}) => [top, bottom])(document.activeElement.getBoundingClientRect())")
    covered = page.evaluate("document.querySelector('header').getBoundingClientRect().bottom")
    assert covered <= box[0] < box[1] <= 720


def test_enter_opens_the_report_of_a_study(page: Page, index: Path) -> None:
    page.open(index, 1280)
    page.press("j")
    page.press("j")
    page.press("Enter")
    page.wait(f"location.href.endsWith('/{998:012x}/report.html') && document.readyState === 'complete'")
    assert page.evaluate("document.querySelector('.exam .number').textContent") == "0.9980"


def test_search_narrows_the_list_and_keys_stay_within_it(page: Page, index: Path) -> None:
    page.open(index, 1280)
    page.press("/")
    page.type("00003e")
    expected = [f"{number:012x}" for number in (*range(0x3E7, 0x3DF, -1), 0x3E)]
    assert page.evaluate(NAMES) == expected
    assert page.evaluate("document.getElementById('found').textContent") == f"{len(expected)} of {STUDIES}"
    page.press("ArrowDown")
    assert page.evaluate(FOCUSED) == expected[0]
    page.press("/")
    page.press("Escape")
    assert page.evaluate(SHOWN) == STUDIES
    assert_quiet_and_alone(page, index)


def test_a_letter_typed_into_the_search_moves_nothing(page: Page, index: Path) -> None:
    page.open(index, 1280)
    page.press("/")
    page.press("j")
    assert page.evaluate("document.getElementById('search').value") == "j"
    assert page.evaluate("document.activeElement.id") == "search"


def test_a_search_without_a_match_says_so(page: Page, index: Path) -> None:
    page.open(index, 1280)
    assert page.evaluate("document.getElementById('nothing').checkVisibility()") is False
    page.press("/")
    page.type("nobody")
    assert page.evaluate(SHOWN) == 0
    assert page.evaluate("document.getElementById('nothing').checkVisibility()") is True


def test_what_was_not_scored_is_found_by_its_state(page: Page, index: Path) -> None:
    page.open(index, 1280)
    page.press("/")
    page.type("not scored")
    assert page.evaluate(SHOWN) == 1
    assert "a slice is missing" in page.evaluate("document.querySelector('.study:not([hidden])').textContent")
