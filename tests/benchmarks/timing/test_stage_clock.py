"""Time by stage: spans partition the wall time, other threads overlap, and a renamed function is noticed."""

import threading
import time
from pathlib import Path

import pytest

from fcdd_benchmarks.study.stage_times import REST, STAGES, stage_times
from fcdd_benchmarks.timing.measured_command import measured
from fcdd_benchmarks.timing.memory import forget_peak, peak_resident_mb, resident_mb
from fcdd_benchmarks.timing.stage_clock import Span, StageClock, Watched
from fcdd_benchmarks.timing.stages import DECODE, EXPORT_STAGES, SCORE_STAGES, WHOLE
from fcdd_runtime.errors import BackendError


def inner() -> int:
    time.sleep(0.002)
    return 5


def outer() -> int:
    return inner() + inner()


def beside() -> None:
    threads = [threading.Thread(target=inner) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def failing() -> None:
    raise KeyError("of its own")


def watched(*names: str) -> list[Watched]:
    return [Watched(name, __name__, name) for name in names]


def span(stage: str, wall_s: float, cpu_s: float = 0.0, under: str | None = None) -> Span:
    return Span(stage, under, 0.0, wall_s, wall_s, cpu_s)


def test_a_call_is_a_span_without_what_is_inside_and_answers_as_before() -> None:
    clock = StageClock()
    with clock.watching(watched("inner", "outer")):
        assert outer() == 10
    assert [found.stage for found in clock.spans] == ["inner", "inner", "outer"]
    whole = clock.spans[-1]
    assert sum(found.wall_s for found in clock.spans) == pytest.approx(whole.whole_s)
    assert all(found.under is None for found in clock.spans)
    assert whole.whole_s >= 0.004


def test_other_threads_name_the_stage_that_waits_for_them() -> None:
    clock = StageClock()
    with clock.watching(watched("inner", "beside")):
        beside()
    assert [(found.stage, found.under) for found in clock.spans] == [("inner", "beside")] * 2 + [("beside", None)]
    assert clock.spans[-1].wall_s == clock.spans[-1].whole_s


def test_functions_are_as_before_after_the_block_also_after_an_error() -> None:
    before = (inner, failing)
    clock = StageClock()
    with pytest.raises(KeyError), clock.watching(watched("inner", "failing")):
        failing()
    assert (inner, failing) == before
    assert [found.stage for found in clock.spans] == ["failing"]


def test_a_renamed_function_is_an_error_and_nothing_stays_watched() -> None:
    before = inner
    with pytest.raises(AttributeError, match="formerly"), StageClock().watching(watched("inner", "formerly")):
        pytest.fail("nothing may run unwatched")
    assert inner is before


@pytest.mark.parametrize("stages", [SCORE_STAGES, EXPORT_STAGES], ids=["score", "export"])
def test_all_functions_of_the_stages_are_there(stages: tuple[Watched, ...]) -> None:
    with StageClock().watching(stages):
        pass


def test_decoding_gets_its_mean_over_the_threads_of_the_stage_that_waits_for_it() -> None:
    spans = [
        *(span(DECODE, 0.3, 0.2, "subtract and MIP") for _ in range(2)),
        span("subtract and MIP", 0.4, 0.5),
        span("infer", 0.1, 0.1),
        span(WHOLE, 0.05),
    ]
    found = stage_times(spans, studies=2, threads=2, queue_s=0.02)
    times = dict(zip((*STAGES, REST), found.tolist(), strict=True))
    assert times[DECODE] == pytest.approx([150, 200])
    assert times["subtract and MIP"] == pytest.approx([50, 50])
    assert times["infer"] == pytest.approx([40, 50])
    assert times["queue"] == pytest.approx([10, 0])
    assert times[REST][0] == pytest.approx(25)
    assert found[:, 0].sum() == pytest.approx(1e3 * (0.4 + 0.1 + 0.05) / 2)


def test_another_stage_beside_the_flow_is_refused() -> None:
    with pytest.raises(BackendError, match="infer ran in other threads"):
        stage_times([span("infer", 0.1, under="headers"), span(WHOLE, 1.0)], 1, 2, 0.0)


def test_a_command_that_fails_has_its_exit_code_and_sentence(tmp_path: Path) -> None:
    facts = measured("fcdd-score", [str(tmp_path), "--model", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert facts.exit_code == 2
    assert "Error: " in facts.output and "Traceback" not in facts.output
    assert facts.whole is None


def test_the_peak_of_memory_counts_from_where_it_was_forgotten() -> None:
    block = bytearray(100_000_000)
    with_block = peak_resident_mb()
    del block
    forget_peak()
    assert resident_mb() <= peak_resident_mb() <= with_block
    assert peak_resident_mb() < with_block - 50
