"""Writing files and folders so that nobody ever sees half of them."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        return
    folder.rename(former)
    try:
        fresh.rename(folder)
    except OSError:
        former.rename(folder)
        raise
