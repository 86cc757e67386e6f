"""Writing files and folders so that nobody ever sees half of them."""

import ctypes
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""From Linux's fcntl.h and fs.h."""


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
