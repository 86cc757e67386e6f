"""The browser that all tests here share, and how they judge a layout."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.chromium import Chromium, Page, running_chromium

ARTIFACTS = Path(__file__).parents[2] / "test_artifacts"

_CLIPPED = """[...document.querySelectorAll('body *')].filter((tag) => {
  const own = [...tag.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const style = getComputedStyle(tag);
  if (!own || !tag.checkVisibility() || ['OPTION', 'TITLE', 'STYLE', 'SCRIPT'].includes(tag.tagName)) return false;
  const box = tag.getBoundingClientRect();
  const tooWide = tag.scrollWidth > tag.clientWidth + 1, tooHigh = tag.scrollHeight > tag.clientHeight + 1;
  const cut = style.overflow !== 'visible' && (tooWide || tooHigh);
  return box.left < -0.5 || box.right > innerWidth + 0.5 || cut || parseFloat(style.fontSize) < 12;
}).map((tag) => tag.tagName + ' ' + tag.className + ': ' + tag.textContent.slice(0, 60))"""
"""Elements with text that reaches out of the window, is cut off, or is smaller than 12 px."""


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with running_chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(chromium: Chromium) -> Iterator[Page]:
    tab = chromium.new_page()
    yield tab
    chromium.close(tab)


def assert_readable(page: Page) -> None:
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(_CLIPPED) == []


def assert_quiet_and_alone(page: Page, path: Path) -> None:
    """Nothing but the page itself was loaded, and nothing was complained about."""
    assert page.complaints() == []
    assert page.requests() == [path.as_uri()]
