"""The highest rate of requests that a limit allows, by bisection."""

from collections.abc import Callable

TOLERANCE = 0.05
"""Width of the last bracket, as a share of its upper end."""
LOWEST_SHARE = 0.02
"""Of the starting guess: below that, nothing is looked for."""
MOST_DOUBLINGS = 3

Bracket = tuple[float | None, float | None]
"""The highest rate that met the limit, requests a second, and the lowest that did not; None: there was none."""


def highest_rate(meets_limit: Callable[[float], bool | None], guess: float, known: float = 0.0) -> Bracket:
    """Narrow the highest rate that meets a limit to a bracket of 5 %, or of what the time allows.

    Parameters
    ----------
    meets_limit : runs one rate, requests a second; taken to be true below some rate and false above; None: there is no
        time left to run it, which ends the search
    guess : what a closed loop reaches, requests a second; doubled as long as it meets the limit, three times at most
    known : a rate that is known to meet the limit, requests a second; 0: none is
    """
    met, failed = known, None
    rate = guess if guess > known else 2 * known
    for _ in range(MOST_DOUBLINGS + 1):
        verdict = meets_limit(rate)
        if not verdict:
            failed = None if verdict is None else rate
            break
        met, rate = rate, 2 * rate
    while failed is not None and failed - met > TOLERANCE * failed and failed > LOWEST_SHARE * guess:
        middle = (met + failed) / 2
        verdict = meets_limit(middle)
        if verdict is None:
            break
        met, failed = (middle, failed) if verdict else (met, middle)
    return met or None, failed
