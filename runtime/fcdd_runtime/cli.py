"""fcdd-score and fcdd-serve: parse, call one function, map known errors to exit codes."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.commands import PathOption, ending_in_order, reporting_errors
from fcdd_runtime.errors import BackendError, FcddError, GateError, ServerUnreachableError, StudyError
from fcdd_runtime.files import replaced_file
from fcdd_runtime.images import is_image_folder
from fcdd_runtime.report import SummaryRow, study_folder_name, summary_rows, write_study_report, write_summary
from fcdd_runtime.result import StudyResult
from fcdd_runtime.score_images import score_images, write_image_scores
from fcdd_runtime.score_study import score_study
from fcdd_runtime.self_test import GoldenVectors, read_golden, self_test
from fcdd_runtime.server import RunningServer, ServerOptions, running_server
from fcdd_runtime.study import Study, read_studies

SOME_FAILED, NONE_USABLE = 1, 2


@dataclass
class _Run:
    """What one call of fcdd-score has done so far."""

    backend: Backend
    out: Path
    save_maps: bool
    rows: list[SummaryRow] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)
    done: int = 0
    failed: int = 0

    def fail(self, sentence: str) -> None:
        self.failed += 1
        click.echo(f"Error: {sentence}", err=True)

    def warn(self, sentence: str) -> None:
        click.echo(f"Warning: {sentence}", err=True)


@click.command(context_settings={"show_default": True})
@click.argument("inputs", nargs=-1, metavar="INPUT...", type=PathOption())
@click.option("--model", type=PathOption(), help="Exported model folder, run in this process.")
@click.option("--url", help="Model on a Triton server: grpc://HOST:PORT/MODEL.")
@click.option("--out", type=PathOption(file_okay=False), help="Folder for the results.")
@click.option("--save-maps", is_flag=True, help="For image folders: also write maps.npz.")
@click.option("--self-test", "only_test", is_flag=True, help="Re-check the model against its golden vectors; no INPUT.")
@reporting_errors
def score(
    inputs: tuple[Path, ...], model: Path | None, url: str | None, out: Path | None, save_maps: bool, only_test: bool
) -> None:
    """Score breasts. INPUT is a DICOM study (folder, file or zip) or a folder of 8-bit grey MIP images.

    Writes result.json, report.html and overlays for each study below --out, and summary.csv over all of them; for
    a folder of images results.json. Research use only, not a medical device.
    """
    if (model is None) == (url is None):
        raise click.UsageError("give either --model or --url")
    if only_test == bool(inputs) or only_test == bool(out):
        raise click.UsageError("give INPUT and --out, or --self-test without them")
    with ending_in_order(), _opened(model, url) as (backend, golden):
        if only_test:
            _report_self_test(backend, golden())
        elif out is not None:
            sys.exit(_score_all(inputs, _Run(backend, out, save_maps)))


@click.command(context_settings={"show_default": True})
@click.option("--repo", type=PathOption(), default=Path("triton_repo"), help="Triton model repository.")
@click.option("--host", default="127.0.0.1", help="Address to listen on. There is no access control: keep loopback.")
@click.option("--http-port", type=click.IntRange(1, 65535), default=8000)
@click.option("--grpc-port", type=click.IntRange(1, 65535), default=8001)
@click.option("--metrics-port", type=click.IntRange(1, 65535), default=8002)
@click.option("--log", type=PathOption(), default=Path("fcdd-serve.log"), help="Triton's own output.")
@click.option("--canary-interval", type=click.FloatRange(1), default=10, help="Seconds between health checks.")
@reporting_errors
def serve(repo: Path, host: str, log: Path, canary_interval: float, **ports: int) -> None:
    """Serve a model repository with Triton until SIGTERM or Ctrl-C.

    Prints one line, `ready grpc://HOST:PORT`, once every model has answered its golden image; from then on they are
    asked again at every interval, and the server is stopped with an error when one no longer answers right.
    """
    options = ServerOptions(repository=repo, host=host, log=log, **ports)
    with ending_in_order(exit_code=0), running_server(options) as server:
        click.echo(f"ready grpc://{host}:{ports['grpc_port']}")
        _watch(server, canary_interval)


@contextmanager
def _opened(model: Path | None, url: str | None) -> Iterator[tuple[Backend, Callable[[], GoldenVectors]]]:
    """Open the model, and say where its golden vectors come from."""
    if url is not None:
        served = open_url(url)
        try:
            yield served, served.golden
        finally:
            served.close()
    elif model is not None:
        local = open_folder(model)
        try:
            yield local, lambda: read_golden(model)
        finally:
            local.close()


def _report_self_test(backend: Backend, golden: GoldenVectors) -> None:
    result = self_test(backend, golden)
    click.echo(
        f"{backend.contract.name}: {result.images} golden images, score error {result.score_error:.1e}, "
        f"map error {result.map_error:.1e}, limit {result.limit:.0e}: ok"
    )


def _score_all(inputs: tuple[Path, ...], run: _Run) -> int:
    """Score every input; return the exit code."""
    image_folders = [path for path in inputs if is_image_folder(path)]
    if len(image_folders) > 1:
        raise click.UsageError("give one folder of images a call; their results have one file")
    run.out.mkdir(parents=True, exist_ok=True)
    try:
        for path in inputs:
            if path in image_folders:
                _score_image_folder(path, run)
            else:
                _score_input(path, run)
    finally:
        _write_summary(run)
    if run.failed:
        return SOME_FAILED if run.done else NONE_USABLE
    return 0


def _write_summary(run: _Run) -> None:
    """List this call's breasts; without any, a list of an earlier call must not be taken for this one's."""
    path = run.out / "summary.csv"
    if not run.rows:
        path.unlink(missing_ok=True)
        return
    with replaced_file(path) as file:
        write_summary(run.rows, file)


def _score_input(path: Path, run: _Run) -> None:
    with tempfile.TemporaryDirectory(prefix="fcdd-score-") as scratch:
        try:
            studies, notes = read_studies(path, Path(scratch))
        except StudyError as error:
            run.fail(str(error) if str(path) in str(error) else f"{path}: {error}")
            return
        for study in studies:
            # A file that cannot be read may belong to any of the studies, so each result says so.
            _score_one(path, replace(study, warnings=(*notes, *study.warnings)), run)


def _score_one(path: Path, study: Study, run: _Run) -> None:
    name = study_folder_name(study.study_instance_uid)
    if study.study_instance_uid in run.studies:
        run.fail(f"{path}: study {name} was in an earlier input already; give each study once, in one folder")
        return
    run.studies.add(study.study_instance_uid)
    try:
        result = score_study(study, run.backend)
        write_study_report(result, run.out / name)
    except ServerUnreachableError:
        raise
    except FcddError as error:
        for warning in study.warnings:
            run.warn(f"{path}: {warning}")
        run.fail(f"{path}: study {name}: {error}{_without_former(run.out / name)}")
        return
    for warning in result.warnings:
        run.warn(f"{path}: {warning}")
    run.done += 1
    run.rows += summary_rows(result)
    click.echo(_line(result, run.out / name))


def _without_former(folder: Path) -> str:
    """Remove what an earlier call wrote for a study that now failed: it would look current."""
    if not folder.exists():
        return ""
    shutil.rmtree(folder)
    return "; its earlier result was removed"


def _line(result: StudyResult, folder: Path) -> str:
    scores = "  ".join(f"{breast.laterality} {breast.score:.6g}" for breast in result.breasts)
    flag = {True: "flagged", False: "not flagged", None: "no operating point"}[result.flagged]
    return f"{folder.name}  {scores}  {flag}  {folder / 'report.html'}"


def _score_image_folder(path: Path, run: _Run) -> None:
    try:
        result = score_images(path, run.backend)
    except ServerUnreachableError:
        raise
    except FcddError as error:
        run.fail(str(error))
        return
    write_image_scores(result, run.backend, run.out, run.save_maps)
    for failure in result.failures:
        run.fail(failure)
    run.done += len(result.names)
    click.echo(f"{len(result.names)} images scored  {run.out / 'results.json'}")


def _watch(server: RunningServer, interval: float) -> None:
    while True:
        time.sleep(interval)
        try:
            server.check()
        except GateError:
            raise
        except BackendError:
            # A busy machine may be late once; a dead model stays silent.
            time.sleep(1)
            server.check()
