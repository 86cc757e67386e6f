"""Templates of `templates/` filled with text that is escaped unless it says that it is markup."""

import html
from collections.abc import Iterable, Mapping
from importlib.resources import files
from string import Template


class Html(str):
    """Markup, as opposed to text that has yet to be escaped."""

    __slots__ = ()


def filled(name: str, values: Mapping[str, str]) -> Html:
    """Put values into a template of `templates/`; what is not Html is escaped."""
    escaped = {key: value if isinstance(value, Html) else html.escape(value) for key, value in values.items()}
    return Html(Template(page_file(name)).substitute(escaped))


def joined(parts: Iterable[str]) -> Html:
    """Return parts one after the other."""
    return Html("".join(parts))


def page_file(name: str) -> str:
    """Return a file of `templates/`."""
    return (files("fcdd_runtime") / "report" / "templates" / name).read_text(encoding="utf-8")
