"""The highest rate of requests that a limit allows, by bisection."""

from collections.abc import Callable

TOLERANCE = 0.05
"""Width of the last bracket, as a share of its upper end."""
LOWEST_SHARE = 0.02
"""Of the starting guess: below that, nothing is looked for."""
MOST_DOUBLINGS = 3


def highest_rate(meets_limit: Callable[[float], bool], guess: float) -> float | None:
    """Return the highest rate found to meet a limit, within 5 % of the lowest found not to; None if there is none.

    Parameters
    ----------
    meets_limit : runs one rate, requests a second; taken to be true below some rate and false above
    guess : what a closed loop reaches, requests a second; doubled as long as it meets the limit, three times at most
    """
    good, bad = 0.0, guess
    for _ in range(MOST_DOUBLINGS):
        if not meets_limit(bad):
            break
        good, bad = bad, 2 * bad
    while bad - good > TOLERANCE * bad and bad > LOWEST_SHARE * guess:
        middle = (good + bad) / 2
        good, bad = (middle, bad) if meets_limit(middle) else (good, middle)
    return good or None
