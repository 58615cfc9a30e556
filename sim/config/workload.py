"""
The [workload] table: one of its kinds is set, and a player of that name plays it (sim/machine/players.py).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_serializer, model_serializer, model_validator

from sim.config.table import Model, custom
from sim.config.values import FileRef, PositiveBytes, TimeNs
from sim.units import PAGE_BYTES
from sim.workload.fio.job import Job
from sim.workload.traces.csv_table import Table


class BrowserCache(Model):
    """
    The workload of sim/workload/browser_cache.py: users who ask for the volume's files by Zipf's law.

    capacity: of the cache, all users' together. fetch: what a miss takes. think: mean pause of a user.
    """

    users: int = Field(ge=1, le=1000)
    requests: int = Field(ge=1)
    theta: float = Field(default=0.9, ge=0)
    capacity_bytes: PositiveBytes = Field(alias="capacity")
    shared: bool = True
    fetch_ns: TimeNs = Field(default=0, alias="fetch")
    think_ns: TimeNs = Field(default=0, alias="think")

    @model_validator(mode="after")
    def _zipf(self) -> Self:
        if self.theta == 1:
            raise custom("theta 1", "any other: the sampler has no 1, nor has fio's")
        return self


class SecureDelete(Model):
    """
    The volume's one file is deleted so that it cannot be read again; see sim/machine/delete_run.py.

    passes: of overwriting.
    """

    method: Literal["unlink", "clobber", "clobber-zeroout", "overwrite"]
    passes: int = Field(default=1, ge=1, le=35)

    @model_validator(mode="after")
    def _passes(self) -> Self:
        if self.passes != 1 and self.method != "overwrite":
            raise custom(f"passes with method {self.method!r}", "method overwrite")
        return self


class StreamWrite(Model):
    """
    The volume's one file is written front to back and synced; see sim/machine/write_run.py.

    bs: bytes of a write(2), whole pages.
    """

    bs_bytes: PositiveBytes = Field(default=PAGE_BYTES, alias="bs")

    @model_validator(mode="after")
    def _pages(self) -> Self:
        if self.bs_bytes % PAGE_BYTES:
            raise custom(f"bs {self.bs_bytes} bytes", "whole pages of 4KiB")
        return self


Format = Literal["fio-iolog", "blkparse", "darshan-dxt", "strace", "csv"]
Column = Literal["offset", "length", "file", "process", "op", "time", "took"]
TimeUnit = Literal["s", "ms", "us", "ns", "100ns"]


class Replay(Model):
    """
    Traces, played again (docs/traces.md).

    files: one or several, each with processes of its own. format: None, told from the first lines. pauses:
    as recorded, or none at all. columns, header, time_unit, kind: of a CSV, see `table`.
    """

    files: tuple[FileRef, ...] = Field(alias="file", min_length=1, strict=False)
    format: Format | None = None
    pauses: Literal["recorded", "none"] = "recorded"
    columns: dict[Column, str] = Field(default_factory=dict)
    header: tuple[str, ...] = Field(default=(), strict=False)
    time_unit: TimeUnit | None = None
    kind: Literal["file", "block"] = "file"

    @model_validator(mode="after")
    def _csv(self) -> Self:
        said = [key for key in ("columns", "header", "time_unit", "kind") if key in self.model_fields_set]
        if said and self.format not in (None, "csv"):
            raise custom(f"{said[0]} with format {self.format!r}", "csv, which alone has columns")
        return self

    @property
    def table(self) -> Table | None:
        """How its CSV is read; None if nothing is said of one."""
        said = bool(self.model_fields_set & {"columns", "header", "time_unit", "kind"})
        return (
            Table(
                {str(key): name for key, name in self.columns.items()}, self.time_unit, self.header, self.kind
            )
            if said
            else None
        )


class Workload(Model):
    """
    Who reads what: the jobs of a fio job file or of inline tables, all at once as in fio; or a browser cache;
    or how a file is deleted; or a stream of writes; or traces.
    """

    jobs: tuple[Job, ...] = Field(default=(), alias="job")
    browser_cache: BrowserCache | None = None
    secure_delete: SecureDelete | None = None
    stream_write: StreamWrite | None = None
    replay: Replay | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        others = (self.browser_cache, self.secure_delete, self.stream_write, self.replay)
        if bool(self.jobs) + sum(other is not None for other in others) != 1:
            raise custom("no workload, or two", "job, browser_cache, secure_delete, stream_write or replay")
        return self

    @model_serializer(mode="wrap")
    def _canonical(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`replay` came later than the first runs: it is in a hash where it is set, not before."""
        said: dict[str, Any] = plain(self)
        if self.replay is None:
            del said["replay"]
        return said

    @field_serializer("jobs")
    def _canonical_jobs(self, jobs: tuple[Job, ...]) -> list[dict[str, Any]]:
        return [job.canonical() for job in jobs]

    @property
    def kind(self) -> str:
        """The name of the field that is set."""
        return next(name for name in type(self).model_fields if getattr(self, name))

    @property
    def writes(self) -> bool:
        """Whether it writes to the device."""
        jobs = any(job.ddir != "read" for job in self.jobs)
        return jobs or self.secure_delete is not None or self.stream_write is not None
