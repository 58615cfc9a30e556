"""
Cells on a Dask cluster: each is a task, its image made, or found, where it runs.

Files that an experiment names relative to itself (profiles, layouts, traces, code) travel with its cells, by
content; a large one must have an absolute path that is the same there. A worker that is killed loses its
cells to others, up to Dask's allowed-failures; results come back as they are ready, and the client keeps
them, so a client that was killed goes on from there. A worker with other code or other libraries is an error
of its cells, for its results would not be ours.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from sim.config.cell import Cell, digest
from sim.config.cell_result import CellResult
from sim.config.values import CodeRef, FileRef
from sim.errors import ConfigError, ReadpathError
from sim.experiment.attempts import Failure, attempt
from sim.experiment.finished_cells import run_with_digest
from sim.experiment.versions import versions
from sim.files import content_digest
from sim.units import MIB, format_size

if TYPE_CHECKING:
    from sim.experiment.runner import Elsewhere, MakeImage, RunCell

LOCAL = "local"
_ADDRESS = re.compile(r"(?:(?:tcp|tls)://)?(?P<host>[^/:\s]+):(?P<port>[0-9]{1,5})")
CONNECT_S = 10
MOST_BYTES = 8 * MIB


@dataclass(frozen=True, slots=True)
class Task:
    """A cell as it travels. files: that travel with it, their contents apart. expected: see `code_here`."""

    cell: Cell
    files: tuple[FileRef, ...]
    expected: str
    trace: bool


@contextmanager
def cluster(address: str, jobs: int) -> Iterator[Elsewhere]:
    """
    Yield what runs cells on the cluster of the scheduler at `address`.

    "local": a scheduler and `jobs` workers are started here, as processes, and end with it. Raises
    ConfigError where there is no scheduler, or dask.distributed is not installed.
    """
    dask = _distributed()
    with ExitStack() as stack:
        if address == LOCAL:
            there = stack.enter_context(
                dask.LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
            )
        else:
            _answers(address)
            there = address
        client = stack.enter_context(dask.Client(there, timeout=CONNECT_S, set_as_default=False))

        def elsewhere(
            run_cell: RunCell, make_image: MakeImage, cells: Sequence[tuple[Cell, str]], trace: bool
        ) -> Iterator[tuple[str, CellResult | Failure]]:
            return _results(client, run_cell, make_image, cells, trace)

        yield elsewhere


def _answers(address: str) -> None:
    """Raise ConfigError unless somebody listens at an address: Dask's client would go on trying."""
    allowed = f"{LOCAL}, or the address of a Dask scheduler, tcp://HOST:8786"
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ConfigError("--scheduler", f"{address!r} is no address", allowed)
    try:
        socket.create_connection((match["host"], int(match["port"])), CONNECT_S).close()
    except OSError as error:
        said = error.strerror or error
        raise ConfigError("--scheduler", f"{address!r} does not answer ({said})", allowed) from None


def _distributed() -> Any:
    """Return dask.distributed, which has no types; ConfigError where it is not installed."""
    try:
        return import_module("distributed")
    except ImportError:
        allowed = 'pip install "readpath-sim[cluster]"'
        raise ConfigError("--scheduler", "dask.distributed is not installed", allowed) from None


def _results(
    client: Any, run_cell: RunCell, make_image: MakeImage, cells: Sequence[tuple[Cell, str]], trace: bool
) -> Iterator[tuple[str, CellResult | Failure]]:
    """Yield (key, result) of cells as they are ready, in no order."""
    sent: dict[str, Any] = {}
    there: list[tuple[str, Task, list[Any]]] = []
    for cell, key in cells:
        travelling = tuple(sorted(named_files(cell.config), key=_path))
        contents = [_sent(client, sent, cell, file) for file in travelling]
        failed = [content for content in contents if isinstance(content, Failure)]
        if failed:
            yield key, failed[0]
        else:
            expected = code_here(tuple(cell.config.own_code.values()))
            there.append((key, Task(cell, travelling, expected, trace), contents))
    if not there:
        return
    # one message for many cells, either way: by itself each takes a millisecond of the client's
    run = partial(run_there, run_cell, make_image)
    futures = client.map(run, *zip(*((task, held) for _, task, held in there), strict=True), pure=False)
    keys = {future: key for future, (key, _, _) in zip(futures, there, strict=True)}
    ready = _distributed().as_completed(futures, loop=client.loop, with_results=True, raise_errors=False)
    del futures, there  # what a worker holds goes when the last future of it does
    for batch in ready.batches():
        for future, result in batch:
            done = future.status == "finished"
            yield keys.pop(future), result if done else _lost(future.exception())


