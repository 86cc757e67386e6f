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

    @property
    def in_line(self) -> str:
        """Its words within a line of text, such as `not flagged`."""
        return self.words[0].lower() + self.words[1:]


NOT_SCORED = State("failed", "Not scored", "✕")
_REVIEW = State("review", "Review", "◆")
_FLAGGED_REVIEW = State("flagged", "Flagged, review", "▲")
_SCORED = {
    True: State("flagged", "Flagged", "▲"),
    False: State("unflagged", "Not flagged", "●"),
    None: State("undecided", "No operating point", "○"),
}
"""By `flagged`."""


def state_of(flagged: bool | None, *, to_review: bool) -> State:
    """Return what a breast or an exam is shown as: in a study that is put to review, never as not flagged."""
    if not to_review:
        return _SCORED[flagged]
    return _FLAGGED_REVIEW if flagged else _REVIEW


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
