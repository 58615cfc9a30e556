"""A verb of `readpath image` as a test calls it."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from sim.cli.image.app import app
from sim.errors import ReadpathError


def run(*words: object) -> Result:
    """Run a verb; an error that a user would see as one line is raised."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, ReadpathError):
        raise result.exception
    assert 0 == result.exit_code, result.output
    return result
