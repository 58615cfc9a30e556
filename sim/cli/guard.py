"""
The one guard around every verb: whatever ends it is a sentence on standard error and an exit code.

A mistake of the user's is a `ReadpathError` and exit code 2. What nobody foresaw is a fault of ours: exit
code 3, one line, and a file of the user's own with the traceback. Exit code 1 is never an error's: it means
that something was found.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from sim.cli.exits import CLOSED, FAULT, INTERRUPTED, MISTAKE
from sim.errors import ReadpathError
from sim.text import printable

_STANDARD = (0, 1, 2)


def prepare_streams() -> None:
    """
    Make standard input, output and error usable, whoever started us.

    A closed one (`>&-`) becomes /dev/null: else the next file that is opened takes its number, and gets what
    is printed. Letters that the terminal's encoding does not have (LC_ALL=C) are printed as escapes.
    """
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number, inheritable=True)
                os.close(opened)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 -- lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    os.environ.pop(
        "MPLBACKEND", None
    )  # nothing of ours shows a window; a backend that is none fails at import
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a test's own
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


@contextmanager
def guarded() -> Iterator[None]:
    """
    Turn what ends the block into a line on standard error and `typer.Exit` with its code.

    Exits of the verb's own, and mistakes in how it is called (typer's), pass.
    """
    try:
        yield
    except ReadpathError as error:
        for line in str(error).split("\n"):
            _say(line)
        raise typer.Exit(MISTAKE) from None
    except KeyboardInterrupt:
        _say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        drop_output()
        raise typer.Exit(CLOSED) from None
    except MemoryError:
        _say("there is not enough memory for this: fewer workers (--jobs), or something smaller")
        raise typer.Exit(MISTAKE) from None
    except OSError as error:
        what = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        _say(f"{what}{error.strerror or error}")
        raise typer.Exit(MISTAKE) from None
    except typer.Exit:
        raise
    except typer.Abort as error:  # of a question
        ended = isinstance(error.__context__, EOFError)
        _say("a question was not answered" if ended else "interrupted")
        raise typer.Exit(MISTAKE if ended else INTERRUPTED) from None
    except Exception as error:
        if _shows_itself(error):
            raise
        tell_fault(error)
        raise typer.Exit(FAULT) from None


def tell_fault(error: BaseException) -> None:
    """Say in one line that readpath is at fault, and where the traceback is."""
    said = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    at = keep_traceback("".join(traceback.format_exception(error)))
    _say(f"a fault in readpath, please report it with {at} ({said})")


def keep_traceback(text: str) -> str:
    """Return the name of a new file, readable by its owner alone, that holds a traceback and what ran."""
    from sim import __version__

    words = " ".join(printable(word) for word in sys.argv[1:])
    document = f"readpath {__version__} on Python {sys.version}\nreadpath {words}\n\n{text}"
    try:
        number, name = tempfile.mkstemp(".txt", "readpath-fault-")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(document)
    except OSError as error:
        return f"what it said, which cannot be kept ({error.strerror})"
    return name


def flushed(code: int) -> int:
    """Write out what is printed; return `code`, or that of what went wrong with it at the very end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        return CLOSED
    except OSError as error:
        drop_output()
        _say(f"standard output: {error.strerror}")
        return MISTAKE
    return code


def drop_output() -> None:
    """Send what is still to be printed nowhere: the reader is gone, and Python prints at its end too."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def _say(line: str) -> None:
    with suppress(OSError):  # nobody listens there either
        typer.echo(printable(f"readpath: {line}"), err=True)


def _shows_itself(error: Exception) -> bool:
    """Return whether it is typer's own error about how a verb is called."""
    return hasattr(error, "show") and hasattr(error, "exit_code")
