"""What a run of all benchmarks works on, and how it calls the project's own commands."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from fcdd_runtime.errors import BackendError

RESULTS = Path("benchmarks/results")
WORK = Path("bench_out/release")
SMALL_RESULTS, SMALL_WORK = Path("bench_out/small/results"), Path("bench_out/small/work")
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Setting:
    """Folders and sizes of a run. All paths are relative to the checkout, so that reports name no machine's folders."""

    small: bool
    results: Path
    """Where reports go."""
    work: Path
    """Images, models and the server's log; may be deleted at any time."""
    trained_vgg: Path | None
    """Folder with a VGG network trained by the published code, with its labelled images; None: random weights."""

    @classmethod
    def of(cls, *, small: bool, reference_data: str | None) -> "Setting":
        """Choose the folders.

        Parameters
        ----------
        reference_data : folder that holds `trained_vgg`, which is too large for the repository
        """
        results, work = (SMALL_RESULTS, SMALL_WORK) if small else (RESULTS, WORK)
        work.mkdir(parents=True, exist_ok=True)
        if reference_data is None:
            return cls(small, results, work, None)
        link = work / "trained_vgg"
        link.unlink(missing_ok=True)
        link.symlink_to((Path(reference_data) / "trained_vgg").resolve(), target_is_directory=True)
        if not (link / "snapshot.pt").is_file():
            raise BackendError("FCDD_REFERENCE_DATA names no folder with trained_vgg/snapshot.pt; correct or unset it")
        return cls(small, results, work, link)

    @property
    def vgg_results(self) -> Path:
        """Reports of the VGG network; random weights have a folder of their own, which is not committed."""
        return self.results / ("vgg_random_weights" if self.trained_vgg is None else "vgg")

    def size(self, full: int, small: int) -> str:
        """Return a number for an option: the first, or the second in a small run."""
        return str(small if self.small else full)


def run(command: str, *arguments: str | Path) -> None:
    """Run one of the environment's commands, printed as a user would type it.

    Raises
    ------
    BackendError
        If it fails; what it has to say stands above.
    """
    words = [command, *(str(argument) for argument in arguments)]
    click.echo(f"$ {shlex.join(words)}")
    path = os.pathsep.join(["examples", *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([str(BIN / command), *words[1:]], check=False, env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        raise BackendError(
            f"{command} ended with {done.returncode}; repeat from this step with --from once it is fixed"
        )
