"""
What comes with readpath besides its code: experiments, claims, results, a kernel's recordings, notebooks.

In a checkout they lie at its top. A wheel has them below this package, in the same folders (setup.py).
"""

from __future__ import annotations

import difflib
from pathlib import Path

from sim.errors import ConfigError

FOLDERS = ("experiments", "results/reference", "results/kernel", "notebooks")
"""What setup.py puts into a wheel."""

_PACKAGE = Path(__file__).parent
EXPERIMENTS = Path("experiments")


def shipped_root() -> Path:
    """Return the folder that has FOLDERS: this package's in an installed wheel, the top of a checkout."""
    return _PACKAGE if (_PACKAGE / EXPERIMENTS).is_dir() else _PACKAGE.parents[1]


def is_installed(path: Path) -> bool:
    """Return whether a path lies in an installed readpath: nothing may be written there."""
    return path.resolve().is_relative_to(_PACKAGE)


def here_or_shipped(path: Path) -> Path:
    """
    Return the path as it is if there is something, else its namesake that comes with readpath, if there is.

    path: relative to the working directory, as the documentation writes it: "experiments/memory.toml",
    "results/reference/memory". Anything else is returned as it is, for its reader to refuse.
    """
    if path.is_absolute() or path.exists() or not any(map(path.is_relative_to, FOLDERS)):
        return path
    namesake = shipped_root() / path
    return namesake if ".." not in path.parts and namesake.exists() else path


def experiment_file(path: Path) -> Path:
    """
    Return the file of an experiment that is named by a path, or by the stem of one in experiments/.

    Raises ConfigError for a name, or a file, that is none and is like one there is, with that.
    """
    found = here_or_shipped(path)
    if found.exists() or not path.name:
        return found
    if found.suffix or len(found.parts) != 1:
        nearest = _nearest_file(found)
        if nearest is None:
            return found
        problem = f"cannot be read (No such file or directory), did you mean {str(nearest)!r}?"
        raise ConfigError(str(path), problem, "an experiment file")
    named = here_or_shipped(EXPERIMENTS / f"{path}.toml")
    if named.exists():
        return named
    names = experiment_names()
    near = difflib.get_close_matches(str(path), names, 1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        str(path),
        f"no file and no experiment of that name{hint}",
        f"a .toml or .fio file; {', '.join(names)}",
    )


def _nearest_file(path: Path) -> Path | None:
    """Return a path whose name is like that of `path`: beside it, or of what comes along in its place."""
    folder = here_or_shipped(path.parent)
    try:
        stems = sorted(file.stem for file in folder.iterdir() if file.suffix == path.suffix)
    except (OSError, ValueError):  # no folder, or no name of one
        return None
    near = difflib.get_close_matches(path.stem, stems, 1)
    return path.with_name(f"{near[0]}{path.suffix}") if near else None


def claims_folder(experiment: Path, claims: Path) -> Path:
    """
    Return where claims on an experiment are: `claims` if it is there, or its namesake for what comes along.

    Not for another experiment, which may have the name of one that comes along.
    """
    ours = experiment.resolve().parent == shipped_root() / EXPERIMENTS
    return here_or_shipped(claims) if ours else claims


def experiment_names() -> list[str]:
    """Return the names that `experiment_file` knows: of experiments/ here, and of those that come along."""
    folders = (EXPERIMENTS, shipped_root() / EXPERIMENTS)
    return sorted({file.stem for folder in folders for file in folder.glob("*.toml")})
