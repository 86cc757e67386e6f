"""`python -m gpu.half_drift`: what FP16 and TF32 on this GPU change, beside what the export's simulation foretold.

Every NAME_fp32 and NAME_fp16 of a repository is run on the GPU by PyTorch, node by node in the types of the file, and
by ONNX Runtime where it has CUDA. All are compared with the FP32 artefact on the CPU.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from fcdd_benchmarks.accuracy.labelled_images import read_labelled_images
from fcdd_benchmarks.report.machine import this_machine
from fcdd_export.gate.drawn import drawn_images, extreme_images
from fcdd_export.gate.drift import Inputs, Outputs, ReferenceAnswers, measure_drift, violations
from fcdd_export.gate.half_simulation import half_simulation, half_tensors, simulated_outputs
from fcdd_export.gate.outputs import cpu_session, session_outputs
from fcdd_runtime.commands import PathOption
from fcdd_runtime.contract import ModelContract, read_contract
from fcdd_runtime.images.network_input import stack_images
from gpu.onnx_in_torch import TorchModel

PACKAGES = ("fcdd-edge", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "nvidia-cudnn-cu13", "numpy")
CUDA = "CUDAExecutionProvider"
BATCHES = (1, 2, 8, 32)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""On a CPU it is a rehearsal only."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A network with the images that it is run on."""

    name: str
    fp32: onnx.ModelProto
    fp16: onnx.ModelProto
    reference: ReferenceAnswers
    extremes: ReferenceAnswers


@click.command()
@click.option("--repo", type=PathOption(), required=True, help="Repository with NAME_fp32 and NAME_fp16.")
@click.option("--images", multiple=True, help="NAME=FOLDER of labelled images; other networks get 64 drawn ones.")
@click.option("--expected", multiple=True, help="NAME=FILE.npz: names, score, anomaly_map of the published code.")
@click.option("--out", type=PathOption(), required=True, help="JSON file.")
def main(repo: Path, images: tuple[str, ...], expected: tuple[str, ...], out: Path) -> None:
    """Measure drift on this GPU."""
    folders, answers = (dict(word.split("=", 1) for word in words) for words in (images, expected))
    names = sorted(path.parent.name.removesuffix("_fp16") for path in repo.glob("*_fp16/contract.json"))
    document: dict[str, Any] = {"machine": dataclasses.asdict(this_machine(PACKAGES)), "cudnn": cudnn_version()}
    document["networks"] = [_measured(repo, name, folders.get(name), answers.get(name)) for name in names]
    out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def cudnn_version() -> int:
    """Return cuDNN's version, such as 91900 for 9.19.0; 0 without cuDNN."""
    return int(torch.backends.cudnn.version() or 0)  # type: ignore[no-untyped-call]


def _measured(repo: Path, name: str, folder: str | None, expected: str | None) -> dict[str, Any]:
    contract = read_contract(repo / f"{name}_fp32")
    inputs, labels, names = _images(contract, folder)
    fp32, fp16 = (onnx.load(repo / f"{name}_{precision}" / contract.artefact) for precision in ("fp32", "fp16"))
    case = Case(name, fp32, fp16, *(_reference(contract, fp32, *given) for given in ((inputs, labels), (None, None))))
    rows = [_row(case, way, precision, both) for way, precision, both in _answers(case)]
    for row in rows:
        one = row["images"]
        click.echo(
            f"{name:8} {row['precision']:4} {row['way']:46} score {one['score_largest']:.1e} "
            f"mean {one['score_mean']:.1e} map {one['map_largest']:.1e} rank {one['rank_correlation']:.6f} extreme "
            f"{row['extremes']['score_largest']:.1e} {row['extremes']['map_of_set']:.1e} {row['violations']}"
        )
    found: dict[str, Any] = {
        "network": contract.network,
        "name": name,
        "rows": rows,
        "layers": _layers(case),
        "batches": _batches(case),
    }
    if expected is not None:
        found["published"] = _published(case, names, Path(expected))
    return found


def _images(
    contract: ModelContract, folder: str | None
) -> tuple[Inputs, npt.NDArray[np.bool_] | None, tuple[str, ...]]:
    if folder is None:
        return {"mip": drawn_images(64, seed=5)}, None, ()
    read = read_labelled_images(Path(folder), None, None)
    return {"mip": stack_images(read.images, contract.resize)}, read.labels, read.names


def _reference(
    contract: ModelContract, fp32: onnx.ModelProto, inputs: Inputs | None, labels: npt.NDArray[np.bool_] | None
) -> ReferenceAnswers:
    """The FP32 artefact on the CPU; without images, on those at the ends of the input range."""
    given = {"mip": extreme_images()} if inputs is None else inputs
    outputs = session_outputs(cpu_session(fp32), given, "FP32 on the CPU")
    size = contract.resize.size
    return ReferenceAnswers(given, outputs, contract.upsampling, size, contract.operating_point, labels, inputs is None)


