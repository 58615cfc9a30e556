"""
From an experiment file to its cells: read, override, expand, validate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from sim.block.device.profile import device_profile_names
from sim.config.cell import Cell, CellConfig, Experiment, digest
from sim.config.table import AsWritten, Model
from sim.config.values import CodeRef, FileRef
from sim.documents import is_utf8, parse_toml, read_toml_text, short
from sim.engine.costs import machine_profile_names
from sim.errors import ConfigError, MistakesError
from sim.experiment.beside import Beside
from sim.experiment.error_lines import from_validation, line_of
from sim.experiment.matrix import (
    JOB_KEY,
    Axis,
    Override,
    Raw,
    apply,
    axes,
    axis_keys,
    narrow,
    parse_set,
    product,
    several,
)
from sim.experiment.workload_jobs import CommandLine, put_jobs
from sim.experiment.workload_replay import put_replay
from sim.files import shipped_profiles
from sim.own_code import is_own, parse


class _Run(Model):
    seeds: int | list[int] = 1


class _Header(Model):
    title: str
    question: str = ""
    run: _Run = _Run()
    matrix: dict[str, Any] = Field(default_factory=dict)


def load_experiment(path: Path, sets: Sequence[str] = (), fio: str | None = None) -> Experiment:
    """
    Return the experiment of a TOML file, expanded and validated.

    path: the file; what it names lies relative to its folder. sets: "key=value", as after `--set`. fio: a
    fio command line whose jobs take the place of the file's.

    Raises ConfigError with file, line, key, value and what is allowed.
    """
    text = read_toml_text(path, str(path), "an experiment file")
    raw = parse_toml(text, str(path), "see the examples in experiments/", AsWritten)
    given = list(map(parse_set, sets))
    try:
        first = [] if fio is None else [Override(JOB_KEY, CommandLine(fio), "--fio")]
        found = expand(raw, path, [*first, *given])
    except ConfigError as error:
        raise _with_line(_of_a_set(error, given, raw, path), path, text) from None
    line = line_of(text, "volume.files") or line_of(text, "volume")
    place = f"{path}:{line}: volume" if line else f"{path}: volume"
    return replace(found, cells=tuple(replace(cell, place=place) for cell in found.cells))


def _of_a_set(error: ConfigError, given: Sequence[Override], raw: Raw, path: Path) -> ConfigError:
    """Name the `--set` that an error comes from; where it looks like several values, say how to give them."""
    for override in reversed(given):
        key, in_file = override.key, error.place == f"{path}: {override.key}"
        if isinstance(error, MistakesError) or not (in_file or error.place == override.place):
            continue
        place, allowed, words = override.place if in_file else error.place, error.allowed, several(override)
        is_axis = key in axis_keys(raw.get("matrix"))
        if words and not (is_axis and isinstance(override.value, list)):
            key = key if is_axis or key.split(".")[0] in _Header.model_fields else f"matrix.{key}"
            allowed += f"; several: --set {key}='{words}'"
        return ConfigError(place, error.problem, allowed)
    return error


def _with_line(error: ConfigError, path: Path, text: str) -> ConfigError:
    """Put the line into the place of an error of this file."""
    if isinstance(error, MistakesError):
        return MistakesError([_with_line(each, path, text) for each in error.errors])
    prefix = f"{path}: "
    if not error.place.startswith(prefix):
        return error
    key = error.place.removeprefix(prefix)
    line = line_of(text, key)
    place = f"{path}:{line}: {key}" if line else error.place
    return ConfigError(place, error.problem, error.allowed)


def expand(raw: Raw, path: Path, sets: list[Override]) -> Experiment:
    """
    Return the experiment that `raw` says: the cartesian product of its matrix, times its seeds.

    raw: as tomllib reads it. path: its file, for names and places; nothing of it is read again.
    """
    file = str(path)
    if not is_utf8(path.stem):
        raise ConfigError(file, "its name, which is the experiment's, is not UTF-8", "another name")
    body = dict(raw)
    head = {key: body.pop(key) for key in _Header.model_fields if key in body}
    for override in [o for o in sets if o.key.split(".")[0] in _Header.model_fields]:
        head = apply(head, [override])
    sets = [o for o in sets if o.key.split(".")[0] not in _Header.model_fields]
    try:
        header = _Header.model_validate(head)
    except ValidationError as error:
        raise from_validation(error, _Header, head, file) from None
    matrix, sets = narrow(axes(header.matrix, f"{file}: matrix"), sets)
    seeds = _seeds(header.run.seeds, f"{file}: run.seeds")
    beside = Beside(path)
    _bounded(matrix, seeds, f"{file}: matrix")
    cells: list[Cell] = []
    for index, (labels, chosen) in enumerate(product(matrix)):
        config = _validated(body, [*sets, *chosen], beside)
        config_hash = digest(config.canonical())
        cells += [Cell(index, labels, config, config_hash, seed, path.parent) for seed in seeds]
        if config.own_code:
            _check_own_code(cells[-1], [*sets, *chosen], path)
    known_axes = tuple((axis.key, axis.labels) for axis in matrix)
    return Experiment(path.stem, header.title, header.question, known_axes, seeds, tuple(cells))


MOST_CELLS, MOST_RUNS = 10_000, 20_000
"""
Of a matrix, and cells times seeds: a cell takes a millisecond to check, and what a run gives some 50 KiB of
memory until all is written. The largest experiment of ours has 240.
"""


def _seeds(seeds: int | list[int], place: str) -> tuple[int, ...]:
    count = seeds if isinstance(seeds, int) else len(seeds)
    if count > MOST_RUNS:
        raise ConfigError(place, f"{count} seeds", f"at most {MOST_RUNS}")
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise ConfigError(
            place, f"{short(seeds)} is no choice of seeds", "a count >= 1, or distinct numbers >= 0"
        )
    return chosen


def _bounded(matrix: Sequence[Axis], seeds: Sequence[int], place: str) -> None:
    """Raise ConfigError for more cells than can be run, before there are any."""
    cells = math.prod(len(axis.values) for axis in matrix)
    if cells > MOST_CELLS or cells * len(seeds) > MOST_RUNS:
        problem = f"{cells:,} cells with {len(seeds):,} seeds"
        raise ConfigError(place, problem, f"at most {MOST_CELLS:,} cells, {MOST_RUNS:,} with their seeds")


def _validated(body: Raw, overrides: list[Override], beside: Beside) -> CellConfig:
    path = beside.path
    raw = apply(body, overrides)
    try:
        put_jobs(raw, overrides, beside)
        put_replay(raw, beside)
        _resolve_files(raw, beside)
        return CellConfig.model_validate(raw)
    except ValidationError as error:
        found = from_validation(error, CellConfig, raw, str(path), tuple(_Header.model_fields))
        raise _placed(found, overrides, path) from None
    except ConfigError as error:
        raise _placed(error, overrides, path) from None


def _check_own_code(cell: Cell, overrides: list[Override], path: Path) -> None:
    """Raise ConfigError now, not after the images are made, if code of the user's own cannot be used."""
    from sim.machine.own_parts import check_own_parts  # all of the machine: only for those who need it

    try:
        check_own_parts(cell)
    except ConfigError as error:
        found = ConfigError(f"{path}: {error.place}", error.problem, error.allowed)
        raise _placed(found, overrides, path) from error


