"""fcdd-score and fcdd-serve: parse, call one function, map known errors to exit codes."""

import contextlib
import functools
import itertools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.golden import GoldenVectors, read_golden, self_test
from fcdd_runtime.commands import PathOption, complain, ending_in_order, log_format_option, reporting_errors
from fcdd_runtime.contract import MipRecipe, read_contract
from fcdd_runtime.log_lines import EventLog
from fcdd_runtime.pacs import ALL_REGIONS, KINDS, DicomOptions, dicom_options, dicom_writer
from fcdd_runtime.phases.manual import manual_phases
from fcdd_runtime.redaction import Redacted
from fcdd_runtime.report.colormap import DEFAULT_LOOK, LOOKS, Colormap
from fcdd_runtime.runs.list_inputs import list_inputs
from fcdd_runtime.runs.run import RunOptions, ScoreRun
from fcdd_runtime.runs.worker import Worker
from fcdd_runtime.serving.health import Health
from fcdd_runtime.serving.health import health_port as listening
from fcdd_runtime.serving.supervise import supervise
from fcdd_runtime.serving.triton_process import ServerOptions, is_loopback

LOG = EventLog("fcdd_runtime")


@click.command(context_settings={"show_default": True})
@click.argument("inputs", nargs=-1, metavar="INPUT...", type=PathOption())
@click.option("--model", type=PathOption(), help="Exported model folder, run in this process.")
@click.option("--url", help="Model on a Triton server: grpc://HOST:PORT/MODEL.")
@click.option("--out", type=PathOption(file_okay=False), help="Folder for the results.")
@click.option("--dicom", is_flag=True, help="Also write DICOM objects for a PACS beside each report.")
@click.option(
    "--dicom-objects",
    metavar="KIND,...",
    help=f"Which of them, instead of all: {','.join(KINDS)}; {ALL_REGIONS} for breasts that are not flagged too.",
)
@click.option(
    "--pre", multiple=True, metavar="SERIES/PHASE", help="Pre-contrast phase, such as 5/1, if not found right."
)
@click.option(
    "--post", multiple=True, metavar="SERIES/PHASE", help="Post-contrast phase; give both again for the other breast."
)
@click.option(
    "--reference",
    type=PathOption(),
    metavar="IMAGE|CSV",
    help="For networks that compare two images: what to compare with. For studies one image, instead of the other "
    "breast; for an image folder one image, or a CSV file with the columns image,reference.",
)
@click.option(
    "--colormap", type=click.Choice(sorted(LOOKS)), default=DEFAULT_LOOK.colormap, help="jet is the published one."
)
@click.option("--list", "only_list", is_flag=True, help="Show what is in INPUT and what would be used; no scores.")
@click.option("--save-maps", is_flag=True, help="For image folders: also write maps.npz.")
@click.option("--self-test", "only_test", is_flag=True, help="Re-check the model against its golden vectors; no INPUT.")
@log_format_option
@reporting_errors
def score(
    inputs: tuple[Path, ...],
    model: Path | None,
    url: str | None,
    out: Path | None,
    only_test: bool,
    only_list: bool,
    **options: Any,
) -> None:
    """Score breasts. INPUT is a DICOM study (folder, file or zip) or a folder of 8-bit grey MIP images.

    Writes result.json, report.html and overlays for each study below --out, and summary.csv and index.html over all
    of them; for a folder of images results.json. Research use only, not a medical device.
    """
    if only_list:
        if not inputs or out is not None or only_test or url is not None:
            raise click.UsageError("give INPUT with --list, and --model if its recipe is not the usual one; no --out")
        recipe = MipRecipe() if model is None else read_contract(model).recipe
        with ending_in_order(), Worker() as reader:
            sys.exit(list_inputs(inputs, recipe, reader, click.echo, complain))
    if (model is None) == (url is None):
        raise click.UsageError("give either --model or --url")
    if only_test == bool(inputs) or only_test == bool(out):
        raise click.UsageError("give INPUT and --out, or --self-test without them")
    # pydicom's log repeats odd values of headers, which can be a patient's.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    run_options = None if out is None else _run_options(out, **options)
    with ending_in_order(), contextlib.ExitStack() as stack:
        worker = stack.enter_context(Worker()) if run_options is not None else None
        opened, golden = _open(model, url)
        with opened as backend:
            name, digest = Redacted(backend.contract.name), Redacted(backend.contract.artefact_sha256)
            LOG.info("backend opened", model=name, artefact_sha256=digest, served=url is not None)
            if run_options is not None and worker is not None:
                sys.exit(ScoreRun(backend, run_options, worker).score_all(inputs))
            result = self_test(backend, golden())
            click.echo(
                f"{name}: {result.images} golden images, score error {result.score_error:.1e}, "
                f"map error {result.map_error:.1e}, limit {result.limit:.0e}: ok"
            )


