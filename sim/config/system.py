"""
The [machine] and [device] tables.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from sim.config.cell_result import Currency
from sim.config.table import Model
from sim.config.values import CodeRef, FileRef, PositiveBytes, TimeNs, one_of
from sim.engine.costs import DEFAULT_MACHINE
from sim.kernels import KERNELS


class Machine(Model):
    """
    The computer. profile: a machine profile by name, or a *.toml beside the experiment.

    kernel: whose readahead and symbols. large_folios: None: as that kernel has them on ext4; path iomap may
    have them on 6.1 too. cost_scale: every cost times this, the profile's, the kernel's and a path's own, for
    a machine that much slower. currency: what tables, ratios and `show` are in; results hold both, and the
    clock moves by ns whichever it is. syscall: what a system call takes outside the file code, beyond the
    profile's entry_SYSCALL_64: mitigations, the caller's own loop. wakeup: time from queueing a work item
    until an idle worker runs it, no CPU time of its own. llc_cpus: how many CPUs share a last-level cache,
    which decides who completes the requests of a device with a single queue; by default all.
    """

    profile: str | FileRef = DEFAULT_MACHINE
    cpus: int = Field(default=4, ge=1, le=1024)
    memory_bytes: PositiveBytes = Field(default=1 << 30, alias="memory")
    kernel: Annotated[str | CodeRef, one_of(KERNELS)] = "6.1"
    large_folios: bool | None = None
    cost_scale: float = Field(default=1.0, ge=0.001, le=1000, strict=False, allow_inf_nan=False)
    currency: Currency = "ns"
    syscall_ns: TimeNs = Field(default=0, alias="syscall")
    wakeup_ns: TimeNs = Field(default=0, alias="wakeup")
    llc_cpus: int | None = Field(default=None, ge=1)


class Device(Model):
    """
    The block device. profile: by name, or a *.toml beside the experiment.

    model: code of the user's own in the place of the profile's device; the limits stay the profile's. The
    others override the profile, under the names that /sys/block/*/queue has for them; None keeps its value.
    """

    profile: str | FileRef
    scheduler: Literal["none", "mq-deadline"] | None = None
    read_ahead_kb: int | None = Field(default=None, ge=0)
    max_sectors_kb: int | None = Field(default=None, ge=4)
    max_segments: int | None = Field(default=None, ge=1)
    nr_requests: int | None = Field(default=None, ge=1)
    model: CodeRef | None = None

    @model_serializer(mode="wrap")
    def _canonical(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`model` came later than the first runs: it is in a hash where it is set, not before."""
        said: dict[str, Any] = plain(self)
        if self.model is None:
            del said["model"]
        return said
