"""ONNX Runtime in this process: which providers it is asked for."""

import onnxruntime
import pytest

from fcdd_runtime.backends import onnxruntime as backend


def test_a_build_with_cuda_loads_nvidias_wheels_first_and_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[str] = []

    def preload() -> None:
        loaded.append("CUDA")
        print("Failed to load libcufft.so.12")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    assert backend._providers() == [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
    assert (loaded, capsys.readouterr().out) == (["CUDA"], "")


def test_an_older_release_with_cuda_is_asked_for_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.delattr(onnxruntime, "preload_dlls", raising=False)
    assert backend._providers()[1:] == ["CPUExecutionProvider"]


def test_a_build_without_cuda_is_asked_for_the_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert backend._providers() == ["CPUExecutionProvider"]
