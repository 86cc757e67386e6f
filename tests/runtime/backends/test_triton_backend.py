"""The gRPC client against servers that misbehave: each is a real gRPC server on loopback, scripted here."""

import contextlib
import time
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
from result_builders import make_contract
from scripted_server import Infer, answer, good, scripted
from tritonclient.grpc import service_pb2

from fcdd_runtime.backends import open_url
from fcdd_runtime.backends.triton import RESTART_S, TritonBackend
from fcdd_runtime.errors import (
    BackendError,
    BadAnswerError,
    ContractError,
    GateError,
    ModelChangedError,
    ServerUnreachableError,
)

BATCH = {"mip": np.zeros((2, 1, 224, 224), np.uint8)}


def infer_once(url: str, deadline_s: float = 5) -> Any:
    with TritonBackend(url, deadline_s) as backend:
        return backend.infer(BATCH)


def test_a_good_answer_comes_back_without_its_channel_axes() -> None:
    with scripted() as (url, servicer):
        scores, maps = infer_once(url)
    assert (scores.shape, maps.shape, servicer.calls) == ((2,), (2, 28, 28), 1)


EMPTY = np.zeros((0,), np.float32)
ONES, MAPS = np.ones((2, 1), np.float32), np.ones((2, 1, 28, 28), np.float32)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (answer(EMPTY, EMPTY), r"`score` as float32 \(0,\)"),
        (answer(ONES[:1], MAPS), r"`score` as float32 \(1, 1\)"),
        (answer(ONES, MAPS[:, :, :14]), "`anomaly_map`"),
        (answer(ONES.astype(np.float64), MAPS), "float64"),
        (answer(ONES * np.float32("nan"), MAPS), "NaN"),
        (answer(ONES, MAPS * np.float32("inf")), "infinite"),
        (answer(EMPTY, EMPTY, declared=(2, 1)), "fewer bytes"),
        (answer(-ONES * np.float32(1e30), MAPS), "negative values in `score`"),
        (answer(ONES, MAPS - np.float32(1.5)), "negative values in `anomaly_map`"),
        (answer(ONES * 0, MAPS * 50), "not the mean of its map"),
        (answer(ONES * np.float32(1.001), MAPS), "not the mean of its map"),
        (answer(ONES * 0, MAPS * 0), "0 everywhere"),
        (answer(ONES, MAPS * np.array([1, 0], np.float32)[:, None, None, None]), "0 everywhere"),
        (service_pb2.ModelInferResponse(model_name="fcdd_fp16"), "lacks `score`"),
    ],
)
def test_an_answer_of_the_wrong_size_type_or_value_is_refused(response: Any, words: str) -> None:
    with scripted(lambda *_: response) as (url, _), pytest.raises(BadAnswerError, match=words):
        infer_once(url)


def unavailable(times: int) -> Infer:
    left = [times]

    def infer(request: Any, context: grpc.ServicerContext) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return good(request)

    return infer


def test_a_server_that_is_unavailable_once_is_asked_again() -> None:
    with scripted(unavailable(1)) as (url, servicer):
        scores, _ = infer_once(url)
    assert (len(scores), servicer.calls) == (2, 3), "the last one is the golden image: it may be another server"


def test_a_server_that_stays_unavailable_is_asked_twice_and_no_more() -> None:
    with scripted(unavailable(9)) as (url, servicer), pytest.raises(ServerUnreachableError, match="fcdd-serve"):
        infer_once(url)
    assert servicer.calls == 2


def test_another_error_of_the_server_is_passed_on_and_not_retried() -> None:
    def infer(request: Any, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.INTERNAL, "out of memory")

    with scripted(infer) as (url, servicer), pytest.raises(BackendError, match="out of memory"):
        infer_once(url)
    assert servicer.calls == 1


def test_a_late_answer_meets_the_deadline() -> None:
    def infer(request: Any, context: grpc.ServicerContext) -> Any:
        while context.is_active():
            time.sleep(0.01)
        return good(request)

    with scripted(infer) as (url, _), pytest.raises(ServerUnreachableError, match=r"within 0\.3 s"):
        infer_once(url, deadline_s=0.3)


def test_a_model_without_a_contract_is_not_ours() -> None:
    with scripted(contract=None) as (url, _), pytest.raises(ContractError, match="has no contract"):
        open_url(url)


def test_nobody_listening_is_said_in_one_sentence() -> None:
    with scripted() as (url, _):
        pass
    with pytest.raises(ServerUnreachableError, match="no Triton server answers"):
        open_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8001/m",
        "http://localhost:8001/m",
        "grpc://localhost/m",
        "grpc://h:1",
        "grpc://h:1/a/b",
        "grpc://h:x/m",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BackendError, match="grpc://HOST:PORT/MODEL"):
        open_url(url)


def test_a_web_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with scripted() as (url, _):
        assert len(infer_once(url)[0]) == 2


def test_a_model_that_the_server_does_not_have_is_named(server: str) -> None:
    with pytest.raises(ContractError, match="no_such"):
        open_url(f"{server}/no_such")


def test_the_score_of_a_saliency_map_is_not_its_mean() -> None:
    contract = make_contract(map_kind="grad_cam").to_json()
    with scripted(lambda *_: answer(ONES, MAPS * 0), contract) as (url, _):
        scores, _ = infer_once(url)
    assert scores.tolist() == [1, 1]


def test_a_model_with_another_contract_ends_the_run_and_names_both() -> None:
    first, other = make_contract(), make_contract(operating_point=None)
    with scripted() as (url, servicer), TritonBackend(url, 5) as backend:
        backend.infer(BATCH)
        servicer.contract = other.to_json()
        with pytest.raises(ModelChangedError, match=f"{first.sha256[:12]} was.*{other.sha256[:12]} answers now"):
            backend.infer(BATCH)


def test_another_version_of_the_model_ends_the_run() -> None:
    versions = iter("112")

    def infer(request: Any, _: grpc.ServicerContext) -> Any:
        response = good(request)
        response.model_version = next(versions)
        return response

    with scripted(infer) as (url, _), TritonBackend(url, 5) as backend:
        backend.infer(BATCH)
        backend.infer(BATCH)
        with pytest.raises(ModelChangedError, match="version 1 .*, version 2 with"):
            backend.infer(BATCH)


@pytest.mark.parametrize("right", [True, False])
def test_a_server_that_was_replaced_answers_its_golden_image_before_its_answers_count(right: bool) -> None:
    with scripted() as (url, _):
        backend = TritonBackend(url, 5)
        backend.infer(BATCH)
    time.sleep(RESTART_S)
    port = int(url.split(":")[2].split("/")[0])
    with backend, scripted(partial(good, value=1.0 if right else 2.0), port=port) as (_, servicer):
        with contextlib.nullcontext() if right else pytest.raises(GateError, match="not the model that was verified"):
            backend.infer(BATCH)
        assert servicer.calls == 2
        if right:
            backend.infer(BATCH)
            assert servicer.calls == 3


def test_a_model_that_answers_its_golden_image_wrong_is_not_opened() -> None:
    with scripted(partial(good, value=2.0)) as (url, _), pytest.raises(GateError, match="not the model"):
        open_url(url)