@click.command(context_settings={"show_default": True})
@click.option("--repo", type=PathOption(), default=Path("triton_repo"), help="Triton model repository.")
@click.option("--host", default="127.0.0.1", help="Address to listen on. There is no access control: keep loopback.")
@click.option("--grpc-port", type=click.IntRange(1, 65535), default=8001)
@click.option("--metrics-port", type=click.IntRange(1, 65535), default=8002)
@click.option("--health-port", type=click.IntRange(1, 65535), help="Answer GET /live and /ready there.")
@click.option(
    "--http-port", type=click.IntRange(1, 65535), help="Also open Triton's HTTP, which scoring does not need."
)
@click.option("--log", type=PathOption(), default=Path("fcdd-serve.log"), help="Triton's own output.")
@click.option("--canary-interval", type=click.FloatRange(1), default=5, help="Seconds between health checks.")
@log_format_option
@reporting_errors
def serve(repo: Path, log: Path, canary_interval: float, health_port: int | None, **options: Any) -> None:
    """Serve a model repository with Triton until SIGTERM or Ctrl-C.

    Prints one line, `ready grpc://HOST:PORT`, once every model has answered its golden image; from then on they are
    asked again at every interval. A server that dies is started again, within limits; a model that no longer answers
    right ends it with an error.
    """
    server, health = ServerOptions(repository=repo, log=log, **options), Health()
    if not is_loopback(server.host):
        complain(
            f"Warning: everybody who reaches {server.host} can score, and read what the models are; there is no access "
            "control, so keep 127.0.0.1 or close the ports to others"
        )
    if server.http_port is not None:
        complain("Warning: Triton's HTTP ends the server on some requests; open it to programs that you trust only")
    with ending_in_order(exit_code=0), contextlib.ExitStack() as stack:
        if health_port is not None:
            stack.enter_context(listening(health, server.host, health_port))
        supervise(server, canary_interval, health, click.echo, lambda sentence: complain(f"Warning: {sentence}"))


def _open(model: Path | None, url: str | None) -> tuple[Backend, Callable[[], GoldenVectors]]:
    """Open the model, and say where its golden vectors come from."""
    if url is not None:
        served = open_url(url)
        return served, served.golden
    assert model is not None
    return open_folder(model), functools.partial(read_golden, model)


def _run_options(
    out: Path,
    dicom: bool,
    dicom_objects: str | None,
    pre: tuple[str, ...],
    post: tuple[str, ...],
    reference: Path | None,
    colormap: Colormap,
    save_maps: bool,
) -> RunOptions:
    if len(pre) != len(post):
        raise click.UsageError("give --pre and --post together, as often as each other")
    try:
        look = LOOKS[colormap]
        wanted = DicomOptions(look=look) if dicom_objects is None else dicom_options(dicom_objects, look)
    except ValueError as error:
        raise click.UsageError(f"--dicom-objects: {error}") from error
    return RunOptions(
        out=out,
        look=look,
        save_maps=save_maps,
        manual=manual_phases(*itertools.chain(*zip(pre, post, strict=True))) if pre else None,
        write_dicom=dicom_writer(wanted) if dicom or dicom_objects is not None else None,
        say=click.echo,
        complain=complain,
        reference=reference,
    )
