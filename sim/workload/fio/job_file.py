"""
fio job files: lines to sections, read as fio reads them.

`;` and `#` start a comment anywhere in a line; `include FILE` puts the lines of a file, which may not hold
sections, in its place; a section whose name begins with "global" holds for the jobs below it. ${NAME} is the
environment's, $pagesize, $ncpus and $mb_memory are the simulated machine's, also with * and / and numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sim.documents import read_bytes
from sim.errors import ConfigError
from sim.workload.fio.draft import Given
from sim.workload.fio.table import find
from sim.workload.fio.values import OptionValueError, whole_number

GLOBAL = "global"
_COMMENT = re.compile(r"[;#].*")
_INCLUDE = re.compile(r"include\s+(.+)")
_INCLUDE_DEPTH = 16  # fio's own limit: a file that includes itself ends there
_INCLUDED_FILES, _INCLUDED_LETTERS = 1_000, 1 << 20
"""In all, each counted as often as it is included: more than any job needs, and read within a second."""
_ENVIRONMENT = re.compile(r"\$\{([^}]*)\}")
_KEYWORD = re.compile(r"\$(pagesize|ncpus|mb_memory)")
_SUM = re.compile(r"[0-9]+(\s*[*/]\s*[0-9]*[1-9][0-9]*)+")

_MOST_RESULT = (1 << 63) - 1

Line = tuple[str, str]
"""(place, text) of one line of a job file, without comments."""


@dataclass(frozen=True, slots=True)
class Words:
    """What `$` stands for. environment: ${NAME}. machine: "ncpus", "mb_memory" -> number."""

    environment: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Section:
    """A section of a job file, or a job of a command line. place: of its head. given: its options."""

    name: str
    place: str
    given: list[Given] = field(default_factory=list)

    @property
    def is_global(self) -> bool:
        """Whether it holds for the jobs below it."""
        return self.name.startswith(GLOBAL)


def read_sections(text: str, source: str, words: Words) -> tuple[list[Section], list[ConfigError]]:
    """
    Return the sections of a fio job file, in file order, and what is wrong with its lines.

    source: its path, which places have together with line and section, and beside which included files lie
    (fio looks in its working directory too).
    """
    sections: list[Section] = []
    errors: list[ConfigError] = []
    try:
        lines = _lines(text, source, _Included(errors))
    except _TooMuchError as error:
        return [], [*errors, error]
    for place, line in lines:
        try:
            if line.startswith("["):
                sections.append(Section(_section_name(place, line), place))
            elif not sections:
                raise ConfigError(place, f"{line!r} is outside of a section", "a [section] line above it")
            else:
                inside = f"{place} [{sections[-1].name}]"
                sections[-1].given.append(given_option(inside, line, words))
        except ConfigError as error:
            errors.append(error)
    return sections, errors


def _section_name(place: str, line: str) -> str:
    name = line[1:-1].strip() if line.endswith("]") else ""
    if not name or "]" in name:
        raise ConfigError(place, f"{line!r} is not a section", "[global], [name of a job]")
    return name


def given_option(place: str, line: str, words: Words) -> Given:
    """Return the option of a line "name=value" or "name", what begins with `$` put in."""
    name, equals, value = line.partition("=")
    name = name.rstrip()
    if not equals:
        return place, name, None

    def environment(found: re.Match[str]) -> str:
        if found[1] not in words.environment:
            said = f"{name}={value}: the environment has no {found[1]}"
            raise ConfigError(place, said, f"{found[1]}=... readpath run ...")
        return words.environment[found[1]]

    def machine(found: re.Match[str]) -> str:
        return str({"pagesize": 4096, **words.machine}[found[1]])

    value = _ENVIRONMENT.sub(environment, value)
    replaced = _KEYWORD.sub(machine, value)
    if replaced != value and _SUM.fullmatch(replaced.strip()):
        try:
            replaced = str(_worked_out(replaced))
        except OptionValueError as error:
            problem, allowed = error.args
            raise ConfigError(place, f"{name}: {problem}", allowed) from None
    option = find(name, "")
    kept = option is None or option.here != "modelled" or name == "filename_format"
    if "$" in replaced and not kept:
        said = f"{name}={value}: '$' is not replaced here"
        raise ConfigError(place, said, "${NAME} of the environment, $pagesize, $ncpus, $mb_memory")
    return place, name, replaced


def _worked_out(text: str) -> int:
    """Return what numbers with * and / between them come to, from left to right, in whole ones, as in bc."""
    first, *rest = re.findall(r"[0-9]+|[*/]", text)
    result = whole_number(first)
    for sign, digits in zip(rest[::2], rest[1::2], strict=True):
        number = whole_number(digits)
        result = result * number if sign == "*" else result // number
        if result > _MOST_RESULT:
            raise OptionValueError(f"{text[:40]!r} is out of range", "63 bits")
    return result


@dataclass(slots=True)
class _Included:
    """What a job file has included so far, and what is wrong with its lines."""

    errors: list[ConfigError]
    files: int = 0
    letters: int = 0


class _TooMuchError(ConfigError):
    """More is included than is read: nothing behind it is looked at."""


def _lines(text: str, source: str, so_far: _Included, depth: int = 0) -> list[Line]:
    """Return the lines of a job file that say something, includes put in their places."""
    found: list[Line] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = _COMMENT.sub("", raw).strip()
        place = f"{source}:{number}"
        include = _INCLUDE.fullmatch(line)
        try:
            if include is not None:
                found += _included(include[1], source, place, so_far, depth + 1)
            elif depth and line.startswith("["):
                raise ConfigError(place, f"{line!r}: a section in an included file", "options only")
            elif line:
                found.append((place, line))
        except _TooMuchError:
            raise
        except ConfigError as error:
            so_far.errors.append(error)
    return found


def _included(name: str, source: str, place: str, so_far: _Included, depth: int) -> list[Line]:
    path = Path(source).parent / name
    bound = f"{_INCLUDE_DEPTH} levels, {_INCLUDED_FILES} files, {_INCLUDED_LETTERS >> 20} MiB"
    if depth > _INCLUDE_DEPTH:
        raise ConfigError(place, f"include {name}: {depth} levels deep", f"at most {bound}")
    so_far.files += 1
    if so_far.files > _INCLUDED_FILES or so_far.letters > _INCLUDED_LETTERS:
        raise _TooMuchError(place, f"include {name}: more than is read", f"at most {bound}")
    try:
        text = read_bytes(path, place, "", _INCLUDED_LETTERS).decode("utf-8", errors="replace")
    except ConfigError as error:
        problem = error.problem.lower()
        raise ConfigError(place, f"include: {name!r} {problem}", f"a file in {path.parent}") from None
    so_far.letters += len(text)
    return _lines(text, str(path), so_far, depth)
