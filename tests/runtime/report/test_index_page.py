"""The index of many studies: order, what each row says, and that it stands alone."""

import dataclasses
import html
import re
from pathlib import Path

import pytest
from result_builders import make_breast, make_contract, make_study

from fcdd_runtime.findings import Finding
from fcdd_runtime.report.colormap import PUBLISHED_LOOK
from fcdd_runtime.report.index_page import FailedEntry, IndexEntry, index_entry, write_index
from fcdd_runtime.report.pages import script_hash
from fcdd_runtime.report.write import study_folder_name

HOSTILE = '<script>alert("x")</script>&"\''


def entry(study: str, score: float, flagged: bool | None) -> IndexEntry:
    return dataclasses.replace(index_entry(make_study()), study=study, exam_score=score, flagged=flagged)


def page_of(tmp_path: Path, *rows: IndexEntry | FailedEntry) -> str:
    write_index(rows, tmp_path / "index.html")
    return (tmp_path / "index.html").read_text(encoding="utf-8")


def names(page: str) -> list[str]:
    """Studies and labels of failures, in the order of the page."""
    return re.findall(r'<span class="name[^"]*"><b[^>]*>([^<]*)</b>', page)


def text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<(style|script)>.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


def test_flagged_studies_come_first_then_those_to_review_then_failures_then_all_others(
    tmp_path: Path,
) -> None:
    page = page_of(
        tmp_path,
        entry("low", 0.1, False),
        dataclasses.replace(entry("doubtful", 0.2, False), review=("incomplete",)),
        dataclasses.replace(entry("flagged and doubtful", 0.6, True), review=("incomplete",)),
        entry("unknown", 0.9, None),
        FailedEntry("broken", "a slice is missing; export the study again"),
        entry("flagged low", 0.5, True),
        entry("middle", 0.3, False),
        entry("flagged high", 0.7, True),
    )
    assert names(page) == [
        *("flagged high", "flagged and doubtful", "flagged low", "doubtful", "broken", "unknown", "middle", "low")
    ]
    assert re.findall(r'class="study (\w+)"', page) == [
        *["flagged"] * 3,
        "review",
        "failed",
        *["undecided"],
        *["unflagged"] * 2,
    ]
    assert text(page).count("◆ incomplete") == 2
    assert 'title="less has come than the headers promise"' in page


def test_equal_scores_keep_one_order(tmp_path: Path) -> None:
    rows = [entry(name, 0.5, True) for name in "cab"]
    assert names(page_of(tmp_path, *rows)) == names(page_of(tmp_path, *reversed(rows))) == ["a", "b", "c"]


def test_a_row_links_to_the_report_and_shows_both_breasts(tmp_path: Path) -> None:
    study = make_study(
        findings=(
            Finding("jitter", "One."),
            Finding("lossy", "Two."),
        ),
        contract=make_contract(notes=("Three.",)),
    )
    page = page_of(tmp_path, index_entry(study))
    folder = study_folder_name(study.study_instance_uid)
    assert re.findall(r'<a [^>]*href="([^"]*)"', page) == [f"{folder}/report.html"]
    for expected in ("Flagged", "0.7500", "R 0.3000", "L 0.7500", study.study_instance_uid, folder, "3 notes"):
        assert expected in text(page)
    assert re.findall(r'alt="(\w+) breast"', page) == ["Right", "Left"]


def test_the_page_counts_what_it_lists(tmp_path: Path) -> None:
    rows = [entry(str(number), 0.1, number < 2) for number in range(5)]
    words = text(page_of(tmp_path, *rows, FailedEntry("broken", "no pixels")))
    assert "Flagged 2" in words
    assert "Not scored 1" in words
    assert "Not flagged 3" in words
    assert "6 of 6" in words


def test_a_failure_says_why_and_links_nowhere(tmp_path: Path) -> None:
    page = page_of(tmp_path, FailedEntry("study 3", "a slice is missing; export the study again"))
    assert "study 3 a slice is missing; export the study again" in text(page)
    assert "<a " not in page


def test_without_studies_there_is_a_page_too(tmp_path: Path) -> None:
    assert "0 of 0" in text(page_of(tmp_path))


@pytest.mark.parametrize("score", [0.0, 1e-7, 12345.0])
def test_any_score_fits_into_its_bar(tmp_path: Path, score: float) -> None:
    (percent,) = re.findall(r'class="fill" style="width:([\d.]+)%', page_of(tmp_path, entry("a", score, None)))
    assert float(percent) == (100 if score else 0)


def test_untrusted_text_is_shown_and_never_becomes_markup(tmp_path: Path) -> None:
    rows = (
        FailedEntry(HOSTILE, HOSTILE),
        dataclasses.replace(entry("a", 1, True), study=HOSTILE, study_instance_uid=HOSTILE),
    )
    page = page_of(tmp_path, *rows)
    assert page.count("<script>") == 1
    assert text(page).count(HOSTILE) == 4
    (link,) = re.findall(r'<a [^>]*href="([^"]*)"', page)
    assert not set(link) & set("<>&\"' ")


def test_the_page_needs_no_network_and_admits_its_own_script_only(tmp_path: Path) -> None:
    page = page_of(tmp_path, index_entry(make_study()))
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert f"script-src 'sha256-{script_hash(script)}'" in page
    assert "default-src 'none'" in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest", page)


def test_a_thousand_studies_stay_small(tmp_path: Path) -> None:
    example = index_entry(make_study())
    write_index([dataclasses.replace(example, study=str(number)) for number in range(1000)], tmp_path / "index.html")
    assert (tmp_path / "index.html").stat().st_size < 15_000_000


def test_thumbnails_have_the_chosen_look() -> None:
    study = make_study(make_breast("L"))
    assert index_entry(study).breasts[0].thumbnail != index_entry(study, PUBLISHED_LOOK).breasts[0].thumbnail


def test_an_earlier_index_is_replaced(tmp_path: Path) -> None:
    page_of(tmp_path, entry("old", 1, True))
    assert names(page_of(tmp_path, entry("new", 1, True))) == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
