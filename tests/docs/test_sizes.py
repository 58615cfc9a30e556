"""
The house is of small pieces: no function of sim/ has more than 60 lines, no file more than 400.
"""

from __future__ import annotations

import ast
from pathlib import Path

import sim

MOST_LINES_OF_A_FUNCTION, MOST_LINES_OF_A_FILE = 60, 400
FILES = sorted(Path(sim.__file__).parent.rglob("*.py"))


def too_long(text: str) -> list[str]:
    """Return the functions of a module that are too long, with their lines."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                found.append(f"{node.name}: {lines}")
    return found


def test_no_function_is_too_long() -> None:
    """No function has more than 60 lines, its docstring included; there are no exceptions."""
    found = {str(file): too_long(file.read_text(encoding="utf-8")) for file in FILES}
    assert {} == {file: functions for file, functions in found.items() if functions}


def test_no_file_is_too_long() -> None:
    """No file of code has more than 400 lines; there are no exceptions."""
    lines = {str(file): file.read_text(encoding="utf-8").count("\n") for file in FILES}
    assert len(lines) > 300  # the whole house, not an empty folder
    assert {} == {file: count for file, count in lines.items() if count > MOST_LINES_OF_A_FILE}


def test_the_measure_finds_what_is_too_long() -> None:
    """A function of 61 lines is found, one of 60 is not, also inside a class."""
    body = "        pass\n"
    long, right = "    def long(self):\n" + body * 60, "    def right(self):\n" + body * 59
    assert ["long: 61"] == too_long("class A:\n" + long + right)
