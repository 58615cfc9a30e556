"""
Exit codes: what they mean, in one place. `--help` and docs/command-line.md say the same (tested).
"""

from __future__ import annotations

DONE, FOUND, MISTAKE, FAULT, UNCORRECTED, INTERRUPTED, CLOSED = 0, 1, 2, 3, 4, 130, 141

MEANING = {
    DONE: "done; of `check`: all claims held",
    FOUND: "done, and something was found: what was read is not what was written (run), a claim failed"
    " (check), a count is not the kernel's (validate), an image is damaged (image check, image ls), some"
    " cells could not be run and are told with their errors, the others are kept (run), a cell is worse"
    " (compare)",
    MISTAKE: "a mistake in what was asked, or something that the machine did not give (memory, room on the"
    " disk, a worker that was killed), told in one line (mistakes of a fio job in a line each); of `check`:"
    " none failed, but one cannot be told or is stale",
    FAULT: "a fault in readpath, please report it: the line names a file that has the traceback",
    UNCORRECTED: "data was found that is not what was written, and left as it is (image check --data), as"
    " e2fsck's 4",
    INTERRUPTED: "interrupted (Ctrl-C)",
    CLOSED: "whoever read the output went away (as `head` does), without a word",
}


def epilog() -> str:
    """Return what `readpath --help` ends with."""
    codes = "; ".join(f"{code} {meaning}" for code, meaning in MEANING.items())
    return f"Exit codes: {codes}."
