"""
Device profiles: what a device is, as data, every constant with its unit and its source.

A profile is a TOML file with `kind`, `title` and groups of constants: [limits] for the request queue,
[model] for the device itself, and, where it is no memory, [write] for how it takes writes; without that it
can only be read. Each constant is a table:

    max_segments = { value = 127, unit = "count", source = "Linux 6.1, drivers/nvme/host/pci.c" }

The source is a document that can be looked up, or "assumption: " and the reason. A constant without unit or
source, or one that the kind does not have, is an error. `spread` may be added: the relative half-width of
the interval in which the value is believed to lie.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from sim.block.device.checks import check_buffer, check_model
from sim.block.device.constants import HddModel, HddWrite, Model, SsdModel, SsdWrite, WriteModel
from sim.block.drivers.modules import DRIVERS
from sim.documents import parse_toml, read_toml_text
from sim.errors import ConfigError
from sim.files import shipped_profiles
from sim.units import GIB, KIB, MIB, NS_PER_MS, NS_PER_US, PAGE_SECTORS, SECTOR_BYTES

Value = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Constant:
    """
    One entry of a profile as it was written: value, unit and where they come from.

    spread: relative half-width of the interval in which the value is believed to lie; 0 if none is said.
    """

    value: Value
    unit: str
    source: str
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """
    What the driver tells the request queue (/sys/block/*/queue).

    queue_depth: commands at the device at once. bio_based: the
    driver takes bios, there are no requests at all. driver: the module whose calls are
    charged (sim/block/drivers).
    """

    max_sectors: int
    max_segments: int
    queue_depth: int
    scheduler: str
    bio_based: bool
    read_ahead_bytes: int
    driver: str


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """
    A device as read from its file; `constants` keeps every entry as written, with its source.

    model: None for memory. write: None if the profile does not say how it is written to; memory needs no
    saying.
    """

    name: str
    kind: str
    title: str
    limits: DeviceLimits
    model: Model | None
    constants: tuple[tuple[str, Constant], ...] = ()
    write: WriteModel | None = None

    @property
    def can_write(self) -> bool:
        """Whether the model can be written to."""
        return self.write is not None or self.model is None

    @property
    def copies(self) -> str:
        """The symbol that the driver copies data with, "" for hardware."""
        return COPIES.get(self.kind, "")


_TIME = {"ns": 1, "us": NS_PER_US, "ms": NS_PER_MS}
_BYTES = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_RATE = {"B/s": 1, "MB/s": 10**6, "GB/s": 10**9}
_COUNT = {"count": 1}
_SECTORS = {"sectors": 1, "KiB": KIB // SECTOR_BYTES}
_RPM = {"rpm": 1}
_FLAG = {"flag": 0}

KINDS: dict[str, type[Model] | None] = {"ramdisk": None, "null_blk": None, "ssd": SsdModel, "hdd": HddModel}
"""Memory takes no time of its own: what the CPU does there is the machine's."""

COPIES = {"ramdisk": "memcpy_page", "null_blk": "copy_from_nullb"}
"""Kind of a device that is memory -> the symbol that its driver copies data with."""

WRITE_KINDS: dict[str, type[WriteModel]] = {"ssd": SsdWrite, "hdd": HddWrite}

NAMES = {
    "driver": tuple(DRIVERS),
    "scheduler": ("none", "mq-deadline"),
    "placement": ("striped", "least-busy"),
    "latency_kind": ("constant", "exponential", "lognormal"),
    "ncq": ("fifo", "sptf"),
}

UNITS: dict[str, Mapping[str, int]] = {
    "max_sectors": _SECTORS,
    "max_segments": _COUNT,
    "queue_depth": _COUNT,
    "bio_based": _FLAG,
    "read_ahead_bytes": _BYTES,
    "units": _COUNT,
    "page_bytes": _BYTES,
    "stripe_bytes": _BYTES,
    "flash_read_ns": _TIME,
    "latency_sigma": {"log": 0},
    "command_ns": _TIME,
    "bandwidth": _RATE,
    "sectors": _SECTORS,
    "heads": _COUNT,
    "zones": _COUNT,
    "outer_track_sectors": _SECTORS,
    "inner_track_sectors": _SECTORS,
    "rpm": _RPM,
    "average_seek_ns": _TIME,
    "cylinder_switch_ns": _TIME,
    "head_switch_ns": _TIME,
    "drive_read_ahead_bytes": _BYTES,
    "least_read_ahead_bytes": _BYTES,
    "cache_segments": _COUNT,
    "ncq_ageing": {"ratio": 0},
    "volatile_cache": _FLAG,
    "fua": _FLAG,
    "acknowledge_ns": _TIME,
    "sustained_rate": _RATE,
    "least_ns": _TIME,
    "cache_bytes": _BYTES,
    "flush_ns": _TIME,
    "settle_ns": _TIME,
    "buffer_bytes": _BYTES,
    "rate_behind_buffer": _RATE,
    "read_behind_write_ns": _TIME,
    "write_behind_read_ns": _TIME,
}
_MAY_BE_ZERO = {
    "command_ns",
    "latency_sigma",
    "flash_read_ns",
    "drive_read_ahead_bytes",
    "least_read_ahead_bytes",
    "ncq_ageing",
    "head_switch_ns",
    "acknowledge_ns",
    "flush_ns",
    "settle_ns",
}
_COUNT_MOST, _TIME_MOST_NS = 1 << 16, 10**12
_MOST: dict[str, float] = {
    **dict.fromkeys((name for name, units in UNITS.items() if units is _COUNT), _COUNT_MOST),
    **dict.fromkeys((name for name, units in UNITS.items() if units is _TIME), _TIME_MOST_NS),
    "rpm": 1_000_000,
    "latency_sigma": 10,
    "ncq_ageing": 1_000_000,
}
"""The largest values: of counts 65,536 (what a device has many of is kept one by one), of times 1,000 s."""
_RATES = ("bandwidth", "sustained_rate", "rate_behind_buffer")
_LEAST = {"max_sectors": PAGE_SECTORS, "rpm": 1, **dict.fromkeys(_RATES, 1_000)}
"""The smallest ones: a request takes a page, as blk_queue_max_hw_sectors() sees to; a kilobyte a second."""
_NAME_UNIT = {"name": 0}
_PROFILE = "a device profile"


def load_device_profile(name_or_path: str | Path) -> DeviceProfile:
    """
    Return a profile that comes with readpath ("nvme"), or that of a TOML file ("my/disk.toml").

    Raises ConfigError, naming file and key, for a file that is not there, is not TOML, or has an unknown,
    missing or unusable entry.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml"):
        path = Path(name_or_path)
        said = read_toml_text(path, text, _PROFILE)
        return parse_device_profile(str(path), path.stem, said)
    return _shipped_profile(text)


@cache
def _shipped_profile(text: str) -> DeviceProfile:
    """Return a profile that comes with readpath: one for all cells, for it cannot be changed."""
    known = device_profile_names()
    if text not in known:
        raise ConfigError("device.profile", f"{text!r} is not known", _nearest(text, known))
    file = resources.files("sim") / "profiles" / "devices" / f"{text}.toml"
    return parse_device_profile(f"{text}.toml", text, file.read_text(encoding="utf-8"))


def device_profile_names() -> list[str]:
    """Return the names of the profiles that come with readpath, sorted."""
    return shipped_profiles("devices")


def parse_device_profile(place: str, name: str, text: str) -> DeviceProfile:
    """Return the profile in a TOML text; `place` is named in the ConfigError of whatever is wrong."""
    document = parse_toml(text, place, _PROFILE)
    is_memory = str(document.get("kind")) in COPIES
    has_write = "write" in document and not is_memory
    entries = ["kind", "title", "limits"]
    entries += ["model"] * (not is_memory) + ["write"] * has_write
    _check_names(place, document, entries, "entry")
    kind = document["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"{place}: kind", f"{kind!r} is not known", _nearest(str(kind), KINDS))
    if not isinstance(document["title"], str):
        raise ConfigError(f"{place}: title", f"{document['title']!r} is not a text")
    constants: list[tuple[str, Constant]] = []
    limits = DeviceLimits(**_group(place, "limits", DeviceLimits, document["limits"], constants))
    model_type = KINDS[kind]
    model: Model | None = None
    if model_type is not None:
        model = model_type(**_group(place, "model", model_type, document["model"], constants))
        check_model(place, model)
    write: WriteModel | None = None
    if has_write:
        write_type = WRITE_KINDS[kind]
        write = write_type(**_group(place, "write", write_type, document["write"], constants))
        check_buffer(place, write)
    return DeviceProfile(name, kind, document["title"], limits, model, tuple(constants), write)


def _group(
    place: str, group: str, record: type[Any], table: object, constants: list[tuple[str, Constant]]
) -> dict[str, Any]:
    names = [field.name for field in fields(record)]
    optional = {field.name for field in fields(record) if field.default is not MISSING}
    _check_names(f"{place}: {group}", table, names, "constant", optional)
    assert isinstance(table, dict)
    values = {}
    for name in [name for name in names if name in table]:
        constant = _constant(f"{place}: {group}.{name}", table[name])
        values[name] = _converted(f"{place}: {group}.{name}", name, constant)
        constants.append((f"{group}.{name}", constant))
    return values


def _constant(place: str, table: object) -> Constant:
    spread = table.get("spread", 0.0) if isinstance(table, dict) else 0.0
    entries = (
        "value",
        "unit",
        "source",
        *(("spread",) if isinstance(table, dict) and "spread" in table else ()),
    )
    _check_names(place, table, entries, "entry")
    assert isinstance(table, dict)
    value, unit, source = table["value"], table["unit"], table["source"]
    if not isinstance(value, int | float | str):
        raise ConfigError(place, f"value {value!r}", "a number, a name, true or false")
    if not isinstance(unit, str) or not isinstance(source, str) or not source.strip():
        raise ConfigError(place, f"unit {unit!r}, source {source!r}", "two texts")
    if isinstance(spread, bool) or not isinstance(spread, int | float) or not 0 <= spread < 1:
        raise ConfigError(
            f"{place}.spread", f"{spread!r} is no relative half-width", "a number from 0 to below 1"
        )
    return Constant(value, unit, source, float(spread))


def varied(profile: DeviceProfile, name: str, factor: float) -> DeviceProfile:
    """
    Return a profile with one constant ("model.command_ns", "write.flush_ns") multiplied by `factor`.

    Whole numbers stay whole. Raises ConfigError for a constant that is not there or is not a number.
    """
    group, _, field = name.partition(".")
    holder: Any = {"model": profile.model, "write": profile.write}.get(group)
    value = getattr(holder, field, None)
    if isinstance(value, str | bool) or value is None:
        allowed = "a number of its [model] or [write]"
        raise ConfigError(f"device {profile.name}", f"{name!r} cannot be varied", allowed)
    changed = value * factor if isinstance(value, float) else max(round(value * factor), 1)
    changes: dict[str, Any] = {group: replace(holder, **{field: changed})}
    return replace(profile, **changes)


def _converted(place: str, name: str, constant: Constant) -> Value:
    """Return the value in the unit of its field: ns, bytes, sectors, bytes per second."""
    units = _NAME_UNIT if name in NAMES else UNITS[name]
    if constant.unit not in units:
        raise ConfigError(place, f"unit {constant.unit!r}", ", ".join(units))
    value = constant.value
    if name in NAMES:
        if not isinstance(value, str) or value not in NAMES[name]:
            raise ConfigError(place, f"{value!r} is not known", ", ".join(NAMES[name]))
        return value
    if units is _FLAG:
        if not isinstance(value, bool):
            raise ConfigError(place, f"{value!r} is not a flag", "true, false")
        return value
    if isinstance(value, bool | str) or not 0 <= value < 1 << 62:
        raise ConfigError(place, f"{value!r} is out of range", "a number from 0 on")
    if value == 0 and name not in _MAY_BE_ZERO:
        raise ConfigError(place, "is 0", "more than 0")
    factor = units[constant.unit]
    if factor == 0:
        return float(_within(place, name, value, value))
    scaled = value * factor
    whole = round(scaled)
    if abs(scaled - whole) > 1e-6 or (value and not whole):
        raise ConfigError(
            place, f"{value} {constant.unit} is not a whole number", f"whole {next(iter(units))}"
        )
    return int(_within(place, name, whole, value))


def _within(place: str, name: str, amount: float, value: Value) -> float:
    """Return the amount that `value` says, in the unit of its field, if it is one that can be used."""
    least, most = _LEAST.get(name, 0), _MOST.get(name, 1 << 62)
    if not least <= amount <= most:
        raise ConfigError(place, f"{value!r} is out of range", f"{least:,} to {most:,}")
    return amount


def _check_names(
    place: str, table: object, names: Iterable[str], what: str, optional: Collection[str] = ()
) -> None:
    """Raise ConfigError unless `table` is a table that has the given names, the optional ones or not."""
    names = list(names)
    if not isinstance(table, dict):
        raise ConfigError(place, f"{table!r} is not a table", f"a table with {', '.join(names)}")
    for name in table:
        if name not in names:
            raise ConfigError(place, f"{what} {name!r} is not known", _nearest(name, names))
    for name in names:
        if name not in table and name not in optional:
            raise ConfigError(place, f"{what} {name!r} is missing", f"a table with {', '.join(names)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    return ", ".join(difflib.get_close_matches(name, known, n=3) or known)