def _answers(case: Case) -> Iterator[tuple[str, str, tuple[Outputs, Outputs]]]:
    """Give way, precision and the answers for the images and the extreme ones."""
    both = (case.reference.inputs, case.extremes.inputs)
    simulated, extreme = (simulated_outputs(case.fp16, inputs)[0] for inputs in both)
    yield "simulation on the CPU", "fp16", (simulated, extreme)
    for precision, model in (("fp32", case.fp32), ("fp16", case.fp16)):
        for tf32 in (False, True)[: 1 if precision == "fp16" else 2]:
            for channels_last in (False, True):
                with cudnn_settings(tf32, fastest=False):
                    runner = TorchModel(model, DEVICE, channels_last)
                    answers = (runner.outputs(both[0]), runner.outputs(both[1]))
                yield _torch_way(tf32, channels_last), precision, answers
    if CUDA in onnxruntime.get_available_providers():
        for precision, model, tf32 in (
            ("fp32", case.fp32, False),
            ("fp32", case.fp32, True),
            ("fp16", case.fp16, False),
        ):
            session = _cuda_session(model, tf32)
            if session is None:
                return
            answers = (session_outputs(session, both[0], "CUDA"), session_outputs(session, both[1], "CUDA"))
            yield f"ONNX Runtime CUDA{', TF32 on' if tf32 else ''}", precision, answers


def _torch_way(tf32: bool, channels_last: bool) -> str:
    return f"PyTorch, channels {'last' if channels_last else 'first'}{', TF32 on' if tf32 else ''}"


@contextlib.contextmanager
def cudnn_settings(tf32: bool, fastest: bool) -> Iterator[None]:
    """Let PyTorch use TF32 for FP32 or not, and time cuDNN's algorithms or take the one that cuDNN proposes.

    A choice holds for the process: PyTorch does not choose anew for convolutions that it has met.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = fastest
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = False


def _cuda_session(model: onnx.ModelProto, tf32: bool) -> onnxruntime.InferenceSession | None:
    provider = (CUDA, {"use_tf32": str(int(tf32))})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=[provider, "CPUExecutionProvider"])
    return session if CUDA in session.get_providers() else None


def _row(case: Case, way: str, precision: str, both: tuple[Outputs, Outputs]) -> dict[str, Any]:
    drifts = [measure_drift(way, one, of) for one, of in zip(both, (case.reference, case.extremes), strict=True)]
    truth, found = case.reference.outputs.scores, both[0].scores
    return {
        "way": way,
        "precision": precision,
        "images": dataclasses.asdict(drifts[0]),
        "extremes": dataclasses.asdict(drifts[1]),
        "violations": [violation for drift in drifts for violation in violations(drift, precision)],
        "score_errors": [float(value) for value in (found - truth) / truth],
    }


def _layers(case: Case) -> list[dict[str, Any]]:
    """Compare every half tensor of the GPU with the simulation's and with FP32, on 8 images."""
    mip = case.reference.inputs["mip"][:8]
    names = [name for node in case.fp16.graph.node for name in node.output if name in half_tensors(case.fp16)]
    simulation = half_simulation(case.fp16)
    simulation.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in names)
    simulated = dict(zip(names, cpu_session(simulation).run(names, {"mip": mip}), strict=True))
    with torch.inference_mode(), cudnn_settings(tf32=False, fastest=False):
        half = TorchModel(case.fp16, DEVICE, True).tensors(torch.from_numpy(mip).to(DEVICE))
        full = TorchModel(case.fp32, DEVICE, True).tensors(torch.from_numpy(mip).to(DEVICE))
    rows = []
    for name in names:
        found = half[name].float().cpu().numpy()
        truth = full[name.removesuffix("_fp16")].float().cpu().numpy()
        scale = float(np.sqrt(np.square(truth, dtype=np.float64).mean()))
        rows.append(
            {
                "tensor": name,
                "largest": float(np.abs(found).max()),
                "equal_to_simulation": float((found == simulated[name]).mean()),
                "gpu_rms": _rms(found - truth) / scale,
                "simulation_rms": _rms(simulated[name] - truth) / scale,
                "gpu_against_simulation_rms": _rms(found - simulated[name]) / scale,
            }
        )
    return rows


def _rms(values: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))


def _batches(case: Case) -> list[dict[str, Any]]:
    """How far answers of one batch size are from those of single images, and whether a repeat gives the same bits."""
    rows = []
    for precision, model in (("fp32", case.fp32), ("fp16", case.fp16)):
        with cudnn_settings(tf32=False, fastest=False):
            runner = TorchModel(model, DEVICE, channels_last=True)
            single = runner.outputs(case.reference.inputs, 1)
            for batch in BATCHES:
                one, again = (runner.outputs(case.reference.inputs, batch) for _ in range(2))
                rows.append(
                    {
                        "precision": precision,
                        "batch": batch,
                        "score": float((np.abs(one.scores - single.scores) / single.scores).max()),
                        "same_bits_again": bool((one.scores == again.scores).all() and (one.maps == again.maps).all()),
                    }
                )
    return rows


def _published(case: Case, names: tuple[str, ...], path: Path) -> dict[str, float]:
    """How far FP32 and FP16 on the GPU are from what the published code answered on a CPU."""
    with np.load(path) as arrays:
        order = [list(arrays["names"]).index(name) for name in names]
        published = Outputs(arrays["score"].ravel()[order], arrays["anomaly_map"][order][:, 0])
    reference = dataclasses.replace(case.reference, outputs=published)
    found: dict[str, float] = {}
    for precision, model in (("fp32", case.fp32), ("fp16", case.fp16)):
        with cudnn_settings(tf32=False, fastest=False):
            outputs = TorchModel(model, DEVICE, channels_last=True).outputs(reference.inputs)
        drift = measure_drift(precision, outputs, reference)
        found |= {f"{precision}_score": drift.score_largest, f"{precision}_map": drift.map_largest}
    return found


if __name__ == "__main__":
    main()
