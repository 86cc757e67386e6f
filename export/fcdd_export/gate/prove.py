"""Proving an artefact: it is run in every way that shows what its target will compute, and judged by the limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx

from fcdd_export.gate.drawn import drawn_images, extreme_images
from fcdd_export.gate.drift import (
    Drift,
    Inputs,
    LayerDrift,
    ReferenceAnswers,
    check_finite,
    layer_table,
    measure_drift,
    violations,
)
from fcdd_export.gate.half_simulation import SimulatedSession, half_simulation, half_tensors
from fcdd_export.gate.images import VerificationImages
from fcdd_export.gate.layer_drift import layer_drifts, worst
from fcdd_export.gate.outputs import cpu_session, session_outputs, torch_outputs
from fcdd_export.gate.roc import Labels
from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_export.networks.served import ServedNetwork
from fcdd_runtime.contract import OperatingPoint, Precision, Resize, Upsampling
from fcdd_runtime.errors import GateError, SnapshotError
from fcdd_runtime.images.network_input import stack_images


@dataclass(frozen=True)
class Gate:
    """What every artefact of a network is held against."""

    graph: onnx.ModelProto
    """FP32, to find the layers in which drift enters."""
    references: tuple[ReferenceAnswers, ...]
    accept: str | None
    """Why limits may be exceeded, in the user's words; None: they may not."""
    int8_method: str | None = None
    """How INT8 is made; None where it is not asked for."""


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


def references_of(
    network: ServedNetwork,
    verification: VerificationImages,
    resize: Resize,
    upsampling: Upsampling,
    operating_point: OperatingPoint | None,
) -> tuple[ReferenceAnswers, ...]:
    """Run torch on the verification images and on drawn ones at the ends of the input range.

    Raises
    ------
    SnapshotError
        If an answer is not finite.
    """

    def reference(inputs: Inputs, *, labels: Labels | None, extreme: bool) -> ReferenceAnswers:
        outputs = torch_outputs(network, inputs)
        if not (np.isfinite(outputs.scores).all() and np.isfinite(outputs.maps).all()):
            raise SnapshotError(
                "the snapshot's network itself overflows in FP32: its answers are not finite; give another snapshot"
            )
        return ReferenceAnswers(inputs, outputs, upsampling, resize.size, operating_point, labels, extreme)

    images, compared, names = verification.images, verification.references, network.inputs
    inputs = inputs_of(stack_images(images, resize) if images else drawn_images(16), names)
    if compared is not None:
        inputs = {**inputs, "reference": stack_images(compared, resize)}
    labels = verification.labels if len(names) == 1 or compared is not None else None
    return (
        reference(inputs, labels=labels, extreme=False),
        reference(inputs_of(extreme_images(), names), labels=None, extreme=True),
    )


def inputs_of(pixels: npt.NDArray[np.uint8], names: Sequence[str]) -> Inputs:
    """Give every input its images; a second input gets each image's neighbour, for want of a true reference."""
    return {name: np.roll(pixels, index, axis=0) for index, name in enumerate(names)}


def prove(artefact: onnx.ModelProto, precision: Precision, gate: Gate, label: str = "") -> Proof:
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
    drifts = _measure(artefact, gate) + _measure_in_half(artefact, simulation, gate)
    drifts = [replace(drift, way=f"{label}{drift.way}") for drift in drifts]
    for drift in drifts:
        check_finite(drift, precision)
    # The FP32 graph itself has no drift to name.
    layers = [] if simulation is gate.graph else layer_drifts(simulation, gate.graph, gate.references[0].inputs)
    entered = tuple(worst(layers))
    exceeded = tuple(dict.fromkeys(limit for drift in drifts for limit in violations(drift, precision)))
    if exceeded and gate.accept is None:
        better = PRECISIONS[precision].better_than_fast if gate.int8_method == "fast" else ""
        where = "\nWhere the drift enters:\n" + "\n".join(layer_table(entered)) if entered else ""
        raise GateError(
            f"{label}{precision} changes {'; '.join(exceeded)}; {better}use a higher precision, or give a reason to "
            f"accept it with --accept-drift{where}"
        )
    return Proof(tuple(drifts), entered, exceeded)


def _measure(artefact: onnx.ModelProto, gate: Gate) -> list[Drift]:
    # One session for all images, closed before there is another: opening one takes seconds, and for the largest network
    # more than a gigabyte.
    session = cpu_session(artefact)
    return [
        measure_drift("onnxruntime", session_outputs(session, reference.inputs, "artefact"), reference)
        for reference in gate.references
    ]


def _measure_in_half(artefact: onnx.ModelProto, simulation: onnx.ModelProto, gate: Gate) -> list[Drift]:
    """Measure an artefact with FP16 tensors once more, with each of them really rounded to half."""
    halves = half_tensors(artefact)
    if not halves:
        return []
    session, drifts = SimulatedSession(simulation, halves), []
    for reference in gate.references:
        outputs, largest = session.outputs(reference.inputs)
        drift = measure_drift("fp16 simulation", outputs, reference)
        drifts.append(replace(drift, activation_largest=largest))
    return drifts
