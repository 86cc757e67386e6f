"""What fcdd-export costs: time, memory and size for every published architecture and precision."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from fcdd_benchmarks.export_cost.drawn_snapshot import write_drawn_snapshot
from fcdd_benchmarks.export_cost.report import LARGE, ExportCost, ExportOptions, ExportReport, ExportRun
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.timing.measured_command import measured
from fcdd_benchmarks.timing.stages import EXPORT_STAGES, WHOLE
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.int8.quantize import IMAGES_USED
from fcdd_export.networks.registry import NETWORKS
from fcdd_runtime.contract import read_contract
from fcdd_runtime.errors import BackendError, GateError, SnapshotError

PACKAGES = ("fcdd-edge", "numpy", "torch", "onnx", "onnxscript", "onnxruntime", "tensorrt-rtx")
START, REST = "start and imports", "rest"
STAGES = (START, *(watched.stage for watched in EXPORT_STAGES if watched.stage != WHOLE), REST)
ARCHITECTURES = ("FCDD_CNN224", "FCDD_CNN224_W", "FCDD_CNN224_VGG_NOPT", "CNN224_CROP", "VGG_BCE_CROP", LARGE)


def named_networks(names: Sequence[str]) -> tuple[str, ...]:
    """Return the networks to export: those named, else one of each architecture.

    Raises
    ------
    SnapshotError
        If a name is none of a published network that we take.
    """
    for name in names:
        if name not in NETWORKS:
            raise SnapshotError(f"no published network that we take is called {name!r}; take of {', '.join(NETWORKS)}")
    return tuple(dict.fromkeys(names)) or ARCHITECTURES


def measure_exports(options: ExportOptions) -> ExportReport:
    """Write snapshots of drawn weights and export them, each time in a fresh process.

    Raises
    ------
    BackendError
        If an export fails for another reason than the gate.
    GateError
        If the gate refuses FP32 of drawn weights, whose graph computes what torch does.
    """
    costs: list[ExportCost] = []
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        images = Path(scratch) / "images"
        images.mkdir()
        for index, image in enumerate(drawn_images(IMAGES_USED["fast"], seed=3)[:, 0]):
            Image.fromarray(image).save(images / f"{index:03}.png")
        for net in options.networks:
            folder, changes = Path(scratch) / net, {"net": net, "objective": NETWORKS[net].objectives[0]}
            snapshot = write_drawn_snapshot(folder / "snapshot", changes)
            for precision in options.precisions:
                arguments = [str(snapshot), "--precision", precision, "--target", options.target]
                arguments += ["--calibration-images", str(images)] if precision == "int8" else []
                runs = (_run(arguments, folder / f"{precision}{number}") for number in range(options.repeats))
                cost = ExportCost.of(net, precision, tuple(runs))
                if precision == "fp32" and cost.refused:
                    raise GateError(f"{net} in FP32 is refused by the gate ({cost.refused}), so its cost says nothing")
                costs.append(cost)
    over = sum(not cost.within for cost in costs)
    words = ["fcdd-bench export", *(f"--network {network}" for network in options.networks)]
    words += [f"--precision {precision}" for precision in options.precisions]
    return ExportReport(
        title=f"Export: {f'{over} of {len(costs)} beyond' if over else f'all {len(costs)} within'} the limits",
        command=" ".join([*words, f"--target {options.target} --repeats {options.repeats}"]),
        machine=this_machine(PACKAGES),
        metrics=tuple(
            metric
            for cost in costs
            for metric in (
                cost.seconds.metric(f"{cost.name}: time without calibration", "lower", "s"),
                cost.peak_mb.metric(f"{cost.name}: peak memory", "lower", "MB"),
            )
        ),
        options=options,
        exports=tuple(costs),
    )


def _run(arguments: Sequence[str], repository: Path) -> ExportRun:
    facts = measured("fcdd-export by stage", [*arguments, "--repo", str(repository)])
    refused = facts.exit_code == GateError.exit_code
    if facts.exit_code and not refused:
        raise BackendError(f"fcdd-export failed: {facts.output[-500:]}")
    whole = facts.whole
    if whole is None:
        raise BackendError(f"fcdd-export ended before it began: {facts.output[-500:]}")
    stages = dict.fromkeys(STAGES, 0.0) | {START: facts.process_s - whole.whole_s, REST: whole.wall_s}
    for span in facts.spans:
        if span.stage != WHOLE:
            stages[span.stage] += span.wall_s
    if refused:
        errors = [line.removeprefix("Error: ") for line in facts.output.splitlines() if line.startswith("Error: ")]
        return ExportRun(facts.process_s, facts.peak_mb, stages, None, next(iter(errors), "refused by the gate"))
    [contract] = repository.glob("*/contract.json")
    artefact_mb = (contract.parent / read_contract(contract.parent).artefact).stat().st_size / 1e6
    return ExportRun(facts.process_s, facts.peak_mb, stages, artefact_mb, None)
