"""Any exception as an error that a user can act on. I/O: a bug's traceback goes to a file, never to a terminal."""

from __future__ import annotations

import errno
import tempfile
import traceback
from collections.abc import Sequence

import click

from flyball import __version__
from flyball.errors import EnvironmentMissing, FlyballError, InputError

CURES = {
    errno.EACCES: "check the owner and mode of the file",
    errno.EPERM: "check the owner and mode of the file",
    errno.EROFS: "mount the disk for writing, or move the project",
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and run the same command again",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run the same command again",
    errno.ENOENT: "check that it is there, and run the same command again",
}


WORDS = {  # how libraries that are not Python's name what the operating system told them
    errno.ENOSPC: ("No space left on device", "database or disk is full"),
    errno.EFBIG: ("File too large",),
    errno.EACCES: ("Permission denied",),
    errno.EROFS: ("Read-only file system", "readonly database"),
}


class Interrupted(FlyballError):
    """Ctrl-c."""

    exit_code, code = 130, "interrupted"

    def __init__(self) -> None:
        super().__init__("interrupted", cure="what was finished is kept; the same command goes on from there")


def as_error(error: BaseException, arguments: Sequence[str]) -> FlyballError:
    """The exception as one of ours; for a bug, where its details are."""
    match error:
        case FlyballError():
            return error
        case KeyboardInterrupt() | click.Abort():
            return Interrupted()
        case click.ClickException():
            return of_usage(error)
        case OSError():
            return of_system(error)
        case MemoryError():
            return EnvironmentMissing("memory ran out", cure="end other programs, or lower train.batch_size")
    for number, words in WORDS.items():
        if any(word in str(error) for word in words):
            return EnvironmentMissing(str(error).splitlines()[0], cure=CURES[number])
    return bug(error, arguments)


def of_usage(error: click.ClickException) -> InputError:
    """A wrong command line; the cure shows the help of the command that was meant."""
    context = getattr(error, "ctx", None)
    command = context.command_path.strip() if context else "flyball"
    return InputError(error.format_message(), cure=f"see `{command} --help`")


def of_system(error: OSError) -> FlyballError:
    """An error of the operating system, with a cure where we know one."""
    where = f"{error.filename}: " if error.filename else ""
    return EnvironmentMissing(f"{where}{error.strerror or error}", cure=CURES.get(error.errno or 0, ""))


def bug(error: BaseException, arguments: Sequence[str]) -> FlyballError:
    """Our own mistake: the traceback goes to a file."""
    text = "".join(traceback.format_exception(error))
    last = text.strip().splitlines()[-1]
    cure = "please report it"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="flyball-", suffix=".log", delete=False) as file:
            file.write(f"flyball {__version__}: {' '.join(arguments)}\n{text}")
            cure = f"the details are in {file.name}; please report it"
    except OSError:  # no space even for that
        pass
    return FlyballError(f"a bug in Flyball: {last}", cure=cure)
