"""The words that results are told in: sides, states, scores and positions."""

from typing import NamedTuple

SIDES = {"R": "Right", "L": "Left"}


class State(NamedTuple):
    """What became of a breast or an exam."""

    style: str
    """Class in the style sheets."""
    words: str
    shape: str
    """Says the same without colour."""


STATES = {
    True: State("flagged", "Flagged", "▲"),
    False: State("unflagged", "Not flagged", "●"),
    None: State("undecided", "No operating point", "○"),
}
"""By `flagged`."""
NOT_SCORED = State("failed", "Not scored", "✕")


def state_in_words(flagged: bool | None) -> str:
    """Return what stands within a line of text, such as `not flagged`."""
    words = STATES[flagged].words
    return words[0].lower() + words[1:]


def score_in_words(score: float) -> str:
    """Round a score for people."""
    return f"{score:.4f}" if score == 0 or score >= 0.001 else f"{score:.3e}"


def position_in_words(patient_mm: tuple[float, float, float]) -> str:
    """Say where a point is, such as `L 52 mm, A 31 mm, H 12 mm`.

    Parameters
    ----------
    patient_mm : LPS; positive is to the left, to the back (P) and to the head (H), negative R, A and F
    """
    letters = (("L", "R"), ("P", "A"), ("H", "F"))
    return ", ".join(
        f"{positive if round(value) >= 0 else negative} {abs(round(value))} mm"
        for value, (positive, negative) in zip(patient_mm, letters, strict=True)
    )
