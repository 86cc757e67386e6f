"""Verified model -> a version of a model folder in a Triton model repository.

`NAME/config.pbtxt`, `contract.json`, `golden.npz` and the reports describe the version that is served. Every version
folder holds the same files about itself, so that copying them one level up goes back to it.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path

from fcdd_export.gate.proven_model import ProvenModel
from fcdd_export.repository.config_pbtxt import config_text
from fcdd_export.repository.report import report_json, report_markdown
from fcdd_runtime.backends.golden import golden_to_bytes
from fcdd_runtime.contract import CONTRACT_FILE, GOLDEN_FILE, ModelContract, read_contract
from fcdd_runtime.errors import ContractError, FcddError, RepositoryError
from fcdd_runtime.files import replaced_folder

CONFIG_FILE = "config.pbtxt"
REPORT_FILE, REPORT_PAGE = "export_report.json", "export_report.md"
PYTHON_BACKEND_FILE = "model.py"
WRITTEN_ANEW = {CONFIG_FILE, CONTRACT_FILE, REPORT_FILE, REPORT_PAGE, PYTHON_BACKEND_FILE, GOLDEN_FILE}
"""Files of a version folder that follow from its contract, golden vectors and report; all others are the model's."""
KEPT_VERSIONS = 3
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_LINKS = {errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK}
"""What a file system answers that has no hard links, or none for this file; a copy may still succeed."""


def check_repository(repository: Path) -> None:
    """Refuse a repository that cannot be written to, before anything is computed for it.

    Raises
    ------
    RepositoryError
        If it is, or lies in, something that is no folder or that this user may not write to.
    """
    present = next(path for path in (repository.absolute(), *repository.absolute().parents) if os.path.lexists(path))
    if not present.is_dir():
        raise RepositoryError(f"{repository} is no folder and lies in none; give a folder as --repo")
    if not os.access(present, os.W_OK | os.X_OK):
        raise RepositoryError(_sentence(repository, os.strerror(errno.EACCES)))


def write_model(model: ProvenModel, repository: Path, kept: int = KEPT_VERSIONS) -> Path:
    """Write one model, as `write_models` does."""
    [folder] = write_models([model], repository, kept)
    return folder


def write_models(models: Sequence[ProvenModel], repository: Path, kept: int = KEPT_VERSIONS) -> list[Path]:
    """Write each model as its next version; they take their places once all of them are written.

    If one cannot take its place, those that did give theirs back. A kill while they take their places leaves each
    model whole, the former or the new one, where the file system can exchange two folders in one step.
    The same model as the present version takes that version's place, so that nothing changes but the report.

    Parameters
    ----------
    kept : how many versions stay, the new one included

    Returns
    -------
    the model folders, `repository / contract.name`

    Raises
    ------
    RepositoryError
        If the repository cannot be written to, or a model folder's name is taken by a file or a symbolic link; the
        repository is then as it was, unless the message says which models are new.
    ValueError
        If two models have the same name.
    """
    targets = [repository / model.contract.name for model in models]
    if len(set(targets)) < len(targets):
        raise ValueError(f"each model takes one folder, and two have the same name: {[path.name for path in targets]}")
    with (
        _refusals(repository),
        _created(repository),
        _locked(repository),
        _drafts(repository) as drafts,
        _all_or_none(targets, drafts),
        ExitStack() as stack,
    ):
        # The drafts take their places where the stack ends, and none does if one could not be written.
        for model, target in zip(models, targets, strict=True):
            _write_versions(model, target, stack.enter_context(replaced_folder(target, drafts)), kept)
    return targets


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that shape an artefact."""
    installed = {package.metadata["Name"].lower() for package in metadata.distributions()}
    return {
        name: metadata.version(name)
        for name in ("fcdd-edge", "torch", "onnx", "onnxruntime", "numpy")
        if name in installed
    }


@contextmanager
def _refusals(repository: Path) -> Iterator[None]:
    """Turn what the system refuses into a sentence about the repository; drafts' own names mean nothing to a user."""
    try:
        yield
    except FcddError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in NO_ROOM:
            raise RepositoryError(
                f"{repository} has no room for what is exported ({reason}); free space on its disk, or give another "
                "folder as --repo"
            ) from error
        raise RepositoryError(_sentence(repository, reason)) from error


def _sentence(repository: Path, reason: str) -> str:
    return f"{repository} cannot be written to ({reason}); give another folder as --repo, or the right to write there"


@contextmanager
def _created(repository: Path) -> Iterator[None]:
    """Make the repository's folder, and remove it again if nothing could be written into it."""
    missing = [path for path in (repository, *repository.parents) if not path.exists()]
    repository.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for path in missing:
                path.rmdir()
        raise


