"""Markup that is pasted together, by the benchmarks' report only; pages come from templates (`pages.py`)."""

from collections.abc import Iterable


class Html(str):
    """Markup, as opposed to text that has yet to be escaped."""

    __slots__ = ()


def joined(parts: Iterable[str]) -> Html:
    """Return parts one after the other."""
    return Html("".join(parts))
