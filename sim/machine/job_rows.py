"""
What each job of a run came to, as fio reports it: one row a clone, and one a group where it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sim.config.cell_result import LATENCIES, PERCENTILES, JobRow, Number, percentile_name
from sim.config.traced import Columns, Words, numbers
from sim.units import MIB, NS_PER_S
from sim.workload.fio.job import Job
from sim.workload.player import Played


@dataclass(frozen=True, slots=True)
class Clone:
    """One clone of a job. number: which one. paths: of its files. played: what it did."""

    job: Job
    number: int
    group: int
    paths: list[str]
    played: Played

    @property
    def title(self) -> str:
        """What results call the job."""
        return self.job.title or self.job.name

    @property
    def latencies_ns(self) -> NDArray[np.int64]:
        """Of its reads and writes, but those of the ramp."""
        played = self.played
        return np.asarray(
            [*played.latencies_ns[played.ramp_reads :], *played.writes_ns[played.ramp_writes :]], np.int64
        )

    @property
    def moved_bytes(self) -> int:
        """What it read and wrote, but in the ramp."""
        played = self.played
        return played.bytes_read - played.ramp_bytes + played.bytes_written - played.ramp_written


def groups_of(jobs: Sequence[Job]) -> list[int]:
    """Return the group of each job, from 0: a stonewall or new_group begins one, as in fio."""
    groups: list[int] = []
    for number, job in enumerate(jobs):
        begins = number > 0 and (job.stonewall or job.new_group)
        groups.append((groups[-1] if groups else 0) + begins)
    return groups


def job_rows(clones: Sequence[Clone]) -> list[JobRow]:
    """Return a row a clone, in order, and behind those of a group with group_reporting one for all of it."""
    rows: list[JobRow] = []
    for group, members in groupby(clones, key=lambda clone: clone.group):
        together = list(members)
        rows += [_row([clone], "job", clone.title, clone.number) for clone in together]
        if any(clone.job.group_reporting for clone in together):
            names = list(dict.fromkeys(clone.title for clone in together))
            rows.append(_row(together, "group", " ".join(names) or str(group), len(together)))
    return rows


def _row(clones: Sequence[Clone], scope: str, name: str, number: int) -> JobRow:
    """Return the row of some clones: what they read and wrote from the first start to the last end."""
    latencies = np.concatenate([clone.latencies_ns for clone in clones])
    read = sum(clone.moved_bytes for clone in clones)
    began = min(clone.played.measured_from_ns for clone in clones)
    runtime = max(clone.played.ended_ns for clone in clones) - began
    numbers: dict[str, Number | None] = dict.fromkeys(LATENCIES)
    if len(latencies):
        numbers |= {"mean": float(latencies.mean()), "stddev": float(latencies.std())}
        numbers |= {"min": int(latencies.min()), "max": int(latencies.max())}
        at = np.percentile(latencies, PERCENTILES, method="inverted_cdf")
        numbers |= {percentile_name(p): int(ns) for p, ns in zip(PERCENTILES, at, strict=True)}
    return JobRow(
        scope=scope,
        job=name,
        clone=number,
        group=clones[0].group,
        reads=len(latencies),
        bytes_read=read,
        runtime_ns=runtime,
        iops=len(latencies) * NS_PER_S / runtime if runtime else 0.0,
        throughput_mib_s=read / MIB * NS_PER_S / runtime if runtime else 0.0,
        latencies_ns=numbers,
    )


def write_columns(clones: Sequence[Clone]) -> Columns:
    """Return the traced writes and syncs, a row each; empty without a trace."""
    reader, number, start, latency = numbers(), numbers(), numbers(), numbers()
    offset, length = numbers(), numbers()
    job, file, call = Words(), Words(), Words()
    for at, clone in enumerate(clones):
        for count, (what, of, first, wrote, began, took) in enumerate(clone.played.wrote or ()):
            reader.append(at)
            number.append(count)
            call.append(what)
            job.append(clone.title)
            file.append(clone.paths[of])
            offset.append(first)
            length.append(wrote)
            start.append(began)
            latency.append(took)
    return {
        "reader": reader,
        "number": number,
        "call": call,
        "latency_ns": latency,
        "job": job,
        "file": file,
        "offset": offset,
        "length": length,
        "start": start,
    }
