"""
What a run tells beside its results: what of its fio jobs changes nothing, which files stand for others, which
path is a prediction, what a kernel does instead of what is asked for.
"""

from __future__ import annotations

from sim.config.cell import Experiment
from sim.config.fio_jobs import files_of_jobs
from sim.paths.registry import DESIGNS


def predicted_paths(experiment: Experiment) -> dict[str, str]:
    """Return the read paths of an experiment that are predictions, each with why."""
    read = dict.fromkeys(str(cell.config.reads_through) for cell in experiment.cells)
    return {name: DESIGNS[name].predicted for name in read if name in DESIGNS and DESIGNS[name].predicted}


def notes_of(experiment: Experiment) -> list[str]:
    """Return the notes of an experiment, a line each: options, files, paths, journals, if there is any."""
    reasons: dict[str, list[str]] = {}
    ordered: dict[str, None] = {}
    files: dict[str, str] = {}
    for cell in experiment.cells:
        config = cell.config
        for job in config.workload.jobs:
            for option, _value, why in job.unused:
                if option not in reasons.setdefault(why, []):
                    reasons[why].append(option)
        if (
            config.mount.data == "journal"
            and config.encryption.encrypts_files
            and any(job.ddir != "read" for job in config.workload.jobs)
        ):
            ordered[config.encryption.scheme] = None
        if config.volume.image is None:
            names = [file.name for file in config.volume.all_files]
            found = files_of_jobs(config.workload.jobs, names)
            files |= {file.instead_of: file.path for _, file in found if file.instead_of is not None}
    notes = [f"path {name} is a prediction: {why}" for name, why in predicted_paths(experiment).items()]
    if reasons:
        said = "; ".join(f"{', '.join(options)} ({why})" for why, options in reasons.items())
        notes.append(f"fio options that change nothing here: {said}")
    if files:
        said = "; ".join(f"{path} for {name}" for name, path in files.items())
        notes.append(f"files of the volume that stand for those of the job: {said}")
    if ordered:
        said = f"{', '.join(ordered)} with mount.data journal: "
        notes.append(f"{said}ext4 does not journal encrypted files, they are as with ordered and nodelalloc")
    return notes
