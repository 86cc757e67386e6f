"""Percentiles, noise, arrivals, loops and the search for a rate, on times that are known."""

import threading
import time

import numpy as np
import pytest

from fcdd_benchmarks.latency.loops import (
    closed_loop,
    late_allowed,
    open_loop,
    poisson_arrivals,
    warm_up,
)
from fcdd_benchmarks.latency.rate_search import highest_rate
from fcdd_benchmarks.timing.interleaved import interleaved_ms
from fcdd_benchmarks.timing.summary import percentile, rate_interval, ratio_of_medians, summary_of
from fcdd_benchmarks.timing.triton_split import Counters, split_of


def test_percentiles_of_known_times() -> None:
    times = np.random.default_rng(0).permutation(np.arange(1.0, 1002.0))
    summary = summary_of(times)
    percentiles = (summary.p50, summary.p90, summary.p95, summary.p99)
    assert [found and found.value for found in percentiles] == pytest.approx([501, 901, 951, 991])
    assert (summary.samples, summary.mean_ms, summary.max_ms) == (1001, 501, 1001)


@pytest.mark.parametrize(("percent", "fewest"), [(50, 2), (90, 10), (95, 20), (99, 100)])
def test_a_percentile_needs_samples(percent: int, fewest: int) -> None:
    assert percentile(np.ones(fewest - 1), percent) is None
    assert percentile(np.ones(fewest), percent) is not None


def test_the_interval_of_a_percentile_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [percentile(rng.exponential(1, 400), 90) for _ in range(300)]
    held = np.mean([interval is not None and interval.low <= np.log(10) <= interval.high for interval in found])
    assert held >= 0.95


def test_a_machine_that_slows_down_is_noisy_and_a_steady_one_is_not() -> None:
    steady = np.random.default_rng(2).normal(10, 1, 900)
    assert not summary_of(steady).noisy
    slowing = summary_of(steady * np.linspace(1, 1.5, 900))
    assert slowing.noisy
    assert slowing.p50.high - slowing.p50.low > 2, "drift widens the interval"


@pytest.mark.parametrize("count", [9, 300])
def test_the_interval_of_a_rate_holds_the_truth_about_as_often_as_it_says(count: int) -> None:
    rng = np.random.default_rng(4)
    found = [rate_interval(rng.gamma(4, 1 / 40, count).cumsum(), 0.0) for _ in range(400)]
    held = np.mean([interval.low <= 10 <= interval.high for interval in found])
    assert 0.92 <= held < 1


def test_a_steady_rate_is_known_exactly() -> None:
    rate = rate_interval(5 + np.arange(1, 61) / 20, 5.0)
    assert (rate.low, rate.value, rate.high) == pytest.approx((20, 20, 20))


def test_a_ratio_of_medians_cancels_what_slows_both() -> None:
    disturbance = np.random.default_rng(3).uniform(1, 3, 60)
    ratio = ratio_of_medians(list(20 * disturbance), list(10 * disturbance))
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((2, 2, 2))


def test_poisson_arrivals_repeat_and_have_the_rate_and_spread_of_a_poisson_process() -> None:
    arrivals = poisson_arrivals(200, 20_000)
    gaps = np.diff(arrivals, prepend=0)
    np.testing.assert_array_equal(arrivals, poisson_arrivals(200, 20_000))
    np.testing.assert_allclose(arrivals, poisson_arrivals(100, 20_000) / 2)
    assert not np.array_equal(arrivals, poisson_arrivals(200, 20_000, seed=1))
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_a_closed_loop_keeps_so_many_requests_under_way() -> None:
    under_way, seen, lock = 0, [0], threading.Lock()

    def request() -> int:
        nonlocal under_way
        with lock:
            under_way += 1
            seen.append(under_way)
        time.sleep(0.002)
        with lock:
            under_way -= 1
        return 7

    run = closed_loop(request, concurrency=3, seconds=0.1)
    assert max(seen) == 3
    assert set(run.answers) == {7}
    assert 3 <= len(run.times_ms) <= len(run.answers)
    assert (run.times_ms >= 2).all()


def test_a_slow_model_gets_its_samples_though_the_time_is_over() -> None:
    assert len(closed_loop(lambda: time.sleep(0.01), concurrency=2, seconds=0.001).answers) >= 9


def test_a_failure_in_a_thread_reaches_the_caller() -> None:
    def request() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        closed_loop(request, concurrency=2, seconds=0.01)
    with pytest.raises(ValueError, match="no"):
        open_loop(request, poisson_arrivals(1000, 5), workers=2, longest_wait_s=1)


