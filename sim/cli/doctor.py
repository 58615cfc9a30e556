"""
readpath doctor: what is there and what is missing, and what each is for.

Nothing is run, written or downloaded. What is missing is never needed to run an experiment, but for room and
a folder to write into.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from sim import __version__
from sim.engine.mode import compiled
from sim.errors import ConfigError
from sim.files import find_program
from sim.report.style import FONT, font_file
from sim.text import printable
from sim.units import GIB

State = Literal["there", "missing", "low"]

ROOM_BYTES = 4 * GIB
"""As much as the images of all shipped experiments take; those of the main one take less than a quarter."""

PROGRAMS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("e2fsck",),
        "e2fsprogs",
        "judges a disk's states after a power cut, for a [crash] table; tests of images",
    ),
    (("debugfs",), "e2fsprogs", "tests: what other programs read in our images"),
    (("mke2fs",), "e2fsprogs", "tests: images of others, that ours are held against"),
    (("fio",), "fio", "tests: jobs and results beside the real ones"),
    (("blkparse",), "blktrace", "reads export --format blktrace; tests of it"),
    (("btt",), "blktrace", "sums the stages of export --format blktrace; tests of it"),
    (("strace",), "strace", "tests: traces of a program that knows what it reads"),
    (("openssl",), "openssl", "tests: ciphers beside another implementation"),
    (("chromium",), "chromium", "tests: the page of readpath report in a browser"),
    (("chromedriver",), "chromium-driver", "tests: drives chromium"),
    (("cc", "gcc", "clang"), "gcc", "make fast: compiles the core, which then takes half the time"),
)
"""Programs, any of which will do; the Debian package they are in; what they are for."""

MODULES = (
    ("darshan", "tests: real traces to replay"),
    ("selenium", "tests: talks to chromedriver"),
    ("mypyc", "make fast: makes C of the core"),
    ("pytest", "make test"),
    ("hypothesis", "tests: inputs nobody thought of"),
)
"""Python modules that only some need."""

FOLDERS = (
    (Path("results/runs"), "run directories"),
    (Path("results/images"), "images of the volumes"),
    (Path("results/reports"), "pages of readpath report"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One thing: whether it is there, where or how much, and what it is for."""

    name: str
    state: State
    said: str
    purpose: str


def examined() -> Iterator[Found]:
    """Yield what there is to say, in an order to read."""
    way = "compiled core" if compiled() else "plain Python core"
    yield Found(
        "readpath", "there", f"{__version__}, {way}", "make fast compiles the core, make slow undoes it"
    )
    cores = len(os.sched_getaffinity(0))
    yield Found("Python", "there", platform.python_version(), f"{cores} cores: as many workers run at once")
    for names, package, purpose in PROGRAMS:
        path = next(filter(None, map(find_program, names)), None)
        said = path or f"apt-get install {package}"
        yield Found(" or ".join(names), "there" if path else "missing", said, purpose)
    for name, purpose in MODULES:
        there = find_spec(name) is not None
        yield Found(
            name, "there" if there else "missing", "installed" if there else f"pip install {name}", purpose
        )
    font = font_file()
    yield Found(
        f"font {FONT}", "there" if font else "missing", font or "comes with matplotlib", "all figures"
    )
    yield from _folders()


def _folders() -> Iterator[Found]:
    """Yield whether what a run writes can be written, and whether there is room for it."""
    for folder, purpose in (*FOLDERS, (Path(tempfile.gettempdir()), "figures until they are whole")):
        place = _nearest(folder)
        can = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
        said = f"{place.resolve()} {'can' if can else 'cannot'} be written"
        yield Found(f"folder {folder}", "there" if can else "missing", said, purpose)
    free = shutil.disk_usage(_nearest(FOLDERS[0][0])).free
    said = f"{free / GIB:.1f} GiB free"
    purpose = f"all shipped experiments keep {ROOM_BYTES // GIB} GiB of images, the main one less than 1"
    yield Found("room on the disk", "there" if free >= ROOM_BYTES else "low", said, purpose)


def _nearest(folder: Path) -> Path:
    """Return a folder, or what is nearest above it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def show_findings(as_json: bool, quiet: bool) -> None:
    """Print a line for each thing: state, name, where or how much, what it is for."""
    try:
        found = list(examined())
    except OSError as error:
        raise ConfigError(".", f"cannot be examined ({error.strerror})", "a folder that is there") from None
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    elif not quiet:
        width = max(len(one.name) for one in found)
        for one in found:
            print(printable(f"{one.state:<7}  {one.name:<{width}}  {one.said} - {one.purpose}"))
