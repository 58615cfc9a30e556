"""
Exit codes: what they mean, in one place. `--help` and docs/command-line.md say the same (tested).
"""

from __future__ import annotations

DONE, FOUND, MISTAKE, INTERRUPTED = 0, 1, 2, 130

MEANING = {
    DONE: "done; of `check`: all claims held",
    FOUND: "done, and something was found: what was read is not what was written (run), a claim failed"
    " (check), a count is not the kernel's (validate), an image is damaged (image check, image ls)",
    MISTAKE: "a mistake in what was asked, told in one line (those of a fio job in a line each); of `check`:"
    " none failed, but one cannot be told or is stale",
    INTERRUPTED: "interrupted (Ctrl-C)",
}


def epilog() -> str:
    """Return what `readpath --help` ends with."""
    codes = "; ".join(f"{code} {meaning}" for code, meaning in MEANING.items())
    return f"Exit codes: {codes}."
