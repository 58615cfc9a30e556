"""
A job while its options are read: what they set, what of them changes nothing, and what cannot be used.

A later option wins, so whether an option that cannot be used matters is known only at the end: [global] may
say direct=1, and each job direct=0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sim.errors import ConfigError
from sim.workload.fio.checks import job_errors, without_effect
from sim.workload.fio.job import Job
from sim.workload.fio.parsers import PARSERS
from sim.workload.fio.table import Option, engine_options, engines, find, nearest, option_names
from sim.workload.fio.values import OptionValueError, checked

Given = tuple[str, str, str | None]
"""(place, option, value) as written; no value: None."""

_FIRST = ("kb_base", "ioengine")
"""Options that decide how others are read, wherever they stand in their section, as in fio."""
_SAME = {"buffered": "direct"}
"""Options that say the same thing the other way round."""
_BY_DIRECTION = {
    *("bs", "ba", "bsrange", "bssplit", "rate", "rate_iops", "thinktime", "thinktime_blocks"),
    *("percentage_random", "random_distribution"),
}
"""Options that may have a value for reads and another for writes."""
_WRITES_WITHOUT = {
    "fill_device": "a volume is as large as its files, and is not written full",
    "sync_file_range": "sync_file_range(2) behind writes is not modelled",
    "write_barrier": "writes that wait for all before them are not modelled",
    "serialize_overlap": "a job has one write at a time, or they are of threads that are not modelled",
}
"""Options that change nothing of reads, and are not modelled for writes: why."""
_WITHOUT_NEWS = ("name", "group_reporting", "direct")
"""Modelled options that change only what is reported, or nothing."""


@dataclass
class Draft:
    """
    A job in the making. said_at: file and line of its section, if it has one. fields: of a Job.

    refusals: by option. unused: option -> (as it was called, value, why). places: option -> where it was said
    last.
    """

    name: str
    said_at: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    engine: str = "psync"
    kb_base: int = 1024
    refusals: dict[str, ConfigError] = field(default_factory=dict)
    unused: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    split: set[str] = field(default_factory=set)

    def heir(self, name: str, said_at: str) -> Draft:
        """Return the draft of a job that begins with what this one, [global], says."""
        return replace(
            self,
            name=name,
            said_at=said_at,
            fields=dict(self.fields),
            refusals=dict(self.refusals),
            unused=dict(self.unused),
            places=dict(self.places),
            split=set(self.split),
        )

    def set_all(self, given: Iterable[Given]) -> list[ConfigError]:
        """Set the options of a section; return what fio does not understand either, in order."""
        errors = []
        in_order = sorted(given, key=lambda option: option[1] not in _FIRST)
        for place, name, value in in_order:
            try:
                self._set(place, name, value)
            except ConfigError as error:
                errors.append(error)
        return errors

    def _set(self, place: str, name: str, value: str | None) -> None:
        option = find(name, self.engine)
        if option is None and "ioengine" in self.refusals:
            return  # most likely an option of that engine
        if option is None:
            known = (*option_names(), *engine_options(self.engine))
            raise ConfigError(place, f"option {name!r} is not one of fio 3.33", nearest(name, known))
        if value is None and not option.bare:
            raise ConfigError(place, f"option {name!r} has no value", f"{name}=VALUE")
        text = "" if option.takes == "any" and value is None else "1" if value is None else value
        key = _SAME.get(option.name, option.name)
        try:
            plain = checked(option, text, self.kb_base) if self._is_checked(option) else text
            refusal = self._verdict(option, text, plain)
            self.fields |= (
                PARSERS[option.name](option, text, self.kb_base) if _is_set(option, refusal) else {}
            )
        except OptionValueError as error:
            problem, allowed = error.args
            raise ConfigError(place, f"{name}: {problem}", allowed) from None
        self.places[option.name] = place
        (self.split.add if "," in text else self.split.discard)(option.name)
        for of in (self.refusals, self.unused):
            of.pop(key, None)
        if refusal is not None:
            self.refusals[key] = ConfigError(place, f"{name}={text}: {refusal[0]}", refusal[1])
        elif option.here != "modelled" or key in _WITHOUT_NEWS:
            why = option.harmless if option.here == "refused" else option.why
            self.unused[key] = (option.name, plain, why)

    def _is_checked(self, option: Option) -> bool:
        """Whether a value is checked by its kind alone: what is modelled has a parser of its own."""
        return option.here != "modelled" or option.takes in ("word", "bool")

    def _verdict(self, option: Option, text: str, plain: str) -> tuple[str, str] | None:
        """Return (why, allowed) of a value that cannot be used; take up what decides how others are read."""
        if option.name == "kb_base":
            self.kb_base = int(plain)
        if option.name == "ioengine":
            return self._take_engine(text)
        if plain in option.refused:
            return option.refused[plain], option.usable
        harmless = plain in option.unless or (option.unless_has and option.unless_has in text)
        if option.here == "refused" and not harmless:
            return option.why, option.usable or "a job without it"
        return None

    def _take_engine(self, engine: str) -> tuple[str, str] | None:
        usable = ", ".join(name for name, (here, _) in engines().items() if here != "refused")
        here, why = engines().get(engine, ("refused", "this engine is not modelled"))
        if here == "refused":
            return why, usable
        self.engine = engine
        return None

    def job(self) -> tuple[Job, list[ConfigError]]:
        """Return the job, and why it cannot be run."""
        fields = dict(self.fields)
        if fields.get("pre_read"):
            fields["invalidate"] = False  # fio: what was read before is not to be dropped
        if fields.get("time_based") and not fields.get("runtime_ns"):
            fields["time_based"] = False  # fio warns, and does so
        unused = dict(self.unused)
        here, why = engines()[self.engine]
        if here == "nothing":
            unused["ioengine"] = ("ioengine", self.engine, why)
        job = Job(name=self.name, said_at=self.said_at, **fields)
        idle = {name: why for name, why in without_effect(job).items() if name in self.places}
        job = replace(job, unused=(*unused.values(), *((name, "", why) for name, why in idle.items())))
        own = self._of_writes() if job.ddir != "read" else []
        return job, [*self.refusals.values(), *own, *job_errors(job, self.engine, self.places)]

    def _of_writes(self) -> list[ConfigError]:
        """Return what a job that writes may not say: values of their own for writes, and a few options."""
        errors = [
            ConfigError(
                self.places[name], f"{name}: values of their own for writes are not modelled", "one value"
            )
            for name in sorted(self.split & _BY_DIRECTION)
        ]
        return errors + [
            ConfigError(self.places[name], f"{name}: {_WRITES_WITHOUT[name]}", "a job without it")
            for name in sorted(_WRITES_WITHOUT.keys() & self.places.keys())
        ]


def _is_set(option: Option, refusal: tuple[str, str] | None) -> bool:
    return option.here == "modelled" and refusal is None
