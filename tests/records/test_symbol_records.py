"""Instructions by symbol around ext4: the record, how it enters the profile, its calls beside ours."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import sim
from sim.calibrate.constants import MODEL, NOT_CHARGED, READS, SELF, STACKED, SYMBOLS, counting_table
from sim.calibrate.features import attach_features, read_features
from sim.calibrate.records import load_records
from sim.engine.costs import UNMEASURED, WRITES, load_costs
from sim.engine.ledger import TASK, Ledger
from sim.errors import ConfigError
from sim.fs.open_file import OPEN_CALLS
from sim.records.kernel_case import load_case
from sim.records.layouts import LayoutFolder

KERNEL = Path(__file__).parents[2] / "results" / "kernel"
DATA = KERNEL / "linux-6.1.192"
MACHINES = Path(sim.__file__).parent / "profiles" / "machines"


@cache
def lines(file: str) -> list[dict[str, Any]]:
    """Return the records of a file."""
    return [json.loads(line) for line in (DATA / file).read_text().splitlines()]


@cache
def stacked() -> dict[str, tuple[dict[str, int], dict[tuple[str, str], float]]]:
    """Return, by case, the recorded calls and the simulator's features times the pages read."""
    records = load_records(DATA)
    attach_features(records.whole, read_features(DATA / "features.jsonl"), DATA / "layouts")
    found = {}
    for case in records.stacked:
        pages = case.record["pages_read"]
        calls = {symbol: round(n * pages) for symbol, n in case.calls.items()}
        found[case.record["case"]] = calls, {c: n * pages for c, n in case.features.items()}
    return found


def opened(case: str) -> dict[str, float]:
    """Return the recorded calls per file of one case of opening."""
    (record,) = (record for record in lines(STACKED) if record["case"] == case)
    return {symbol: counted[0] / record["times"] for symbol, counted in record["symbols"].items()}


def charged(scheme: str) -> dict[str, int]:
    """Return what opening a file for the first time charges, without looking for keys."""
    ledger = Ledger(counting_table())
    ledger.site(TASK, "vfs_open", OPEN_CALLS[scheme].once).charge(1)
    calls: dict[str, int] = {}
    for row in ledger.rows():
        calls[row.symbol] = calls.get(row.symbol, 0) + row.calls
    return calls


