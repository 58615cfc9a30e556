"""Records that are none: refused as wrong input, with file, line, field, value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kernel_records import DATA, LAYOUTS, case_of, record_of

from sim.errors import ConfigError
from sim.records.counters import LEAST
from sim.records.kernel_case import load_cases

PLAIN = "nullmq_bs4096/bs4096/ext4/contig/rand4k/warm"
DM_CRYPT = "dmcrypt_bs4096/bs4096/mpage/frag1/rand4k/warm"


def _write(at: Path, record: dict[str, Any]) -> Path:
    file = at / "mine.jsonl"
    file.write_text(json.dumps(record) + "\n")
    return file


@pytest.mark.parametrize(
    "encryption",
    ["dm-crypt aes-xts-plain64 512-bit key, 512-byte sectors, aes-generic", "fscrypt v2 AES-256-XTS, inline"],
)
def test_an_encryption_with_words_that_are_not_known(encryption: str) -> None:
    """What follows a known scheme may change what is called: it is not passed over."""
    with pytest.raises(ConfigError, match=r"encryption 'dm-crypt aes-xts|encryption 'fscrypt v2"):
        case_of(record_of(DM_CRYPT, encryption=encryption))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": {}}, "counts: 'filemap_read' is missing; allowed: at least filemap_read, read_pages"),
        ({"ok": 0}, "ok: 1 was expected; allowed: 1"),
        (
            {"block_size": 512},
            "block_size: 512 is not one of [1024, 2048, 4096, 8192, 16384, 32768, 65536]; allowed: 1024",
        ),
        ({"block_size": 4096.0}, "block_size: 4096.0 is not of type 'integer'"),
        ({"pages_raed": 1}, "Additional properties are not allowed ('pages_raed' was unexpected)"),
        ({"file_bytes": "8MiB"}, "file_bytes: '8MiB' is not of type 'integer'; allowed: integer"),
        ({"file_bytes": 10**12}, "file_bytes: 1000000000000 is greater than the maximum of 4294967296"),
        ({"blk": 7}, "blk: 7 is not of type 'object'"),
        ({"case": "a name"}, "case: 'a name' does not match"),
        ({"layout_file": "../counts.jsonl"}, "layout_file: '../counts.jsonl' does not match"),
        ({"device": "loop0"}, "device: 'loop0' names 0 devices; allowed: one of null_blk, virtio-blk"),
        ({"device": "null_blk on ahci"}, "device: 'null_blk on ahci' names 2 devices"),
        ({"access": "rand4k", "file_bytes": 7}, "rand4k: no read in 7 bytes; allowed: at least one page"),
        (
            {"access": "backward", "read_bytes": 4096, "reads": 9, "file_bytes": 8192},
            "backward: a read at -28672; allowed: reads within the file",
        ),
        ({"cached_pages": [[3, 3]]}, "cached_pages: [3, 3]; allowed: ranges of the 4096 pages"),
        ({"cached_pages": [[0, 10**9]]}, "cached_pages: [0, 1000000000]; allowed: ranges of the 4096 pages"),
        ({"rewritten_blocks": [0]}, "rewritten_blocks: blocks [0] of page 0; allowed: the first blocks"),
    ],
)
def test_wrong_form_is_wrong_input(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """A record that is not of the schema's form is refused with file, line, field and what is allowed."""
    file = _write(tmp_path, record_of(PLAIN, **change))
    with pytest.raises(ConfigError) as error:
        load_cases(file, LAYOUTS)
    assert str(error.value).startswith(f"{file}:1: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("bios", "message"),
    [
        ([[8, 8]], "blk.first_bios.0: [8, 8] is too short"),
        ([[8, 8, 0, 0]], "blk.first_bios.0: Expected at most 3 items but found 1"),
        ([[8, 8, 0], [8, 8, 8]], "blk.first_bios.1.2: 8 is greater than the maximum of 7"),
        ([[-8, 8, 0]], "blk.first_bios.0.0: -8 is less than the minimum of 0"),
        ([[8, 8, True]], "blk.first_bios.0.2: True is not of type 'integer'"),
        ([[8.0, 8, 0]], "blk.first_bios.0.0: 8.0 is not of type 'integer'"),
        ([[8, 8, 0]] * 17, "blk.first_bios: [[8, 8, 0], "),
        ([8], "blk.first_bios.0: 8 is not of type 'array'"),
        ({"0": [8, 8, 0]}, "blk.first_bios: {'0': [8, 8, 0]} is not of type 'array'"),
    ],
)
def test_first_bios_that_are_none(tmp_path: Path, bios: object, message: str) -> None:
    """Sector, sectors and flags, sixteen at most: anything else is what the schema says of it."""
    blk = record_of(PLAIN)["blk"] | {"first_bios": bios}
    file = _write(tmp_path, record_of(PLAIN, blk=blk))
    with pytest.raises(ConfigError) as error:
        load_cases(file, LAYOUTS)
    assert f"{file}:1: {message}" in str(error.value)


