"""Writing files and folders so that nobody ever sees half of them."""

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""From Linux's fcntl.h and fs.h."""

_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}(\.new|\.old)?")
"""Names that drafts have until they are complete."""


def sha256_of(contents: bytes) -> str:
    """Return the hexadecimal SHA-256 of a file's contents."""
    return hashlib.sha256(contents).hexdigest()


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Give a new path beside `path` to write to, which takes the place of `path` once all went well."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield fresh
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: Path, drafts: Path | None = None) -> Iterator[Path]:
    """Give a new folder to write into, which takes the place of `folder` once all went well.

    Parameters
    ----------
    drafts : where the draft lies meanwhile, on the same file system; None: beside `folder`
    """
    drafts = drafts or folder.parent
    fresh, former = (drafts / f".{folder.name}.{uuid.uuid4().hex}.{part}" for part in ("new", "old"))
    fresh.mkdir(parents=True)
    try:
        yield fresh
        _swap(fresh, folder, former)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _swap(fresh: Path, folder: Path, former: Path) -> None:
    if not folder.exists():
        fresh.rename(folder)
    elif not _exchanged(fresh, folder):
        folder.rename(former)
        try:
            fresh.rename(folder)
        except OSError:
            former.rename(folder)
            raise


def _exchanged(folder: Path, other: Path) -> bool:
    """Let two folders change names in one step, so that neither is missing even if the process is killed.

    False where the file system cannot, such as some network file systems.
    """
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0)


@contextmanager
def locked_folder(folder: Path) -> Iterator[bool]:
    """Hold a lock on an existing folder, if nobody else does; no lock file outlives a program that was killed.

    Yields
    ------
    whether the lock is held
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def remove_drafts(folder: Path) -> None:
    """Remove what `replaced_file` and `replaced_folder` left in a folder when they were killed.

    Call it under the folder's lock, so that nobody is writing there.
    """
    for path in folder.glob(".*"):
        if _DRAFT.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """Give an empty folder among the system's temporary files, removed at the end.

    What a killed program left there for the same purpose is removed first: its files are a patient's.
    """
    remove_left_by_killed(Path(tempfile.gettempdir()), purpose)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix(purpose)) as folder:
        yield Path(folder)


def scratch_prefix(purpose: str) -> str:
    """Begin the name of what this process alone uses and removes: the purpose, and who it is."""
    return f"{purpose}-{os.getpid()}-{_started(os.getpid())}-"


def remove_left_by_killed(folder: Path, purpose: str) -> None:
    """Remove files and folders whose names begin with the `scratch_prefix` of a process that is no more."""
    for left in folder.glob(f"{purpose}-*-*-*"):
        if owner_in(left.name, purpose) is None:
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def owner_in(name: str, purpose: str) -> int | None:
    """Return the number of the process that a name was made by; None if that has ended.

    0 for a name that was not made by `scratch_prefix`: nobody can say whose it is.
    """
    found = re.match(rf"{re.escape(purpose)}-(\d+)-(\d+)-", name)
    if found is None:
        return 0
    return int(found[1]) if found[2] == _started(int(found[1])) else None


def _started(process: int) -> str:
    """When a process was started, in the kernel's ticks; empty if there is none. A number alone may be given again."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # Field 22; the second is a name in brackets that may hold anything.
    return status.rpartition(")")[2].split()[19]
