"""
What a shell completes besides verbs, options and file names: experiments, runs, axes, labels.

Called by the completion script at every Tab, so nothing is imported that is not needed, and whatever cannot
be read completes to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.errors import ReadpathError

RUN_FOLDERS = (Path("results/runs"), Path("results/reference"))


def experiments(incomplete: str) -> list[str]:
    """Return experiments by file and by name, here or come along, and any TOML file below what is typed."""
    from sim.shipped import experiment_names

    found = [str(path) for path in sorted(Path("experiments").glob("*.toml"))]
    found += experiment_names() if incomplete else []  # a bare Tab shows files
    return _starting(found + _beside(incomplete, lambda path: path.suffix == ".toml"), incomplete)


def runs(incomplete: str) -> list[str]:
    """Return run directories: those made by default, the committed ones, and any below what is typed."""
    found = [
        str(path.parent) for folder in RUN_FOLDERS for path in sorted(folder.glob("[!.]*/manifest.json"))
    ]
    typed = _beside(incomplete, lambda path: (path / "manifest.json").is_file())
    return _starting(found + typed, incomplete)


def axis_values(incomplete: str) -> list[str]:
    """Return KEY= for --set, and KEY=VALUE once the key is typed: the axes of FILE's matrix first."""
    raw = _experiment()
    matrix = dict(_flat(raw.get("matrix", {}), ""))
    key, equals, _ = incomplete.partition("=")
    if equals:
        values = matrix.get(key)
        return (
            _starting([f"{key}={_word(v)}" for v in values], incomplete) if isinstance(values, list) else []
        )
    rest = {name for name, _ in _flat({n: t for n, t in raw.items() if n not in _HEADER}, "")}
    return _starting([f"{name}=" for name in [*matrix, *sorted(rest - set(matrix)), "run.seeds"]], incomplete)


def labels(incomplete: str) -> list[str]:
    """Return AXIS=LABEL for --where, of RUN."""
    from sim.documents import read_json

    for path in _typed():
        if (path / "manifest.json").is_file():
            try:
                axes = read_json(path / "manifest.json", "", "")["axes"]
                words = [f"{axis['key']}={label}" for axis in axes for label in axis["labels"]]
            except (ReadpathError, KeyError, TypeError):
                return []
            return _starting(words, incomplete)
    return []


def export_formats(incomplete: str) -> list[str]:
    """Return the forms of `readpath export`."""
    names = ["fio-json", "fio-json+", "fio-log", "blktrace", "blkparse", "perfetto", "collapsed"]
    return _starting(names, incomplete)


def trace_formats(incomplete: str) -> list[str]:
    """Return the formats of traces."""
    from sim.workload.traces.formats import FORMATS

    return _starting(list(FORMATS), incomplete)


def schemas(incomplete: str) -> list[str]:
    """Return the documents that have a schema."""
    return _starting(["experiment", "claims", "machine", "device"], incomplete)


def formats(incomplete: str) -> list[str]:
    """Return the formats of figures."""
    return _starting(["svg", "png"], incomplete)


def paths(incomplete: str) -> list[str]:
    """Return the read paths."""
    from sim.paths.registry import PATHS

    return _starting(list(PATHS), incomplete)


_HEADER = ("title", "question", "matrix", "run")


def _starting(words: list[str], incomplete: str) -> list[str]:
    return [word for word in dict.fromkeys(words) if word.startswith(incomplete)]


def _beside(incomplete: str, wanted: Any) -> list[str]:
    """Return what is `wanted`, and the folders to go on into, in the folder that is being typed."""
    folder = incomplete.rpartition("/")[0]
    base = Path(folder or ("/" if incomplete.startswith("/") else "."))
    prefix = incomplete[: incomplete.rfind("/") + 1]
    try:
        inside = sorted(path for path in base.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    found = [f"{prefix}{path.name}" for path in inside if wanted(path)]
    return found + [f"{prefix}{path.name}/" for path in inside if path.is_dir() and not wanted(path)]


def _typed() -> list[Path]:
    """
    Return the words of the line that is being completed.

    The shells hand it over in the environment (zsh and fish; bash). The parser does not tell: it stops at an
    option whose value is not there yet.
    """
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    return [Path(word) for word in line.split()]


def _experiment() -> dict[str, Any]:
    from sim.documents import read_toml

    for path in _typed():
        if path.suffix == ".toml":
            try:
                return read_toml(path, "", "")
            except ReadpathError:
                return {}
    return {}


def _flat(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("label", value.get("kind", "")))
    return str(value).lower() if isinstance(value, bool) else str(value)
