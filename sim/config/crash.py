"""
The [crash] table: when the power is cut, and how much of what the disk had not flushed is tried.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from sim.config.table import Model, custom
from sim.errors import ConfigError
from sim.units import parse_time

Moments = Literal["bios", "random"]


def _moment(value: object) -> object:
    if value in ("bios", "random"):
        return value
    try:
        return parse_time("", value)
    except ConfigError as error:
        raise custom(error.problem, f'{error.allowed}, or "bios", "random"') from None


class Crash(Model):
    """
    Power cuts of a run whose jobs write.

    at: a time of the clock; "bios": just behind a bio's submission or completion, `points` of these moments,
    evenly spread, or all if there are fewer; "random": `points` moments at random. states: of each moment,
    how many states of the disk are judged: the first has nothing of what is not safe, the second all, the
    others some of it, at random.
    """

    at: Annotated[Moments | int, BeforeValidator(_moment)] = "bios"
    points: int = Field(default=50, ge=1, le=100_000)
    states: int = Field(default=4, ge=1, le=1000)
