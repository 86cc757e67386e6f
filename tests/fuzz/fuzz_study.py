"""`make fuzz`: damaged files through the study reader. Anything but a result or one sentence is a finding.

Seeds are drawn studies, and the real files below `FCDD_REFERENCE_DATA` where it is set.
"""

import os
import resource
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fcdd_runtime", "pydicom"]):
    from fcdd_runtime.breasts.projection import project
    from fcdd_runtime.contract import MipRecipe
    from fcdd_runtime.errors import FcddError
    from fcdd_runtime.phases.choose import split_phases
    from fcdd_runtime.study.read import read_studies

SECONDS = 60
MEMORY_BYTES = 1 << 30
"""More than this is a finding: a damaged file must not take a machine's memory."""
WARM_UP_BYTES = 1 << 30
"""For the fuzzer itself and its libraries."""


def try_study(data: bytes) -> None:
    """Read one file as a study, and make a MIP of it if it is one."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "study").mkdir()
        (Path(folder) / "study" / "file").write_bytes(data)
        (Path(folder) / "scratch").mkdir()
        try:
            studies, _ = read_studies(Path(folder) / "study", Path(folder) / "scratch")
            for study in studies:
                phases = split_phases(study, MipRecipe())
                project(phases.pre, phases.post)
        except FcddError:
            pass


def write_seeds(folder: Path) -> None:
    """Write small files of every kind that the reader knows."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))
    from mock_study import MockStudy, breast_phantom  # noqa: PLC0415 (lies beside the tests)

    classic = MockStudy(breast_phantom()).write(folder / "classic")[:3]
    [enhanced] = MockStudy(breast_phantom(), enhanced=True).write(folder / "enhanced")
    real = os.environ.get("FCDD_REFERENCE_DATA")
    more = sorted((Path(real) / "real_mr").rglob("*.dcm"))[::40] if real else []
    (folder / "corpus").mkdir()
    for number, path in enumerate([*classic, enhanced, *more]):
        (folder / "corpus" / str(number)).write_bytes(path.read_bytes())


def main() -> None:
    """Fuzz for a minute."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES + WARM_UP_BYTES,) * 2)
    with tempfile.TemporaryDirectory() as scratch:
        write_seeds(Path(scratch))
        options = [f"-max_total_time={SECONDS}", "-max_len=400000", "-timeout=20", f"-artifact_prefix={scratch}/"]
        atheris.Setup([sys.argv[0], *options, f"{scratch}/corpus"], try_study)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
