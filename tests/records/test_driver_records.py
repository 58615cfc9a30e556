# SPDX-License-Identifier: MIT
"""Reads through drivers of hardware, by symbol: what the record says, and the simulator's calls beside it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sim.block.drivers.modules import DRIVERS
from sim.calibrate.constants import MODEL, NOT_CHARGED, counting_table
from sim.calibrate.symbols import SIDE_BY_SIDE
from sim.machine.machine import Machine
from sim.records.devices import EMULATED
from sim.records.kernel_case import Case, load_case, run_case
from sim.records.layouts import LayoutFolder
from sim.records.measures import measures

KERNEL = Path(__file__).parents[2] / "results" / "kernel"
DATA = KERNEL / "linux-6.1.192"
FILE = "symbols-drivers.jsonl"
ABOVE = (
    "filemap_add_folio",
    "page_cache_sync_ra",
    "page_cache_async_ra",
    "read_pages",
    "ext4_map_blocks",
    "mpage_readahead",
    "do_mpage_readpage",
    "ext4_mpage_readpages",
    "block_read_full_folio",
    "alloc_buffer_head",
    "submit_bh_wbc",
    "bio_alloc_bioset",
    "bio_free",
    "submit_bio",
    "blk_mq_submit_bio",
    "blk_attempt_plug_merge",
)
"""Symbols above the driver: the same whatever lies below."""
RETRIED = ("scsi_mq_get_budget", "scsi_queue_rq", "blk_mq_start_request")
"""What a SCSI request passes again that was put back."""


@cache
def records() -> tuple[dict[str, Any], ...]:
    """Return all records."""
    return tuple(json.loads(line) for line in (DATA / FILE).read_text().splitlines())


def of(driver: str) -> list[dict[str, Any]]:
    """Return the records of a driver."""
    return [record for record in records() if record["case"].startswith(f"{driver}/")]


@cache
def simulated(name: str) -> tuple[Case, Machine]:
    """Return the case of a record, by its name, and the machine that did its work."""
    (record,) = (record for record in records() if record["case"] == name)
    case = load_case(record, LayoutFolder(DATA / "layouts"), FILE)
    return case, run_case(case, counting_table())


def calls(record: dict[str, Any], symbol: str) -> int:
    """Return how often a record's kernel called a symbol."""
    return int(record["symbols"].get(symbol, [0])[0])


def test_the_record_follows_the_schema() -> None:
    """Four drivers, two block sizes, three paths, four layouts and ways to read: each once."""
    schema = json.loads((KERNEL / "symbols-schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    for record in records():
        assert [] == [error.message for error in validator.iter_errors(record)], record["case"]
        assert (DATA / "layouts" / record["layout_file"]).is_file()
    assert len({record["case"] for record in records()}) == len(records()) == 96
    assert [len(of(driver)) for driver in EMULATED] == [24] * 4


@pytest.mark.parametrize("driver", EMULATED)
def test_above_the_driver_the_calls_are_ours(driver: str) -> None:
    """Every symbol of ABOVE that the kernel called, to the call."""
    compared = 0
    for record in of(driver):
        ours = simulated(record["case"])[1].ledger.calls()
        for symbol in ABOVE:
            if symbol in record["symbols"]:
                assert ours[symbol] == calls(record, symbol), (record["case"], symbol)
                compared += 1
    assert compared > 250


@pytest.mark.parametrize("driver", EMULATED)
def test_what_the_driver_calls_is_what_ours_does(driver: str) -> None:
    """
    Every symbol that a driver is charged with and the kernel called, to the call: per list, request, table.

    But for what the device's time decides: interrupts, doorbells it does not ask for, a SCSI request that is
    put back when no tag is left (RETRIED); and for requests of a few pages, some of which lay side by side in
    memory (test_pages_of_few_lie_side_by_side).
    """
    model = DRIVERS[EMULATED[driver].driver]
    compared = 0
    for record in of(driver):
        if (record["block_size"], record["layout"]) == SIDE_BY_SIDE:
            continue
        ours = simulated(record["case"])[1].ledger.calls()
        for symbol in sorted(model.symbols - model.of_the_device):
            if symbol in record["symbols"] or (ours.get(symbol) and MODEL[symbol].within == symbol):
                more = calls(record, symbol) - ours.get(symbol, 0)
                assert more == 0 or (more > 0 and symbol in RETRIED), (record["case"], symbol)
                compared += 1
    assert compared > 200


@pytest.mark.parametrize("driver", EMULATED)
def test_every_symbol_of_a_driver_is_charged_or_named(driver: str) -> None:
    """No symbol of a driver's record is forgotten: it is in the model or in NOT_CHARGED."""
    for record in of(driver):
        known = MODEL.keys() | NOT_CHARGED.keys() | {part for entry in MODEL.values() for part in entry.parts}
        assert set() == record["symbols"].keys() - known, record["case"]


def test_pages_of_few_lie_side_by_side() -> None:
    """
    What ahci_qc_prep took tells the runs of memory of a request: 105 instructions and 23 a run.

    One page: one run. 32 pages: 32 runs, all but a few. Four pages of 4 KiB, read in one request: three runs
    on average, which is why no constant is fitted to these.
    """

    def runs(layout: str, block_size: int) -> float:
        (record,) = (
            r
            for r in of("ahci")
            if (r["layout"], r["block_size"], r["path"], r["access"])
            == (layout, block_size, "ext4", "seq128k")
        )
        requests, instructions, _ = record["symbols"]["ahci_qc_prep"]
        return float(instructions / requests - 105) / 23

    assert [round(runs(*case), 2) for case in (("frag1", 4096), ("frag4", 1024), ("contig", 4096))] == [
        1.0,
        1.0,
        31.94,
    ]
    assert round(runs("frag4", 4096), 2) == 3.01


def test_virtio_takes_the_requests_of_a_plug_at_once() -> None:
    """What `validate` compares on virtio-blk is what the kernel called: ->queue_rqs() and ->queue_rq()."""
    for record in of("virtio-blk"):
        ours = measures(*simulated(record["case"]))
        assert calls(record, "virtio_queue_rqs") == ours["lists issued"] > 0, record["case"]
        assert calls(record, "virtio_queue_rq") == ours["requests issued one by one"] == 0, record["case"]


@pytest.mark.parametrize(("driver", "symbol"), [("virtio-blk", "virtio_queue_rq"), ("nvme", "nvme_queue_rq")])
def test_lists_of_requests_are_issued_at_once(driver: str, symbol: str) -> None:
    """A plug's list goes down in one call of ->queue_rqs(), as often as ours is flushed; no ->queue_rq()."""
    for record in of(driver):
        ours = simulated(record["case"])[1].ledger.calls()
        assert calls(record, f"{symbol}s") == ours[f"{symbol}s"] == ours["blk_mq_flush_plug_list"] > 0
        assert calls(record, symbol) == ours.get(symbol, 0) == 0, record["case"]


@pytest.mark.parametrize("driver", ["virtio-scsi", "ahci"])
def test_scsi_issues_each_request_by_itself(driver: str) -> None:
    """SCSI hosts have no ->queue_rqs()."""
    for record in of(driver):
        requests = calls(record, "blk_mq_start_request")
        assert calls(record, "scsi_queue_rq") >= requests == calls(record, "sd_init_command") > 0
