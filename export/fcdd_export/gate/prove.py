"""Proving an artefact: it is run in every way that shows what its target will compute, and judged by the limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx

from fcdd_export.gate.drawn import drawn_images, extreme_images
from fcdd_export.gate.drift import Drift, Inputs, LayerDrift, Reference, check_finite, measure_drift, violations
from fcdd_export.gate.half_simulation import SimulatedSession, half_simulation, half_tensors
from fcdd_export.gate.layer_drift import layer_drifts, layer_table, worst
from fcdd_export.gate.outputs import cpu_session, session_outputs, torch_outputs
from fcdd_export.gate.roc import Labels
from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_export.networks.served import ServedNetwork
from fcdd_runtime.contract import OperatingPoint, Precision, Resize, Upsampling
from fcdd_runtime.errors import GateError, SnapshotError
from fcdd_runtime.images.network_input import GreyImage, stack_images


@dataclass(frozen=True)
class VerificationImages:
    """Images that a site verifies on."""

    images: Sequence[GreyImage]
    """Any size; none: drawn ones."""
    labels: Labels | None
    """Truth, bool (N,), where they come in folders `normal` and `anomalous`."""
    references: Sequence[GreyImage] | None = None
    """What a two-input network compares each image with; None: its neighbour, for want of a true reference."""
    folder: str | None = None
    """Name of the folder that they came in, without the path to it."""


@dataclass(frozen=True)
class Judge:
    """What is needed to judge answers beside the answers."""

    resize: Resize
    upsampling: Upsampling
    operating_point: OperatingPoint | None


@dataclass(frozen=True)
class Gate:
    """What every artefact of a network is held against."""

    graph: onnx.ModelProto
    """FP32, to find the layers in which drift enters."""
    references: tuple[Reference, ...]
    accept: str | None
    """Why limits may be exceeded, in the user's words; None: they may not."""
    int8_method: str | None = None
    """How INT8 is made; None where it is not asked for."""

    def advice_for(self, precision: Precision) -> str:
        """Say what to try where a limit of a precision is exceeded."""
        better = PRECISIONS[precision].better_than_fast if self.int8_method == "fast" else ""
        return f"{better}use a higher precision"


@dataclass(frozen=True)
class Proof:
    """What was measured of an artefact that may be published."""

    drifts: tuple[Drift, ...]
    layers: tuple[LayerDrift, ...]
    """Where most of the drift enters, the worst first."""
    accepted: tuple[str, ...]
    """Limits that it exceeds, and that a person accepts."""

    def and_also(self, other: "Proof") -> "Proof":
        """Return what was measured of both artefacts of a model; the layers are this one's."""
        accepted = tuple(dict.fromkeys(self.accepted + other.accepted))
        return Proof(self.drifts + other.drifts, self.layers, accepted)


def references_of(network: ServedNetwork, verification: VerificationImages, judge: Judge) -> tuple[Reference, ...]:
    """Run torch on the verification images and on drawn ones at the ends of the input range."""
    images, names = verification.images, network.inputs
    inputs = inputs_of(stack_images(images, judge.resize) if images else drawn_images(16), names)
    if verification.references is not None:
        inputs = {**inputs, "reference": stack_images(verification.references, judge.resize)}
    labels = verification.labels if len(names) == 1 or verification.references is not None else None
    return (
        _reference(network, inputs, judge, labels=labels),
        _reference(network, inputs_of(extreme_images(), names), judge, extreme=True),
    )


def inputs_of(pixels: npt.NDArray[np.uint8], names: Sequence[str]) -> Inputs:
    """Give every input its images; a second input gets each image's neighbour, for want of a true reference."""
    return {name: np.roll(pixels, index, axis=0) for index, name in enumerate(names)}


def proven(artefact: onnx.ModelProto, precision: Precision, gate: Gate, label: str = "") -> Proof:
    """Run an artefact, measure its drift and hold it against the limits of its precision.

    Parameters
    ----------
    label : put before the names of the ways in which it was run

    Raises
    ------
    GateError
        If a limit is exceeded and that is not accepted, or a value overflows, which nobody can accept.
    """
    simulation = half_simulation(artefact)
    drifts = _drifts(artefact, gate.references) + _simulated_drifts(artefact, simulation, gate.references)
    drifts = [replace(drift, way=f"{label}{drift.way}") for drift in drifts]
    for drift in drifts:
        check_finite(drift, precision)
    layers = _layers(simulation, gate)
    exceeded = tuple(dict.fromkeys(one for drift in drifts for one in violations(drift, precision)))
    if exceeded and gate.accept is None:
        raise GateError(
            f"{label}{precision} changes {'; '.join(exceeded)}; {gate.advice_for(precision)}, or give a reason to "
            f"accept it with --accept-drift{_entering(layers)}"
        )
    return Proof(tuple(drifts), layers, exceeded)


def _drifts(artefact: onnx.ModelProto, references: Sequence[Reference]) -> list[Drift]:
    # One session for all images: opening one takes seconds, and for the largest network more than a gigabyte.
    session = cpu_session(artefact)
    return [measure_drift("onnxruntime", session_outputs(session, one.inputs, "artefact"), one) for one in references]


def _simulated_drifts(
    artefact: onnx.ModelProto, simulation: onnx.ModelProto, references: Sequence[Reference]
) -> list[Drift]:
    halves = half_tensors(artefact)
    if not halves:
        return []
    session = SimulatedSession(simulation, halves)
    return [_simulated_drift(session, reference) for reference in references]


def _simulated_drift(session: SimulatedSession, reference: Reference) -> Drift:
    outputs, largest = session.outputs(reference.inputs)
    return replace(measure_drift("fp16 simulation", outputs, reference), activation_largest=largest)


def _layers(simulation: onnx.ModelProto, gate: Gate) -> tuple[LayerDrift, ...]:
    """Compare with the FP32 graph, layer by layer; that graph itself has no drift to name."""
    if simulation is gate.graph:
        return ()
    return tuple(worst(layer_drifts(simulation, gate.graph, gate.references[0].inputs)))


def _entering(layers: tuple[LayerDrift, ...]) -> str:
    return "\nWhere the drift enters:\n" + "\n".join(layer_table(layers)) if layers else ""


def _reference(
    network: ServedNetwork, inputs: Inputs, judge: Judge, *, labels: Labels | None = None, extreme: bool = False
) -> Reference:
    outputs = torch_outputs(network, inputs)
    if not (np.isfinite(outputs.scores).all() and np.isfinite(outputs.maps).all()):
        raise SnapshotError(
            "the snapshot's network itself overflows in FP32: its answers are not finite; give another snapshot"
        )
    return Reference(
        inputs=inputs,
        outputs=outputs,
        upsampling=judge.upsampling,
        image_size=judge.resize.size,
        operating_point=judge.operating_point,
        labels=labels,
        extreme=extreme,
    )