def _sent(client: Any, sent: dict[str, Any], cell: Cell, file: FileRef) -> Any:
    """Return what will be the content of a file on the cluster, or the Failure to read it; each goes once."""
    if file.sha256 not in sent:
        content = attempt(content_to_send, cell.base / file.path, file.sha256)
        # a task and no scattered value, so that a worker that is killed takes nothing with it
        sent[file.sha256] = content if isinstance(content, Failure) else client.submit(bytes, content)
    return sent[file.sha256]


def _lost(error: BaseException | None) -> Failure:
    """Return what a task that gave no result came to."""
    if type(error).__name__ == "KilledWorker":
        return Failure("each worker that ran this cell was killed, or had no memory left for it")
    return Failure(f"the cluster lost this cell ({type(error).__name__}: {str(error)[:200]})")


def run_there(
    run_cell: RunCell, make_image: MakeImage, task: Task, contents: Sequence[bytes]
) -> CellResult | Failure:
    """Run a cell on a worker: its files are put where they are found, its image is made if need be."""
    return attempt(_run, run_cell, make_image, task, contents)


def _run(run_cell: RunCell, make_image: MakeImage, task: Task, contents: Sequence[bytes]) -> CellResult:
    here = code_here(tuple(task.cell.config.own_code.values()))
    if here != task.expected:
        problem = "a worker has another version of readpath or of a library than the client"
        raise ReadpathError("--scheduler", problem, "the same on all, from constraints.txt")
    cell = replace(task.cell, base=put_files(task.files, contents)) if task.files else task.cell
    return run_with_digest(run_cell, cell, make_image(cell), task.trace)


@cache
def code_here(own: tuple[CodeRef, ...]) -> str:
    """Return the digest of all that results come from, with a user's `own` code."""
    found = versions([])
    return digest([found, sorted(ref.sha256 for ref in own)])


def content_to_send(path: Path, sha256: str) -> bytes:
    """
    Return the content of a file that travels with cells.

    Raises ConfigError if it was changed, is gone, or is too large to travel.
    """
    if content_digest(path) != sha256:
        raise ConfigError(str(path), "has changed since the experiment was read", "the file as it was")
    size = path.stat().st_size
    if size > MOST_BYTES:
        allowed = f"up to {format_size(MOST_BYTES)}, or an absolute path that all workers have"
        raise ConfigError(str(path), f"{format_size(size)} with --scheduler", allowed)
    return path.read_bytes()


def _path(file: FileRef) -> str:
    return file.path


def named_files(value: Any) -> set[FileRef]:
    """Return the files that travel: all that a configuration, or a part of it, names, but absolute paths."""
    if isinstance(value, FileRef):
        return set() if Path(value.path).is_absolute() else {value}
    if isinstance(value, CodeRef):
        return set() if Path(value.file).is_absolute() else {FileRef(path=value.file, sha256=value.sha256)}
    if isinstance(value, BaseModel):
        parts: Iterable[Any] = (getattr(value, name) for name in type(value).model_fields)
    else:
        parts = (
            value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
        )
    return {file for part in parts for file in named_files(part)}


def put_files(files: Sequence[FileRef], contents: Sequence[bytes]) -> Path:
    """Return a folder from which these files are found as the experiment names them, "../" and all."""
    name = digest([[file.path, file.sha256] for file in files])[:32]
    top = Path(gettempdir()) / f"readpath-files-{name}"
    base = top.joinpath(*("below",) * max(file.path.count("..") for file in files))
    for file, content in zip(files, contents, strict=True):
        target = Path(os.path.normpath(base / file.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or content_digest(target) != file.sha256:
            aside = target.with_name(f".{target.name}.{os.getpid()}")
            aside.write_bytes(content)
            aside.rename(target)
    base.mkdir(parents=True, exist_ok=True)
    return base
