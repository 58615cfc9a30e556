"""The commands of a document, and a small experiment to do them on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from sim.cli.main import app


def commands(document: str) -> list[list[str]]:
    """Return the lines of code of a document as words, in order."""
    return [shlex.split(line) for line in re.findall(r"^ {4}(\S.*)$", document, re.MULTILINE)]


def put_experiment(text: str) -> None:
    """Write an experiment under the name that the documents have, in the working directory."""
    Path("experiments").mkdir()
    Path("experiments/founding_claim.toml").write_text(text)


def do(words: list[str], *more: str) -> None:
    """
    Do a command of readpath as it stands, with further options; it must end with 0.

    A run is a quick one, and lies at results/runs/RUN, the name that the documents have.
    """
    quick = ["-o", "results/runs/RUN", "-j", "1", "--no-figures"] if words[1] == "run" else []
    done = CliRunner().invoke(app, [*words[1:], *more, *quick])
    assert 0 == done.exit_code, (words, done.output, done.stderr)