def test_of_cases_that_are_not_asked_for_only_the_name_is_read(tmp_path: Path) -> None:
    """A record that matches is checked as ever; what is wrong with another is told to who asks for it."""
    file = tmp_path / "mine.jsonl"
    records = record_of(PLAIN), record_of(DM_CRYPT, ok=0)
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert [PLAIN] == [case.name for case in load_cases(file, LAYOUTS, "nullmq*")]
    assert [] == load_cases(file, LAYOUTS, "xfs*")
    for glob in ("*", "dmcrypt*"):
        with pytest.raises(ConfigError, match=r"mine\.jsonl:2: ok: 1 was expected"):
            load_cases(file, LAYOUTS, glob)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([9, 10, 11], r"blocks \[1, 2, 3\] of page 2; allowed: the first blocks of a page, and not all"),
        ([8, 9, 10, 11], r"blocks \[0, 1, 2, 3\] of page 2; allowed: the first blocks"),
        ([4 * 4096], "blocks of page 4096; allowed: of pages of the file that are not cached"),
        ([8], "blocks of page 2; allowed: of pages of the file that are not cached"),
    ],
)
def test_rewritten_blocks_are_the_first_of_pages_of_the_file(
    tmp_path: Path, blocks: list[int], message: str
) -> None:
    """Not others, not a whole page, not beyond the end, not of a page that is said to be cached."""
    name = "nullmq_bs1024/bs1024/buffer/contig/seq4k/warm"
    file = _write(tmp_path, record_of(name, rewritten_blocks=blocks, cached_pages=[[2, 3]][: blocks == [8]]))
    with pytest.raises(ConfigError, match=f"rewritten_blocks: {message}"):
        load_cases(file, LAYOUTS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff\xfe\x00", r"mine\.jsonl: cannot be read \(not UTF-8\)"),
        (b'{"case": NaN}\n', r"mine\.jsonl:1: is not JSON \(NaN is no number\)"),
        (b'{"ok": 1, "ok": 1}\n', r"mine\.jsonl:1: is not JSON \(key 'ok' is there twice\)"),
        (b"[" * 100_000, r"mine\.jsonl:1: is not JSON \(nested too deeply\)"),
        (b"[]\n", r"mine\.jsonl:1: is not an object"),
    ],
)
def test_a_file_that_is_no_recording(tmp_path: Path, text: bytes, why: str) -> None:
    """Bytes that are no UTF-8, numbers that are none, a field that is there twice, endless brackets."""
    file = tmp_path / "mine.jsonl"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=why):
        load_cases(file, LAYOUTS)


def test_a_line_ends_where_a_line_ends(tmp_path: Path) -> None:
    """A separator of lines within a text, which JSON allows, is part of it."""
    file = tmp_path / "mine.jsonl"
    file.write_text(
        json.dumps(record_of(PLAIN, note="a\u2028b"), ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (case,) = load_cases(file, LAYOUTS)
    assert "a\u2028b" == case.record["note"]


@pytest.mark.parametrize("field", ["device", "es", "access", "pages_read", "layout_file", "blk"])
def test_missing_fields_are_wrong_input(tmp_path: Path, field: str) -> None:
    """No field that a case needs can be left out."""
    record = record_of(PLAIN)
    del record[field]
    with pytest.raises(ConfigError):
        load_cases(_write(tmp_path, record), LAYOUTS)


def test_symbols_and_events_that_are_misspelled_or_missing(tmp_path: Path) -> None:
    """A symbol or event nobody knows, or one of the least set missing, is wrong input."""
    for symbol in LEAST:
        record = record_of(PLAIN)
        record["counts"][symbol + "s"] = record["counts"].pop(symbol)
        with pytest.raises(ConfigError, match=f"{symbol!r} is missing"):
            load_cases(_write(tmp_path, record), LAYOUTS)
    record = record_of(PLAIN)
    record["counts"]["ext4_mapp_blocks"] = 1
    with pytest.raises(ConfigError, match="'ext4_mapp_blocks' is not known"):
        load_cases(_write(tmp_path, record), LAYOUTS)
    record = record_of(PLAIN)
    record["blk"]["rq_requeue"] = 0
    with pytest.raises(ConfigError, match=r"blk: 'rq_requeue'... is not of the form; allowed: bio_queue"):
        load_cases(_write(tmp_path, record), LAYOUTS)


@pytest.mark.parametrize(
    ("shipped", "documented"),
    [("case-schema.json", "schema.json"), ("layout-schema.json", "layout-schema.json")],
)
def test_the_shipped_schemas_are_the_documented_ones(shipped: str, documented: str) -> None:
    """The package's copies of the schemas are those of results/kernel."""
    import sim.records

    packed = Path(sim.records.__file__).parent / shipped
    assert (DATA.parent / documented).read_bytes() == packed.read_bytes()
