"""A source distribution and a wheel, built from a copy of the checkout, the wheel laid out as pip does it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
MADE = ("results", ".git", ".venv", "build", "dist", "*.egg-info", "*.so")
CACHES = ("__pycache__", ".*_cache", ".hypothesis")
"""What a copy of the checkout leaves behind, as tools made it; of results, what is committed is copied."""

BUILD = "from setuptools import build_meta; print(getattr(build_meta, {kind!r})({out!r}))"


def copy_of_checkout(target: Path) -> Path:
    """Copy what belongs to the project to `target`, and return it."""
    mine = Path(sys.prefix)
    own = (mine.name,) if mine.parent == ROOT else ()  # the virtual environment may have any name
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*MADE, *CACHES, *own))
    for folder in ("reference", "kernel"):
        shutil.copytree(
            ROOT / "results" / folder, target / "results" / folder, ignore=shutil.ignore_patterns("build")
        )
    return target


def built(kind: str, tree: Path, out: Path) -> Path:
    """Build a "build_sdist" or a "build_wheel" of `tree` in a fresh interpreter; return the file."""
    out.mkdir(exist_ok=True)
    code = BUILD.format(kind=kind, out=str(out))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


def unpacked(archive: Path, target: Path) -> Path:
    """Unpack a source distribution; return its top folder."""
    target.mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", target], check=True)
    (top,) = target.iterdir()
    return top


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel; without the record of its own digests."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def laid_out(wheel: Path, target: Path) -> Path:
    """Put a wheel's packages where an interpreter finds them, as pip does for one of pure Python."""
    with ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


VERBS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
import sim
from sim.cli.main import app
told = [sim.__file__]
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app(words, prog_name="readpath")
        except SystemExit as done:
            code = done.code
    told.append([code or 0, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""


def verbs_of(installed: Path, folder: Path, lines: list[list[str]]) -> list[tuple[int, str, str]]:
    """
    Run verbs of an installed readpath, one after the other in one process, in `folder`.

    Returns exit code, standard output and standard error of each. The checkout is not on the path.
    """
    env = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", VERBS, json.dumps(lines)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where, *told = json.loads(done.stdout)
    assert str(installed) == str(Path(where).parents[1])
    return [tuple(each) for each in told]
