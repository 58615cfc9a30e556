"""
The constants of a device, and where each is from: measured, given, of the request queue, of a named profile.

What nobody tells is missing, and all that is missing is told at once; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields

from sim.block.device.constants import SsdModel
from sim.block.device.profile import (
    NAMES,
    UNITS,
    Constant,
    DeviceLimits,
    DeviceProfile,
    load_device_profile,
    parse_device_profile,
)
from sim.calibrate.device_told import Told, Untold
from sim.calibrate.fio_results import FioResult
from sim.errors import ConfigError, raise_all

LIMITS = tuple(field.name for field in fields(DeviceLimits))
MODEL = tuple(field.name for field in fields(SsdModel))
VERB = "calibrate device"
_MEANING = {"units": "parallelism", "flash_read_ns": "latency at iodepth 1", "bandwidth": "bandwidth limit"}
_WRITTEN_IN = {
    "units": "count",
    "flash_read_ns": "ns",
    "command_ns": "ns",
    "bandwidth": "B/s",
    "latency_sigma": "log",
}
_GIVEN = re.compile(r"(?:limits\.|model\.)?(\w+)=(.+)")
_NUMBER = re.compile(r"([0-9]{1,18})(\.[0-9]{1,18})? ?([A-Za-z/]*)")
_PLACEHOLDERS = "nvme"
"""Whose constants stand for what is not known yet, while the rest is looked at."""


class Constants:
    """
    What is known of each constant, by name ("units").

    given: by the user, before all else. rest: of a named profile, where the data tell nothing.
    """

    def __init__(self, given: Mapping[str, Constant], rest: DeviceProfile | None) -> None:
        self.given = given
        self._rest: dict[str, Constant] = {}
        self.write: dict[str, Constant] = {}
        if rest is not None:
            for key, constant in rest.constants:
                group, name = key.split(".")
                (self.write if group == "write" else self._rest)[name] = constant
        self._rest_name = rest.name if rest is not None else ""
        self.found: dict[str, Constant] = dict(given)
        self._missing: dict[str, list[str]] = {}
        self._refused: list[ConfigError] = []

    @property
    def complete(self) -> bool:
        """Whether nothing is missing yet."""
        return not (self._missing or self._refused)

    def refuse(self, error: ConfigError) -> None:
        """Keep what else is wrong, to be told with what is missing."""
        self._refused.append(error)

    def require_all(self) -> None:
        """Raise ConfigError for what is missing, a line for each reason, and for what was refused."""
        allowed = "jobs that tell it, --give NAME=VALUE, --rest PROFILE"
        raise_all(
            [
                *self._refused,
                *(
                    ConfigError(VERB, f"{', '.join(names)}: {reason}", allowed)
                    for reason, names in self._missing.items()
                ),
            ]
        )

    def knows(self, name: str) -> bool:
        """Whether a constant is there without being measured."""
        return name in self.given or name in self._rest

    def measure(self, name: str, answer: Told | Untold | Constant) -> None:
        """Take what was measured, unless it is given; what is untold is the rest's, or missing."""
        if name in self.given:
            return
        if isinstance(answer, Constant):
            self.found[name] = answer
        elif isinstance(answer, Told):
            value = answer.value if name == "latency_sigma" else round(answer.value)
            spread = min(round(answer.spread, 3), 0.999)
            self.found[name] = Constant(value, _WRITTEN_IN[name], answer.source, spread)
        elif name in self._rest:
            kept = self._rest[name]
            source = f"profile {self._rest_name}, not measured ({answer.reason}): {kept.source}"
            self.found[name] = Constant(kept.value, kept.unit, source, kept.spread)
        else:
            called = f"{name} ({_MEANING[name]})" if name in _MEANING else name
            self._missing.setdefault(answer.reason, []).append(called)

    def profile(self, name: str, title: str) -> DeviceProfile:
        """Return the profile of what is known; what is not yet is that of a placeholder."""
        known = {
            key.split(".")[1]: constant for key, constant in load_device_profile(_PLACEHOLDERS).constants
        }
        text = profile_text(title, known | self.found, self.write, self._rest_name)
        return parse_device_profile(VERB, name, text)

    def text(self, title: str) -> str:
        """Return the profile as TOML."""
        return profile_text(title, self.found, self.write, self._rest_name)


def given_constants(words: Sequence[str]) -> dict[str, Constant]:
    """Return the constants of `--give page_bytes=16KiB`; ConfigError for what is none."""
    found: dict[str, Constant] = {}
    for word in words:
        match = _GIVEN.fullmatch(word)
        if match is None or match[1] not in (*LIMITS, *MODEL):
            raise ConfigError("--give", f"{word!r} is no constant", ", ".join((*MODEL, *LIMITS)))
        found[match[1]] = _given(match[1], match[2])
    return found


def _given(name: str, said: str) -> Constant:
    source = "given by the user (--give)"
    if name in NAMES:
        return Constant(said, "name", source)
    if said in ("true", "false"):
        return Constant(said == "true", "flag", source)
    number = _NUMBER.fullmatch(said)
    if number is None:
        raise ConfigError(
            f"--give {name}", f"{said!r} is no quantity", f"a number, of {', '.join(UNITS[name])}"
        )
    value = float(number[1] + number[2]) if number[2] else int(number[1])
    return Constant(value, number[3] or next(iter(UNITS[name])), source)


def queue_constants(results: Sequence[FioResult]) -> dict[str, Constant]:
    """Return the limits of the request queue that `--run` kept beside its results."""
    found: dict[str, Constant] = {}
    for result in results:
        for name, entry in result.queue.items():
            if name in LIMITS and isinstance(entry, dict):
                source = f"{result.name}: {entry.get('source', '')}"
                found[name] = Constant(entry.get("value", ""), str(entry.get("unit", "")), source)
    return found


def profile_text(
    title: str, known: Mapping[str, Constant], write: Mapping[str, Constant], rest_name: str
) -> str:
    """Return a profile of an SSD as TOML; writes: as the rest has them, else it can only be read."""
    lines = ['kind = "ssd"', f"title = {_quoted(title)}"]
    for group, names in (("limits", LIMITS), ("model", MODEL)):
        lines += ["", f"[{group}]", *(_line(name, known[name]) for name in names)]
    if write:
        lines += ["", "[write]"]
        for name, kept in write.items():
            source = f"profile {rest_name}, not measured (reads tell nothing of writes): {kept.source}"
            lines.append(_line(name, Constant(kept.value, kept.unit, source, kept.spread)))
    return "\n".join(lines) + "\n"


def _line(name: str, constant: Constant) -> str:
    value = constant.value
    shown = _quoted(value) if isinstance(value, str) else str(value).lower()
    spread = f", spread = {constant.spread:g}" if constant.spread else ""
    return (
        f"{name} = {{ value = {shown}, unit = {_quoted(constant.unit)}{spread},"
        f" source = {_quoted(constant.source)} }}"
    )


def _quoted(text: str) -> str:
    """Return a text as a TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else " " for letter in escaped) + '"'