def _placed(error: ConfigError, overrides: list[Override], path: Path) -> ConfigError:
    """Name the override instead of the table when the bad value came from one."""
    if isinstance(error, MistakesError):
        return MistakesError([_placed(each, overrides, path) for each in error.errors])
    key = error.place.removeprefix(f"{path}: ")
    plain = re.sub(r"\[[0-9]+\]", "", key)
    for override in reversed(overrides):
        made = error.problem.startswith("unknown key") and override.key.startswith(f"{plain}.")
        if made:
            return ConfigError(override.place, error.problem, error.allowed)
        if plain == override.key or plain.startswith(f"{override.key}."):
            return ConfigError(
                f"{override.place}{plain.removeprefix(override.key)}", error.problem, error.allowed
            )
    return error


def _resolve_files(raw: Raw, beside: Beside) -> None:
    """Put FileRefs where `raw` names files: profiles of one's own, an image, keys, recorded layouts."""
    for table in ("machine", "device"):
        _resolve(raw.get(table), "profile", table, beside, suffix=".toml")
        _known_profile(raw.get(table), table, beside)
    own = (("path", ""), ("read_path", ""), ("mapping", ""), ("kernel", "machine"), ("model", "device"))
    for key, at in own:
        _resolve_code(raw.get(at) if at else raw, key, f"{at}.{key}".lstrip("."), beside)
    volume = raw.get("volume")
    _resolve(volume, "image", "volume", beside)
    _resolve(volume, "keys", "volume", beside)
    files = volume.get("files") if isinstance(volume, dict) else None
    for index, file in enumerate(files if isinstance(files, list) else ()):
        if isinstance(file, dict):
            _resolve(file.get("layout"), "path", f"volume.files[{index}].layout", beside)


def _resolve(table: Any, key: str, at: str, beside: Beside, suffix: str = "") -> None:
    if isinstance(table, dict) and isinstance(table.get(key), str) and table[key].endswith(suffix):
        table[key] = beside.reference(f"{beside.path}: {at}.{key}", table[key])


def _resolve_code(table: Any, key: str, at: str, beside: Beside) -> None:
    """Put a CodeRef where "mine.py:MyPath" is."""
    word = table.get(key) if isinstance(table, dict) else None
    if isinstance(word, str) and (is_own(word) or key == "model"):
        place = f"{beside.path}: {at}"
        file, name = parse(place, word)
        table[key] = CodeRef(file=file, name=name, sha256=beside.reference(place, file).sha256)


def _known_profile(table: Any, at: str, beside: Beside) -> None:
    """Raise ConfigError now, not after the images are made, if there is no profile of that name."""
    name = table.get("profile") if isinstance(table, dict) else None
    if isinstance(name, FileRef):
        beside.check_profile(at, name)
    if isinstance(name, str) and name not in shipped_profiles(f"{at}s"):
        names = machine_profile_names() if at == "machine" else device_profile_names()
        where = f"{beside.path}: {at}.profile"
        raise ConfigError(where, f"{name!r} is not known", f"{', '.join(names)}, or a .toml file")
