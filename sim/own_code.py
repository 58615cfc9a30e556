"""
A user's own Python: "mine.py:MyPath" names a file beside the experiment, and what is called MyPath in it.

The file is run as a module of its own, from the bytes whose digest is in the manifest; it may import readpath
and what is installed, no other file beside it (no digest would tell of that one). Nothing is written there.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from sim.errors import ConfigError, InvariantError, ReadpathError

WRITTEN = "FILE.py:NAME, a file beside the experiment and what is in it"
_PREFIX = "readpath_own_"
_LOADED: dict[tuple[str, str], ModuleType] = {}


def is_own(word: str) -> bool:
    """Return whether a word is meant to name a user's own code: no name of ours has a colon or that end."""
    return ":" in word or word.endswith(".py")


def parse(place: str, word: str) -> tuple[str, str]:
    """Return file and name of "mine.py:MyPath"; raise ConfigError at `place` for anything else."""
    file, colon, name = word.partition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise ConfigError(place, f"{word!r} is not understood", WRITTEN)
    return file, name


def load(place: str, file: Path, name: str, sha256: str) -> object:
    """
    Return what is called `name` in a file whose digest is `sha256` (hex).

    Raises ConfigError at `place`: the file cannot be read, has changed, raises, or has nothing of that name.
    """
    module = _module(place, file, sha256)
    if not hasattr(module, name):
        own = [
            word
            for word, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__
        ]
        raise ConfigError(place, f"{file.name} has no {name!r}", ", ".join(own) or "a class in it")
    return getattr(module, name)


def _module(place: str, file: Path, sha256: str) -> ModuleType:
    key = (str(file.absolute()), sha256)
    if key in _LOADED:
        return _LOADED[key]
    try:
        text = file.read_bytes()
    except OSError as error:
        problem = f"{file.name} cannot be read ({error.strerror})"
        raise ConfigError(place, problem, WRITTEN) from None
    if hashlib.sha256(text).hexdigest() != sha256:
        raise ConfigError(place, f"{file.name} has changed since it was first read", "run it again")
    module = ModuleType(_PREFIX + sha256[:16])
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(text, str(file), "exec"), module.__dict__)
    except ReadpathError:
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise ConfigError(
            place, f"{file.name} {_told(error, [file])}", "a file that Python can run"
        ) from error
    _LOADED[key] = module
    return module


@contextmanager
def blamed(place: str, files: Sequence[Path]) -> Iterator[None]:
    """
    Turn what a user's own code does wrong into one line: what it raises, or makes ours raise, and a
    contradiction in a machine that it is part of. Without files nothing is caught.
    """
    if not files:
        yield
        return
    try:
        yield
    except ReadpathError:
        raise
    except InvariantError as error:
        raise ConfigError(place, f"broke a rule of the model: {error}", "see docs/own-path.md") from error
    except Exception as error:
        raise ConfigError(place, _told(error, files), "see docs/own-path.md") from error


def _told(error: BaseException, files: Sequence[Path]) -> str:
    """Return "raised KeyError ('a') at mine.py:12"; of what ours raised, where in ours."""
    said = f"{type(error).__name__} ({error})"
    for file in files:
        if line := _line(error, file):
            return f"raised {said} at {file.name}:{line}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"made readpath raise {said}{where}"


def _line(error: BaseException, file: Path) -> int:
    """Return the last line of `file` that an exception came through; 0 if it did not."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno or 0 for frame in frames if frame.filename == str(file)]
    return lines[-1] if lines else 0
