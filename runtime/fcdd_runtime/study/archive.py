"""Unpacking a zipped study within bounds: a zip comes from outside and may be damaged or made to do harm."""

import errno
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from fcdd_runtime.errors import StudyError
from fcdd_runtime.redaction import quoted
from fcdd_runtime.study.bounds import MAX_FILES

MAX_BYTES = 32 * 2**30
"""Most that is unpacked from one zip, bytes."""
MAX_RATIO = 100
"""Most that a whole zip may grow; MR images hardly compress to a tenth."""

_CHUNK_BYTES = 2**20


def unpack(path: Path, folder: Path) -> None:
    """Unpack the files of a zip into a folder, flat, under numbered names.

    Raises
    ------
    StudyError
        If it is no zip, damaged, encrypted, or unpacks to more than is plausible.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check_sizes(path, members)
            for number, member in enumerate(members):
                # By its number and the end of its own name, so that no path in the zip leads out of the folder.
                target = folder / f"{number:06d}_{PurePosixPath(member.filename).name[-60:]}"
                # A member yields at most the size that it declares, which was checked.
                with archive.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, _CHUNK_BYTES)
    except StudyError:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise _cannot_unpack(path, error.strerror or "it cannot be read") from error
        raise StudyError(
            f"the zip {quoted(path.name)} cannot be unpacked, because no space is left in the folder of temporary "
            "files; free some, or set TMPDIR to another folder",
            "nothing-to-read",
        ) from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _cannot_unpack(path, _why(error)) from error


def _cannot_unpack(path: Path, why: str) -> StudyError:
    return StudyError(
        f"the zip {quoted(path.name)} cannot be unpacked ({why}); give an undamaged zip without a password",
        "nothing-to-read",
    )


def _check_sizes(path: Path, members: list[zipfile.ZipInfo]) -> None:
    unpacked, packed = sum(member.file_size for member in members), path.stat().st_size
    if len(members) > MAX_FILES or unpacked > MAX_BYTES or unpacked > MAX_RATIO * packed:
        raise StudyError(
            f"the zip {quoted(path.name)} would unpack to {len(members)} files of {unpacked / 2**20:.0f} MB in all, "
            "which no study does; give the folder instead",
            "nothing-to-read",
        )


def _why(error: Exception) -> str:
    """Say what is wrong in own words: zipfile repeats names of members."""
    if isinstance(error, NotImplementedError):
        return "its compression is not supported"
    return "it is encrypted" if isinstance(error, RuntimeError) else "it is damaged"
