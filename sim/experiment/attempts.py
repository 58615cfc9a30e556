"""
Cells that cannot be run: what went wrong with one is a row of its own, and the others go on.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sim.errors import InvariantError, ReadpathError

R = TypeVar("R")
_LETTERS = 500
"""So much of an error is kept: a fault may quote anything."""


@dataclass(frozen=True, slots=True)
class Failure:
    """
    Why a cell, or the image of some, did not come to be.

    error: in one line. mistake: the error itself, where it is the user's. fault: the traceback, where it is
    readpath's.
    """

    error: str
    mistake: ReadpathError | None = None
    fault: str = ""


def attempt(function: Callable[..., R], *arguments: Any) -> R | Failure:
    """Return what a function gives, or why it does not; a function that a worker can import."""
    try:
        return function(*arguments)
    except ReadpathError as error:
        return Failure(str(error), mistake=error)
    except MemoryError:
        return Failure("there is not enough memory for this cell")
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        return Failure(f"{what}{error.strerror or error}")
    except Exception as error:  # whatever it is: the other cells go on
        said = f"{type(error).__name__}: {error}".split("\n")[0][:_LETTERS]
        return Failure(f"a fault in readpath ({said})", fault=traceback.format_exc())


def raise_if_all(outcomes: list[R | Failure]) -> list[R | Failure]:
    """Return the outcomes; raise the first error if there is nothing else: then there is no run to keep."""
    first = next((outcome for outcome in outcomes if isinstance(outcome, Failure)), None)
    if first is None or not all(isinstance(outcome, Failure) for outcome in outcomes):
        return outcomes
    if first.mistake is not None:
        raise first.mistake
    if first.fault:
        raise InvariantError(f"{first.error}\n{first.fault}")
    raise ReadpathError("run", first.error)
