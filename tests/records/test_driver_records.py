# SPDX-License-Identifier: MIT
"""Reads through drivers of hardware, by symbol: what the record says, and the simulator's calls beside it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import jsonschema
import pytest

from sim.calibrate.constants import counting_table
from sim.machine.machine import Machine
from sim.records.kernel_case import Case, load_case, run_case
from sim.records.layouts import LayoutFolder
from sim.records.measures import measures

KERNEL = Path(__file__).parents[2] / "results" / "kernel"
DATA = KERNEL / "linux-6.1.192"
FILE = "symbols-drivers.jsonl"
DRIVERS = {
    "virtio-blk": "virtio_queue_rq",
    "nvme": "nvme_queue_rq",
    "virtio-scsi": "scsi_queue_rq",
    "ahci": "scsi_queue_rq",
}
"""The symbol that the simulator charges for a request."""
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
    assert [len(of(driver)) for driver in DRIVERS] == [24] * 4


@pytest.mark.parametrize("driver", DRIVERS)
def test_above_the_driver_the_calls_are_ours(driver: str) -> None:
    """Every symbol of ABOVE that the kernel called, to the call, and as many requests as it started."""
    compared = 0
    for record in of(driver):
        _, machine = simulated(record["case"])
        ours = machine.ledger.calls()
        for symbol in ABOVE:
            if symbol in record["symbols"]:
                assert ours[symbol] == calls(record, symbol), (record["case"], symbol)
                compared += 1
        assert ours[DRIVERS[driver]] == calls(record, "blk_mq_start_request"), record["case"]
    assert compared > 250


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
        _, machine = simulated(record["case"])
        flushed = machine.ledger.calls()["blk_mq_flush_plug_list"]
        assert calls(record, f"{symbol}s") == flushed > 0, record["case"]
        assert calls(record, symbol) == 0, record["case"]


@pytest.mark.parametrize("driver", ["virtio-scsi", "ahci"])
def test_scsi_issues_each_request_by_itself(driver: str) -> None:
    """SCSI hosts have no ->queue_rqs()."""
    for record in of(driver):
        requests = calls(record, "blk_mq_start_request")
        assert calls(record, "scsi_queue_rq") >= requests == calls(record, "sd_init_command") > 0


OF_A_REQUEST = {"virtio-blk": 1499, "nvme": 471, "virtio-scsi": 2974, "ahci": 2650}
"""Instructions of the driver, its bus and mapping for DMA, per request of one page: mean of three paths."""
OWN = (
    "virt",
    "vring",
    "vp_",
    "nvme",
    "scsi",
    "sd_",
    "virtscsi",
    "ata_",
    "ahci",
    "dma_",
    "sg_",
    "__blk_rq_map_sg",
)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_request_of_hardware_costs_more_than_null_blks(driver: str) -> None:
    """One page a request: what is recorded of each driver, and in symbols.jsonl of null_queue_rq()."""
    one_page = [
        r for r in of(driver) if (r["layout"], r["block_size"], r["access"]) == ("frag1", 4096, "seq128k")
    ]
    spent = [sum(n[1] for symbol, n in r["symbols"].items() if symbol.startswith(OWN)) for r in one_page]
    started = [calls(record, "blk_mq_start_request") for record in one_page]
    assert OF_A_REQUEST[driver] == round(fmean(a / b for a, b in zip(spent, started, strict=True)))
    lines = (DATA / "symbols.jsonl").read_text().splitlines()
    of_null = {record["case"]: record["symbols"] for record in map(json.loads, lines)}
    requests, instructions = of_null["fnnull_bs4096/bs4096/ext4/frag1/seq128k/warm"]["null_queue_rq"]
    assert 50 == round(instructions / requests) < OF_A_REQUEST[driver]
