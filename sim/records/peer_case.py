"""
A recorded case of a peer (results/kernel/README.md has the form), and what a model predicts of it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sim.block.opf import REQ_META
from sim.errors import ConfigError
from sim.peers.script import Request, Step, steps
from sim.peers.tally import REQ_RAHEAD, Queued, Tally
from sim.records.json_lines import parse, read_lines, read_text
from sim.records.write_bios import FLAGS, RAHEAD
from sim.units import PAGE_BYTES, SECTOR_BYTES

ALL: Final = "*"
"""In `left_out`: of all phases, or all that a phase counts."""
BIOS: Final = "bios"
"""In `left_out`: the list of bios."""
EVENTS: Final = ("bio_queue", "bio_complete", "split")
"""Block events that requests have no part in; their tracepoints are block_bio_queue and so on."""
_KEYS: Final = ("case", "group", "script", "setup", "phases", "bios", "files")


@dataclass(frozen=True, slots=True)
class PeerCase:
    """A record. at: where it stands, for errors."""

    record: dict[str, Any]
    at: str

    @property
    def name(self) -> str:
        """The record's own name."""
        return str(self.record["case"])

    @property
    def group(self) -> str:
        """What it is about: dm-integrity, btrfs ..."""
        return str(self.record["group"])

    @property
    def variant(self) -> str:
        """How it was set up: the first part of its name."""
        return self.name.split("/")[0]

    def steps(self) -> Iterator[Step]:
        """Yield what the case's program asks for."""
        return steps(self.record["script"], self.at)

    def counts(self, phase: str) -> dict[str, int]:
        """
        Return what a phase was recorded to call, and what of block events is compared; nothing of a phase
        that is not there.
        """
        for entry in self.record["phases"]:
            if entry["name"] == phase:
                events = {f"block_{name}": entry["blk"].get(name, 0) for name in EVENTS}
                return {name: number for name, number in (entry["counts"] | events).items() if number}
        return {}

    def bios(self, phase: str) -> list[Queued]:
        """Return the bios of a phase, in order; a row of a record may stand for several."""
        numbers = {number for number, entry in enumerate(self.record["phases"]) if entry["name"] == phase}
        found = []
        for number, sector, sectors, flags, _who, device, *times in self.record["bios"]:
            if number not in numbers:
                continue
            known = sum(ours for bit, ours in FLAGS.items() if flags & bit)
            known |= REQ_RAHEAD if flags & RAHEAD else 0
            unknown = flags & ~sum(FLAGS) & ~RAHEAD
            found += [
                Queued(device, sector + at * sectors, sectors, known | unknown << 16)
                for at in range(times[0] if times else 1)
            ]
        return found

    def extents(self, tag: str, path: str) -> list[list[int]]:
        """Return FIEMAP's rows of a file at a time. Raises ConfigError where there are none."""
        for entry in self.record["files"]:
            if entry["tag"] == tag and entry["path"] == path:
                return [list(map(int, row)) for row in entry["extents"]]
        raise ConfigError(f"{self.at}: files", f"no {tag!r} of {path}", "one, as the model needs it")


def rows_of(case: PeerCase, tag: str, path: str) -> list[list[int]]:
    """
    Return FIEMAP's rows of a file; of a case that did not ask, one extent from the first bio of data on.

    Such cases made their only file in one go.
    """
    if any((entry["tag"], entry["path"]) == (tag, path) for entry in case.record["files"]):
        return case.extents(tag, path)
    asked = [step.request for step in case.steps() if step.request.kind in ("read", "write")]
    phases = [str(entry["name"]) for entry in case.record["phases"]]
    data = [
        bio.sector for name in phases for bio in case.bios(name) if bio.sectors and not bio.opf & REQ_META
    ]
    if not asked or not data:
        raise ConfigError(f"{case.at}: files", f"no {tag!r} of {path}, and no data moved", "one, or bios")
    return [[0, min(data) * SECTOR_BYTES, max(each.offset + each.length for each in asked), 0]]


def check_mapped(case: PeerCase, request: Request, pages: Container[int]) -> None:
    """Raise ConfigError for a request of pages of which the record's FIEMAP says nothing."""
    for page in range(request.offset // PAGE_BYTES, -(-(request.offset + request.length) // PAGE_BYTES)):
        if page not in pages:
            raise ConfigError(
                f"{case.at}: files", f"no extent has page {page}", "one for each that is written"
            )


def as_it_is(bio: Queued) -> Queued | None:
    """Compare all of a bio."""
    return bio


@dataclass(frozen=True, slots=True)
class Prediction:
    """
    What a model says of a case. phases: by name. left_out: (phase, counter) -> why it is not compared.
    comparable: what of a bio is compared; None: nothing of it. together: phases in a row of which only the
    sum is compared, and why.
    """

    phases: dict[str, Tally]
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)
    comparable: Callable[[Queued], Queued | None] = as_it_is
    together: tuple[str, ...] = ()
    why_together: str = ""


def is_of_peers(path: Path) -> bool:
    """Tell whether a file's first record is one of a peer; False also for what cannot be read."""
    try:
        first = parse(read_text(path).partition("\n")[0], str(path))
    except ConfigError:
        return False
    return isinstance(first, dict) and "group" in first and "setup" in first


def load_peer_cases(path: Path) -> list[PeerCase]:
    """Return the cases of a file of peers. Raises ConfigError for what is not of this form."""
    cases = []
    for number, record in enumerate(read_lines(path), start=1):
        at = f"{path}:{number}"
        missing = [key for key in _KEYS if key not in record]
        if missing:
            raise ConfigError(at, f"has no {missing[0]!r}", "a record of a peer")
        for place, phase in enumerate(record["phases"]):
            missing = [key for key in ("name", "counts", "blk") if key not in phase]
            if missing:
                raise ConfigError(at, f"phases[{place}] has no {missing[0]!r}", "a phase of a record")
        cases.append(PeerCase(record, at))
    return cases