def test_warming_up_ends_when_the_time_holds_still_and_says_when_it_never_does() -> None:
    assert warm_up(lambda: time.sleep(0.01), concurrency=1, seconds=0.1)
    growing = iter(range(1, 10_000))
    assert not warm_up(lambda: time.sleep(1e-4 * next(growing)), concurrency=1, seconds=0.01)


def test_an_open_loop_counts_the_wait_behind_a_slow_request() -> None:
    durations = iter([0.1, 0.0, 0.0])
    run = open_loop(lambda: time.sleep(next(durations)), np.array([0.0, 0.01, 0.02]), workers=1, longest_wait_s=5)
    assert not run.gave_up
    assert (run.times_ms >= [100, 90, 80]).all()


def test_an_open_loop_gives_up_where_requests_pile_up() -> None:
    run = open_loop(lambda: time.sleep(0.01), poisson_arrivals(5000, 2000), workers=1, longest_wait_s=0.05)
    assert run.gave_up
    assert 0 < len(run.answers) < 2000


def test_an_open_loop_ends_when_more_requests_are_late_than_its_allowance() -> None:
    run = open_loop(lambda: time.sleep(0.01), poisson_arrivals(20, 200), 1, 60, p99_limit_ms=5)
    assert run.gave_up
    assert len(run.answers) == 3


@pytest.mark.parametrize("count", [100, 101, 200, 201, 350, 400, 1234])
def test_one_late_request_more_than_allowed_puts_the_p99_over_the_limit(count: int) -> None:
    allowed = late_allowed(count)
    for late, over in ((allowed, False), (allowed + 1, True)):
        times = np.ones(count)
        times[:late] = 10.001
        assert (float(np.quantile(times, 0.99)) > 10) == over


@pytest.mark.parametrize("limit_ms", [15.0, 40.0, 200.0])
def test_bisection_finds_the_rate_that_queueing_theory_gives(limit_ms: float) -> None:
    """One server with exponential service of 10 ms: p99 of the time in the system is ln(100) / (100 - rate) s."""
    tried: list[float] = []

    def meets(rate: float) -> bool:
        tried.append(rate)
        return rate < 100 and np.log(100) / (100 - rate) * 1e3 <= limit_ms

    truth = 100 - np.log(100) / limit_ms * 1e3
    met, failed = highest_rate(meets, guess=100)
    assert len(tried) < 12
    assert failed is not None
    if truth <= 0:
        assert met is None
    else:
        assert met is not None
        assert met <= truth < failed
        assert failed - met <= 0.05 * failed


def test_bisection_goes_beyond_a_guess_that_was_too_low() -> None:
    met, _ = highest_rate(lambda rate: rate <= 70, guess=20)
    assert met is not None
    assert 70 * 0.9 <= met <= 70


def test_a_limit_that_no_rate_exceeds_has_no_upper_end() -> None:
    assert highest_rate(lambda _: True, guess=20) == (160, None)


def test_a_rate_that_is_known_to_be_met_is_the_lower_end_of_the_search() -> None:
    tried: list[float] = []

    def meets(rate: float) -> bool:
        tried.append(rate)
        return rate <= 70

    met, _ = highest_rate(meets, guess=50, known=60)
    assert tried[0] == 120
    assert min(tried) > 60
    assert met is not None
    assert 70 * 0.9 <= met <= 70


def test_a_search_whose_time_is_over_says_what_it_knows() -> None:
    verdicts = iter([False, True, None])
    assert highest_rate(lambda _: next(verdicts), guess=100) == (50, 100)


def test_the_parts_of_a_request_add_up_to_its_time() -> None:
    counted = Counters(
        4, {"queue": 4_000_000, "compute_input": 800_000, "compute_infer": 20_000_000, "compute_output": 400_000}
    )
    split = split_of(8.0, counted, client_ms=0.5)
    assert (split.queue, split.compute_input, split.infer, split.compute_output) == pytest.approx((1, 0.2, 5, 0.1))
    assert split.network == pytest.approx(8 - 0.5 - 6.3)


def test_everybody_has_a_turn_in_every_round_and_is_warmed_up_before() -> None:
    order: list[str] = []
    times = interleaved_ms({name: lambda name=name: order.append(name) for name in "abc"}, rounds=20)  # type: ignore[misc]
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys("abc", 20)
    rounds = ["".join(order[start : start + 6]) for start in range(0, len(order), 6)]
    assert {"".join(sorted(turns)) for turns in rounds} == {"aabbcc"}
    assert all(turns[0] == turns[1] and turns[2] == turns[3] for turns in rounds)
    assert len(set(rounds)) > 2, "the order changes"
