"""
Worker processes: a function over many arguments, and what happens when one of those involved is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sim.errors import ReadpathError

R = TypeVar("R")

GUARDED = 'run(...) below `if __name__ == "__main__":`'
"""What a script that is imported by its workers must have."""


class WorkerLostError(ReadpathError):
    """A worker process was killed; what others had finished is kept."""


class Each(Protocol):
    def __call__(self, function: Callable[..., R], work: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """Call `function(*arguments)` for each of `work`; yield the results in order."""
        ...


def in_this_process(function: Callable[..., R], work: Sequence[tuple[Any, ...]]) -> Iterator[R]:
    """Call `function(*arguments)` for each of `work` here, one after another (Each)."""
    return (function(*arguments) for arguments in work)


@contextmanager
def workers(jobs: int) -> Iterator[Each]:
    """
    Yield what maps a function over tuples of arguments on `jobs` processes; 1: in this one.

    Raises WorkerLostError if a worker is killed, and as `refuse_if_imported` does. Workers end when this
    process does, however it ends.
    """
    refuse_if_imported(jobs)
    if jobs == 1:
        yield in_this_process
        return
    # spawn: a worker starts from nothing, so it cannot differ from a fresh process
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)

    def there(function: Callable[..., R], work: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        futures = [pool.submit(function, *arguments) for arguments in work]
        return (future.result() for future in futures)

    try:
        yield there
    except BrokenProcessPool:
        problem = (
            "a worker process was killed, or there was no memory left for it"
            " (or, from Python: each imports the script that runs)"
        )
        raise WorkerLostError("jobs", problem, f"fewer with --jobs; from Python, {GUARDED}") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def refuse_if_imported(jobs: int) -> None:
    """
    Raise WorkerLostError where a worker's import of the script that runs would start `jobs` > 1 workers more.

    multiprocessing refuses it too, but late: after the script has made its files, and semaphores of which
    it then tells on stderr, below the line that says what to do.
    """
    if jobs > 1 and getattr(multiprocessing.current_process(), "_inheriting", False):
        raise WorkerLostError("jobs", "a worker process imports this script, which starts workers", GUARDED)


def _begin() -> None:
    """Begin a worker: Ctrl-C ends it, and the parent tells it; the end of the parent does too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """
    Wait until the parent is no more, then end this process at once.

    A worker that waits for work would not notice: it holds the other end of its own pipe.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