@pytest.mark.parametrize("file", [READS, STACKED])
def test_every_record_follows_the_schema(file: str) -> None:
    """No field that the schema does not explain, all it asks for, no name twice; its layout is there."""
    schema = json.loads((KERNEL / "symbols-schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    for record in lines(file):
        assert [] == [error.message for error in validator.iter_errors(record)], record["case"]
        assert "layout_file" not in record or (DATA / "layouts" / record["layout_file"]).is_file()
    assert len(lines(file)) == len({record["case"] for record in lines(file)})
    assert list(validator.iter_errors(lines(file)[0] | {"times": 0, "colour": "blue"}))


@pytest.mark.parametrize("file", [READS, STACKED])
def test_every_recorded_symbol_enters_the_profile_or_says_why_not(file: str) -> None:
    """A recorded symbol is a constant with this file as its source, part of one, or named with a reason."""
    profile = tomllib.loads((MACHINES / "linux-6.1-epyc.toml").read_text())["cost"]
    within = {entry.within: entry for entry in SYMBOLS if entry.within and entry.record == file}
    parts = {part for entry in SYMBOLS for part in entry.parts}
    for symbol in sorted({symbol for record in lines(file) for symbol in record["symbols"]}):
        if symbol in within:
            cost = profile[within[symbol].symbol]
            assert f"instructions: {file}, {symbol}" in cost["source"], symbol
            assert cost["method"], symbol
            assert cost["instructions"] + cost.get("unit_instructions", 0) > 0, symbol
        else:
            other = symbol in MODEL and (MODEL[symbol].like or MODEL[symbol].record != file)
            assert other or symbol in parts or symbol in NOT_CHARGED, symbol
    recorded = {symbol for record in lines(file) for symbol in record["symbols"]}
    assert {"cbc_decrypt_128"} & within.keys() == within.keys() - recorded  # the kernel's name is cbc_decrypt


@pytest.mark.parametrize("file", ["linux-6.1.192/writes", "linux-6.12.107", "linux-7.3.4"])
def test_records_of_writes_and_later_kernels_follow_it_too(file: str) -> None:
    """No phase of a case twice; of reads the case, and its layout, are there."""
    schema = json.loads((KERNEL / "symbols-schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    folder = KERNEL / file
    records = [json.loads(line) for line in (folder / "symbols.jsonl").read_text().splitlines()]
    for record in records:
        assert [] == [error.message for error in validator.iter_errors(record)], record["case"]
        assert "layout_file" not in record or (folder / "layouts" / record["layout_file"]).is_file()
    assert len(records) == len({(record["case"], record.get("phase")) for record in records})


def test_what_is_recorded_is_not_assumed_as_well() -> None:
    """No constant is both in the fitted profile and in what is set by hand."""
    fitted, written, assumed = (
        tomllib.loads((MACHINES / f"{name}.toml").read_text())["cost"].keys()
        for name in ("linux-6.1-epyc", WRITES, UNMEASURED)
    )
    assert [set()] * 3 == [fitted & assumed, fitted & written, written & assumed]


def test_calls_around_the_ciphers_are_the_kernels() -> None:
    """dm-crypt and eCryptfs: every symbol of ours is called as often as in the record, to the call."""
    compared = 0
    for case, (recorded, features) in stacked().items():
        inline = "inline" in case
        for (symbol, what), count in features.items():
            entry = MODEL[symbol]
            if what != SELF or entry.record != STACKED or entry.within != symbol:
                continue
            if inline and symbol == "kcryptd_crypt":
                continue  # the compiler has melted it into kcryptd_queue_crypt()
            assert recorded[symbol] == round(count, 6), (case, symbol)
            compared += 1
    assert compared > 150


def test_opening_an_fscrypt_file_calls_what_the_kernel_calls() -> None:
    """Cold: the context from the inode, the key derived, a cipher allocated; all counts as recorded."""
    recorded = opened("open/fscrypt/cold")
    assert charged("fscrypt-v2") == {symbol: recorded[symbol] for symbol in charged("fscrypt-v2")}


def test_opening_an_ecryptfs_file_calls_what_the_kernel_calls() -> None:
    """Without look-up, which parses the header's front too, and with the keys set at the first page."""
    recorded = opened("open/ecryptfs/cold")
    recorded["ecryptfs_init_crypt_ctx"] -= 1
    recorded["ecryptfs_read_lower"] -= 1
    (first,) = (
        r for r in lines(STACKED) if r["case"] == "ecryptfs-aes-128/bs4096/ext4/contig/seq128k/es_cold"
    )
    recorded["crypto_skcipher_setkey"] += first["symbols"]["crypto_skcipher_setkey"][0]
    recorded["aesni_skcipher_setkey"] = first["symbols"]["aesni_skcipher_setkey"][0]
    assert charged("ecryptfs") == {symbol: recorded[symbol] for symbol in charged("ecryptfs")}


def test_an_open_file_opens_without_deriving_again() -> None:
    """While its inode is in memory, opening an encrypted file takes 70 instructions more than a plain one."""
    totals = {
        scheme: sum(
            counted[1]
            for r in lines(STACKED)
            if r["case"] == f"open/{scheme}/inode"
            for counted in r["symbols"].values()
        )
        for scheme in ("plain", "fscrypt")
    }
    assert totals["fscrypt"] - totals["plain"] == 8 * 70


def test_an_encryption_that_is_not_known_is_an_error() -> None:
    """A record of another cipher is refused, not taken for a plain one."""
    record = dict(lines(STACKED)[0]) | {
        "encryption": "dm-crypt serpent-xts-plain64 512-bit key, 512-byte sectors"
    }
    with pytest.raises(ConfigError, match="serpent"):
        load_case(record, LayoutFolder(DATA / "layouts"), "here")


def test_a_generic_cipher_takes_23_times_the_instructions() -> None:
    """A page of AES-256-XTS, on a CPU without AES instructions (C code) and with them."""
    taken = {}
    for name, symbols in (
        ("generic-dm", ("xts_decrypt", "ecb_decrypt")),
        ("dm", ("xts_decrypt", "aesni_xts_decrypt", "aesni_enc")),
    ):
        case = f"{name}-aes-xts-plain64-4096/bs4096/ext4/contig/rand4k/warm"
        (record,) = (r for r in lines(STACKED) if r["case"] == case)
        counted = record["symbols"]
        taken[name] = round(sum(counted[symbol][1] for symbol in symbols) / counted["xts_decrypt"][0])
    assert {"generic-dm": 215_526, "dm": 9_347} == taken


def test_the_profile_has_what_it_costs_to_open() -> None:
    """Every symbol of every way to open has a cost in both profiles."""
    for profile in ("linux-6.1-epyc", "linux-3.16-2014"):
        costs = load_costs(profile)
        for calls in OPEN_CALLS.values():
            Ledger(costs).site(TASK, "vfs_open", f"{calls.once} {calls.unwrap} {calls.find}")