@contextmanager
def _locked(repository: Path) -> Iterator[None]:
    """Hold the repository's lock: a lock on the folder itself, so that no lock file outlives a killed export."""
    descriptor = os.open(repository, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _drafts(repository: Path) -> Iterator[Path]:
    """Give a folder for drafts, beside the repository where that is possible: Triton takes every folder inside for one.

    It is this repository's own. Under the lock nobody else writes there, so that what is in it was left by an export
    that was killed.
    """
    resolved = repository.resolve()
    same_file_system = resolved.parent.stat().st_dev == resolved.stat().st_dev
    beside = same_file_system and os.access(resolved.parent, os.W_OK)
    drafts = (resolved.parent if beside else resolved) / f".{resolved.name}.drafts"
    shutil.rmtree(drafts, ignore_errors=True)
    drafts.mkdir()
    try:
        yield drafts
    finally:
        shutil.rmtree(drafts, ignore_errors=True)


@contextmanager
def _all_or_none(targets: Sequence[Path], drafts: Path) -> Iterator[None]:
    """Put the former models back if not every new one takes its place: only the swap that fails undoes itself."""
    for target in targets:
        # Nothing is replaced that no export wrote; a link's folder may be served from elsewhere too.
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            found = "a symbolic link" if target.is_symlink() else "no folder"
            raise RepositoryError(
                f"{target} is {found}, and an export would replace it; move it away, or give another folder as --repo"
            )
    formers = drafts / "formers"
    formers.mkdir()
    before = {target: _identity(target) for target in targets}
    for target in targets:
        if target.exists():
            _copy_folder(target, formers / target.name)
    try:
        yield
    except BaseException:
        _put_back([target for target in targets if _identity(target) != before[target]], drafts, formers)
        raise


def _identity(folder: Path) -> int | None:
    return folder.stat().st_ino if folder.exists() else None


def _put_back(targets: Sequence[Path], drafts: Path, formers: Path) -> None:
    new = []
    for target in targets:
        former = formers / target.name
        try:
            if former.exists():
                with replaced_folder(target, drafts) as draft:
                    former.rename(draft)
            else:
                target.rename(former)
        except OSError:
            new.append(str(target))
    if new:
        raise RepositoryError(
            f"not every model could take its place, and {', '.join(new)} could not be put back; export again"
        )


def _versions(folder: Path) -> list[int]:
    """Return the version numbers in a model folder, in ascending order."""
    numbered = (path for path in folder.glob("[1-9]*") if path.name.isdecimal())
    return sorted(int(path.name) for path in numbered if path.is_dir() and any(path.iterdir()))


def _version_of(contract: ModelContract, folder: Path) -> int:
    """Return the version to write: the present one if it is the same model, else the next."""
    latest = max(_versions(folder), default=0)
    try:
        present = read_contract(folder)
    except ContractError:
        return latest + 1
    version = Path(present.artefact).parent.name
    same = replace(contract, artefact=present.artefact) == present and Path(present.artefact).name == contract.artefact
    return int(version) if same and version.isdecimal() else latest + 1


def _write_versions(model: ProvenModel, target: Path, draft: Path, kept: int) -> None:
    """Fill a model's draft: the former versions that stay, and the new one."""
    version = _version_of(model.contract, target)
    for former in _versions(target)[::-1][:kept]:
        if former != version and kept > 1:
            _copy_folder(target / str(former), draft / str(former))
    contract = replace(model.contract, artefact=f"{version}/{model.contract.artefact}")
    inner = draft / str(version)
    inner.mkdir()
    for name, contents in model.files.items():
        (inner / name).write_bytes(contents)
    if contract.target == "python":
        backend = resources.files("fcdd_export") / "repository" / "python_backend.py"
        (inner / PYTHON_BACKEND_FILE).write_text(backend.read_text(encoding="utf-8"), encoding="utf-8")
    descriptions = {
        CONFIG_FILE: config_text(contract, model.golden, version),
        CONTRACT_FILE: contract.to_json(),
        REPORT_FILE: report_json(contract, model.record),
        REPORT_PAGE: report_markdown(contract, model.record),
    }
    for place in (draft, inner):
        for name, text in descriptions.items():
            (place / name).write_text(text, encoding="utf-8")
        (place / GOLDEN_FILE).write_bytes(golden_to_bytes(model.golden))
    for oldest in _versions(draft)[:-kept]:
        shutil.rmtree(draft / str(oldest))


def _copy_folder(source: Path, destination: Path) -> None:
    """Copy a folder by links where that is possible.

    Not `shutil.copytree`: of what failed it keeps a text, with the drafts' names and without the error's number.
    """
    destination.mkdir()
    for path in source.iterdir():
        copy = destination / path.name
        if path.is_dir() and not path.is_symlink():
            _copy_folder(path, copy)
            continue
        try:
            os.link(path, copy, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            shutil.copy2(path, copy, follow_symlinks=False)
    shutil.copystat(source, destination)
