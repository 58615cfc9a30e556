"""
readpath report: runs as a page to send round.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from sim.claims.answers import claims_on
from sim.errors import ConfigError
from sim.experiment.results import Run, load_run
from sim.files import file_beside, remove_abandoned_files, umask
from sim.report.html.document import MARK, report
from sim.shipped import here_or_shipped

REPORTS, CLAIMS = Path("results/reports"), Path("experiments/claims")


def report_runs(folders: list[Path], output: Path | None, claims: Path, as_json: bool, quiet: bool) -> None:
    """
    Write the page of some runs into a file, which appears when it is whole; print where it is.

    output: the file; one of an earlier report is replaced. Raises ReadpathError for a folder that is no run,
    claims that cannot be read, or a file that cannot be written; then there is none.
    """
    runs = [load_run(here_or_shipped(folder)) for folder in folders]
    target = output or REPORTS / _name(runs)
    check_ours(target)
    place = here_or_shipped(claims)
    if claims != CLAIMS and not place.is_dir():
        raise ConfigError("--claims", f"{str(claims)!r} is no folder", "a folder of *.toml files")
    about = [claims_on(str(run.manifest["experiment"]), place) for run in runs]
    write_whole(target, report(runs, about))
    if as_json:
        print(json.dumps({"file": str(target), "bytes": target.stat().st_size}, indent=2))
    elif not quiet:
        print(target)


def _name(runs: list[Run]) -> str:
    """Return the name of the file: that of the first run's directory, and how many more there are."""
    first = runs[0].path.resolve().name
    return f"{first}.html" if len(runs) == 1 else f"{first}-and-{len(runs) - 1}-more.html"


def check_ours(target: Path) -> None:
    """Raise ConfigError unless a report may be put at `target`."""
    if target.name in ("", ".."):
        raise ConfigError(f"-o {str(target)!r}", "has no name of its own", "a new -o FILE")
    if target.is_dir() or target.is_symlink():
        raise ConfigError(str(target), "is not a regular file", "a new -o FILE")
    if target.exists() and (not target.is_file() or not _begins(target)):
        raise ConfigError(str(target), "is there and no report", "a new -o FILE")


def _begins(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MARK)) in (MARK.encode(), b"")


def write_whole(target: Path, text: str) -> None:
    """Write a file beside `target`, then put it there; ConfigError if that cannot be."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned_files(target)
        fd, new = file_beside(target)
        try:
            with open(fd, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            new.chmod(0o666 & ~umask())
            os.replace(new, target)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise ConfigError(str(target), problem, "another -o FILE") from None
