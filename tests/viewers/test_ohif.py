"""The results in a real viewer: OHIF in Chromium, beside a real archive; its pictures are kept in test_artifacts."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mock_study import read_study
from orthanc import DICOMWEB_URL, running_orthanc
from pydicom import dcmread
from result_builders import make_contract

from browser.chromium import Page, running_chromium
from browser.conftest import ARTIFACTS
from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.pacs.write import write_dicom_results
from fcdd_runtime.score_study import score_study
from phantom.dicom import write_phantom
from phantom.draw import draw_phantom

DIST = Path(__file__).parents[2] / ".ohif/package/dist"
PORT = 3000

_PLACE = """(text => {
  const tag = [...document.querySelectorAll('*')]
    .filter(one => !one.children.length && one.textContent.includes(text)).pop();
  tag.scrollIntoView({block: 'center'});
  const box = tag.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})"""
"""Where the last element with a text lies."""
_COLOURED = """[...document.querySelectorAll('canvas')].reduce((count, canvas) => {
  const context = canvas.width && canvas.getContext('2d');
  const data = context ? context.getImageData(0, 0, canvas.width, canvas.height).data : [];
  for (let at = 0; at < data.length; at += 4)
    if (Math.abs(data[at] - data[at + 1]) > 30 || Math.abs(data[at] - data[at + 2]) > 30) count++;
  return count;
}, 0)"""
"""How many pixels of all images on the page are neither black, grey nor white."""
_FRAME = r"Number(document.body.innerText.match(/\((\d)\/5\)/)[1])"
"""Which of five frames is shown, from 1."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A drawn study with a series a phase, and the DICOM results of it."""
    source, results = (tmp_path_factory.mktemp(name) for name in ("source", "results"))
    for path in write_phantom(draw_phantom(3), source):
        image = dcmread(path)
        image.SeriesNumber = int(image.TemporalPositionIdentifier)
        image.SeriesInstanceUID = f"{image.SeriesInstanceUID}.{image.SeriesNumber}"
        image.save_as(path)
    read = read_study(source)
    result = score_study(read, FakeBackend(make_contract(), cell=(10, 14)))
    assert write_dicom_results(result, read, results, results / "none") == ()
    return source, results


@pytest.fixture(scope="module")
def viewer(study: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """OHIF with the study open."""
    if not (DIST / "index.html").exists():
        pytest.skip("OHIF is not here; `make ohif` fetches it from the npm registry")
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        for folder in study:
            orthanc.store(folder, "*.dcm")
        serving = [sys.executable, str(Path(__file__).with_name("serve_ohif.py")), str(DIST), str(PORT), DICOMWEB_URL]
        server = subprocess.Popen(["ip", "netns", "exec", orthanc.namespace, *serving])
        try:
            with running_chromium(tmp_path_factory.mktemp("chromium"), orthanc.namespace) as browser:
                page = browser.new_page()
                uid = dcmread(next(study[1].glob("*.dcm"))).StudyInstanceUID
                page.visit(f"http://127.0.0.1:{PORT}/viewer?StudyInstanceUIDs={uid}", 1600, 900)
                until(page, says("Skip all"))
                click(page, "Skip all")
                until(page, f"!{says('Skip all')}")
                until(page, says("/48)"))
                yield page
        finally:
            server.terminate()
            server.wait()


def until(page: Page, condition: str) -> None:
    """Wait, for a minute at most, until an expression is true."""
    for _ in range(240):
        if page.evaluate(condition):
            return
        time.sleep(0.25)
    page.screenshot(ARTIFACTS / "ohif_waiting.png")
    raise AssertionError(f"never true: {condition}")


def says(text: str) -> str:
    return f"Boolean(document.body?.innerText?.includes({json.dumps(text)}))"


def click(page: Page, text: str, times: int = 1) -> None:
    """Click on the last element with a text, once it rests where it is."""
    before, here = None, page.evaluate(f"{_PLACE}({json.dumps(text)})")
    while here != before:
        time.sleep(0.25)
        before, here = here, page.evaluate(f"{_PLACE}({json.dumps(text)})")
    press(page, (here[0], here[1]), times)


def press(page: Page, place: tuple[float, float], times: int = 1) -> None:
    for count in range(1, times + 1):
        for kind in ("mousePressed", "mouseReleased"):
            page.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=count)


def test_a_region_is_drawn_on_the_source_slices(viewer: Page) -> None:
    assert viewer.evaluate(_COLOURED) == 0
    click(viewer, "FCDD L response region", times=2)
    until(viewer, says("Do you want to open this Segmentation?"))
    click(viewer, "Yes")
    until(viewer, f"!{says('Do you want to open this Segmentation?')}")
    # The panel of segments is behind the topmost symbol at the right edge.
    press(viewer, (1584, 101))
    until(viewer, says("Region of network"))
    click(viewer, "Region of network")
    until(viewer, f"{_COLOURED} > 100")
    viewer.screenshot(ARTIFACTS / "ohif_region.png")
    assert viewer.evaluate(says("AX T1 FS DCE phantom"))


def test_key_slices_can_be_scrolled_and_say_what_they_are(viewer: Page) -> None:
    click(viewer, "FCDD L key slices", times=2)
    until(viewer, says("/5)"))
    until(viewer, f"{_COLOURED} > 100")
    viewer.screenshot(ARTIFACTS / "ohif_key_slices.png")
    shown = viewer.evaluate(_FRAME)
    viewer.send("Input.dispatchMouseEvent", type="mouseWheel", x=800, y=450, deltaX=0, deltaY=100)
    until(viewer, f"{_FRAME} === {shown + 1}")


def test_every_object_is_listed_with_its_side_and_purpose(viewer: Page) -> None:
    text = viewer.evaluate("document.body.innerText")
    for kind in ("overlay", "key slices", "response region", "peak", "heatmap"):
        for side in "LR":
            assert f"FCDD {side} {kind} (not for diagnostic use)" in text
    assert "FCDD breast report (not for diagnostic use)" in text
