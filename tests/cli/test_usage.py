"""
A verb that is called wrongly: exit code 2 and one line, with the place, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from sim.cli.main import app


def _verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, below in getattr(command, "commands", {}).items():
        yield from _verbs(below, (*words, name))
    if not hasattr(command, "commands"):
        yield words, command


COMMAND = get_command(app)
VERBS = dict(_verbs(COMMAND))


def _told(*words: str) -> str:
    """Return the one line that a wrong call ends in."""
    result = CliRunner().invoke(app, list(words))
    lines = result.stderr.splitlines()
    assert (2, 1, "") == (result.exit_code, len(lines), result.stdout), result.output
    return lines[0]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_an_option_that_is_none(words: tuple[str, ...]) -> None:
    """Told with the nearest one and all that there are, of every verb."""
    line = _told(*words, "--jso")
    assert line.startswith(
        f"readpath: {' '.join(words)} --jso: is no option, did you mean '--json'?; allowed: "
    )
    assert "--help" in line


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_words_too_few_and_too_many(words: tuple[str, ...]) -> None:
    """What is missing is told by its name, what is too much by itself, and both with how it is called."""
    params = VERBS[words].params
    required = [param for param in params if param.required]
    usage = f"; allowed: readpath {' '.join(words)}"
    if required:
        line = _told(*words)
        assert " is missing" in line
        assert usage in line
    arguments = [param for param in params if param.param_type_name == "argument"]
    if all(param.nargs == 1 for param in arguments):
        given = [
            word for param in required if param.param_type_name == "option" for word in (param.opts[0], "x")
        ]
        line = _told(*words, *given, *["a"] * len(arguments), "b c")
        assert line.startswith(f"readpath: {' '.join(words)}: b c: more words than it takes{usage}")


WRONG = {
    "foo": "'foo': is no verb; allowed: run, plot, ",
    "runn": "'runn': is no verb, did you mean 'run'?; allowed: run, ",
    "image lst x": "image 'lst': is no verb, did you mean 'ls'?; allowed: make, ls, ",
    "calibrate cots": "calibrate 'cots': is no verb, did you mean 'costs'?; allowed: costs",
    "--vers": "--vers: is no option, did you mean '--version'?; allowed: --version, ",
    "image --foo ls": "image --foo: is no option; allowed: --help",
    "run -Z": "run -Z: is no option; allowed: --fio, ",
    "run --jobs x": "run --jobs: 'x'; allowed: a valid integer",
    "run -j -1": "run --jobs: '-1'; allowed: greater than or equal to 0",
    "show r --top 0": "show --top: '0'; allowed: greater than or equal to 1",
    "show r --diff a": "show --diff: requires 2 arguments; allowed: --diff A B",
    "run --set": "run --set: requires an argument; allowed: --set KEY=VALUE",
    "list --json=1": "list --json: does not take a value; allowed: --json",
    "image ls --sector-size 9x i": "image ls --sector-size: '9x'; allowed: a valid integer",
    "image encrypt i /f --keys k": "image encrypt: --user is missing; allowed: readpath image"
    " encrypt --keys FILE --user USER [OPTIONS] IMAGE PATH",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_told(words: str) -> None:
    """Place, value, what is allowed."""
    line = _told(*words.split())
    assert line.startswith(f"readpath: {WRONG[words]}")


def test_a_control_character_does_not_reach_the_terminal() -> None:
    """It is escaped, as everywhere."""
    assert "readpath: 'x\\x1b[2J': is no verb" in _told("x\x1b[2J")
