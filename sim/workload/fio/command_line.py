"""
fio command lines, as people paste them: words to sections, read as fio reads them.

`fio` in front may be missing. A word begins with one or two dashes and may be cut short as long as it is
clear; its value follows `=` or is the next word. `--name` begins a job; what stands before the first one
holds for all. Words that are no options are job files, which what stands before the first job holds for too.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from sim.errors import ConfigError
from sim.workload.fio.job_file import GLOBAL, Section, Words, given_option, read_sections
from sim.workload.fio.table import command_words, engine_options, find, nearest, option_names

_FIO = re.compile(r"\s*(sudo\s+)?((\S*/)?fio(\s|$)|-)")

ReadFile = Callable[[str], tuple[str, str]]
"""Returns (text, path) of a job file that is named on a command line; raises ConfigError."""


def is_command_line(text: str) -> bool:
    """Return whether a text is a fio command line, and not the name of a job file."""
    return _FIO.match(text) is not None


@dataclass(slots=True)
class _Reader:
    """What was read so far. unused: words of fio's own that change nothing. chosen: sections to run."""

    place: str
    words: Words
    sections: list[Section] = field(default_factory=list)
    errors: list[ConfigError] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    unused: list[tuple[str, str, str]] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    engine: str = "psync"

    def take(self, word: str, following: list[str]) -> None:
        """Take one word, and its value from those that follow where it needs one."""
        if not word.startswith("-") or word == "-":
            self.files.append(word)
            return
        name, equals, value = word.lstrip("-").partition("=")
        known, needs = self._known(name)
        given: str | None = value if equals else None
        if needs == "none" and equals:
            raise ConfigError(self.place, f"{word!r}: no value is taken", f"--{known}")
        if needs == "must" and not equals:
            if not following:
                raise ConfigError(self.place, f"option {known!r} has no value", f"--{known}=VALUE")
            given = following.pop(0)
        if known in command_words() and find(known, self.engine) is None:
            self._command(known, given)
        elif known == "name":
            self.sections.append(Section(given or "", f"{self.place} --name={given}"))
        else:
            self._option(known, given)

    def _known(self, name: str) -> tuple[str, str]:
        """Return the whole name of an option, and whether a value has to follow."""
        own, words = engine_options(self.engine), command_words()
        every = {*option_names(), *own, *words}
        longer = sorted(full for full in every if name and full.startswith(name))
        found = [name] if name in every else longer
        if len(found) != 1:
            problem = "could be several options" if found else "is not an option of fio 3.33"
            allowed = ", ".join(found[:8]) if found else nearest(name, every)
            raise ConfigError(self.place, f"--{name} {problem}", allowed)
        option = find(found[0], self.engine)
        if option is not None:
            return found[0], "may" if option.takes == "flag" else "must"
        return found[0], words[found[0]].value

    def _command(self, name: str, value: str | None) -> None:
        word = command_words()[name]
        said = f"--{name}" + ("" if value is None else f"={value}")
        if word.here == "refused":
            raise ConfigError(self.place, f"{said}: {word.why}", "a command line without it")
        if name == "section":
            self.chosen.append(value or "")
        else:
            self.unused.append((name, value or "", word.why))

    def _option(self, name: str, value: str | None) -> None:
        if not self.sections:
            self.sections.append(Section(GLOBAL, self.place))
        if name == "ioengine" and value is not None:
            self.engine = value
        section = self.sections[-1]
        place = self.place if section.is_global else f"{self.place} [{section.name}]"
        line = name if value is None else f"{name}={value}"
        section.given.append(given_option(place, line, self.words))


@dataclass(frozen=True, slots=True)
class CommandLine:
    """
    What a command line says. errors: what is wrong with its words. unused: (word, value, why) of fio's own
    words that change nothing.
    """

    sections: list[Section]
    errors: list[ConfigError]
    unused: tuple[tuple[str, str, str], ...]


def read_command_line(text: str, place: str, words: Words, read_file: ReadFile) -> CommandLine:
    """
    Return what a fio command line says, jobs of its own before those of a job file.

    place: what errors name. read_file: reads a job file.
    """
    reader = _Reader(place, words)
    try:
        found = shlex.split(text.replace("\\\n", " "))
    except ValueError as error:
        raise ConfigError(place, f"{text!r} is not a command line ({error})", "quotes in pairs") from None
    if found[:1] == ["sudo"]:
        found.pop(0)
    if found and found[0].rpartition("/")[2] == "fio":
        found.pop(0)
    while found:
        word = found.pop(0)
        try:
            reader.take(word, found)
        except ConfigError as error:
            reader.errors.append(error)
            if "=" not in word and found and not found[0].startswith("-"):
                found.pop(0)  # most likely its value
    if len(reader.files) > 1:
        problem = f"{len(reader.files)} job files: {', '.join(reader.files)}"
        reader.errors.append(ConfigError(place, problem, "one job file; values after `=`"))
    elif reader.files:
        file_text, path = read_file(reader.files[0])
        sections, errors = read_sections(file_text, path, words)
        chosen = [section for section in sections if section.is_global or section.name in reader.chosen]
        reader.sections += chosen if reader.chosen else sections
        reader.errors += errors
    return CommandLine(reader.sections, reader.errors, tuple(reader.unused))
