"""
The records that costs are fitted to, and what the simulator does on the same cases.

Four files (results/kernel/README.md): `instructions.jsonl`, instructions of a whole case; `symbols.jsonl`
and `symbols-encryption.jsonl`, instructions and calls per recorded symbol; `uml-ns.jsonl`, ns per 4 KiB and
ns of primitives in hot loops.
A case's *features* are how often the simulator charges each constant on it; they are kept beside the records
(`features.jsonl`), for simulating all cases takes a minute and fitting them a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import ConfigError
from sim.experiment.cost_model import MODEL, NULL_COPY, SELF, STACKED, Constant, counting_table
from sim.experiment.cost_model import READS as READ_SYMBOLS
from sim.experiment.kernel_case import Case, load_case, read_lines, run_case

Features = dict[Constant, float]

READS = {"seq131072": "seq128k", "seq4096": "seq4k", "rand4k": "rand4k"}
"""The names of access patterns in the ns records."""
STATUS = {"warm": "warm", "cold": "es_cold"}
KIB_4 = 4096
ENCRYPTED = "encrypted, by symbol"
"""The device of the cases around encryption: the rig's RAM device, which copies."""


@dataclass(slots=True)
class Measured:
    """
    One record of a whole case: what was measured, per 4 KiB read, and its features, per 4 KiB.

    device: "ram" (bio-based, no copy), "ram+copy", "null_blk"; with " by symbol" where the value is a sum
    over symbols. symbols, calls: of each recorded symbol; rep_bytes: instructions among them that are bytes
    of a `rep`, where that is recorded. value: instructions, or the least ns of all
    repetitions; boots: the median ns of each boot. fitted: whether constants are fitted to it.
    around: instructions a call that a cipher takes around its assembler code, by cipher, where recorded.
    """

    name: str
    device: str
    block_size: int
    layout: str
    path: str
    access: str
    status: str
    record: dict[str, Any] = field(repr=False)
    value: float = 0.0
    boots: tuple[float, ...] = ()
    symbols: dict[str, float] = field(default_factory=dict, repr=False)
    calls: dict[str, float] = field(default_factory=dict, repr=False)
    rep_bytes: dict[str, float] = field(default_factory=dict, repr=False)
    around: dict[str, float] = field(default_factory=dict, repr=False)
    features: Features = field(default_factory=dict, repr=False)
    fitted: bool = True

    @property
    def key(self) -> str:
        """What its features depend on."""
        device = "null_blk" if self.device.startswith("null_blk") else "ram"
        words = [device, self.block_size, self.layout, self.path, self.access, self.status]
        if self.device == ENCRYPTED:
            words.append(f"{self.record['file_bytes'] >> 20}M")
        if "read_ahead_kb" in self.record:
            words += [f"{self.record['file_bytes'] >> 20}M", f"ra{self.record['read_ahead_kb']}"]
        return "/".join(map(str, (*words, self.record.get("encryption") or "plain")))


@dataclass(frozen=True, slots=True)
class Primitive:
    """One hot loop: ns per turn. what, arg: which; the rest as in Measured."""

    name: str
    what: str
    arg: int
    block_size: int
    layout: str
    path: str
    status: str
    ns: float


@dataclass(slots=True)
class CostRecords:
    """
    All records. instructions, symbols, ns: of whole cases; held_out: instructions of cases of another rig and
    other images, to judge with; drops: symbols of dropping cached pages; stacked: symbols of reading through
    encryption below, in and above ext4; opens: symbols of opening a file, per file;
    primitives: hot loops; aes_ns: AES-256-XTS by the bytes of its unit; cbc_ns: AES-CBC decryption, least
    and most ns a byte by the bits of the key.
    """

    instructions: list[Measured]
    held_out: list[Measured]
    symbols: list[Measured]
    drops: list[Measured]
    stacked: list[Measured]
    opens: list[Measured]
    ns: list[Measured]
    primitives: list[Primitive]
    aes_ns: dict[int, float]
    cbc_ns: dict[int, tuple[float, float]]

    @property
    def whole(self) -> list[Measured]:
        """All records that are of whole cases of reading."""
        return [*self.instructions, *self.held_out, *self.symbols, *self.stacked, *self.ns]


def load_records(folder: Path) -> CostRecords:
    """
    Return the records of a folder (results/kernel/<version>), without features.

    Raises ConfigError for a file that is missing or not of this form.
    """
    instructions = [_instructions(record) for record in read_lines(folder / "instructions.jsonl")]
    held_out = [_instructions(record) for record in read_lines(folder / "instructions-held-out.jsonl")]
    for measured in held_out:
        measured.device, measured.name = "ram+copy, not fitted to", str(measured.record["case"])
    symbols: list[Measured] = []
    drops: list[Measured] = []
    for record in read_lines(folder / READ_SYMBOLS):
        (symbols if record["what"] == "read" else drops).append(_symbols(record))
    stacked, opens = [], []
    for record in read_lines(folder / STACKED):
        if record["what"] in ("open", "getxattr"):
            opens.append(_open(record))
        elif record["what"] == "read" and "aes-generic" not in record.get("encryption", ""):
            stacked.append(_stacked(record))
    ns, primitives = [], []
    for record in read_lines(folder / "uml-ns.jsonl"):
        if record["what"] in READS:
            if record["dev"] != "null_blk_mq" or record["what"] == "seq131072":
                ns.append(_ns(record))
        else:
            primitives.append(_primitive(record))
    aes_ns = {
        int(row["unit_bytes"]): float(row["ns_per_unit_min"]) for row in _rows(folder / "aes-xts-ns.json")
    }
    cbc_ns = {
        int(row["key_bits"]): (
            row["of_xts_min"] * aes_ns[KIB_4] / KIB_4,
            row["of_xts_max"] * aes_ns[KIB_4] / KIB_4,
        )
        for row in _rows(folder / "aes-cbc-ns.json")
    }
    return CostRecords(instructions, held_out, symbols, drops, stacked, opens, ns, primitives, aes_ns, cbc_ns)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a cipher's times. Raises ConfigError for a file that is missing or has none."""
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(str(path), f"is no record ({error!r})", "see the README") from error
    return rows


def _device(record: dict[str, Any]) -> str:
    if "null" in record["device"]:
        return "null_blk"
    return "ram+copy"


def _measured(record: dict[str, Any], device: str) -> Measured:
    case = ("block_size", "layout", "path", "access", "es")
    name = "/".join((device, *(str(record[key]) for key in case)))
    block_size, layout, path, access, status = (record[key] for key in case)
    return Measured(name, device, block_size, layout, path, access, status, record)


def _instructions(record: dict[str, Any]) -> Measured:
    measured = _measured(record, _device(record))
    measured.value = record["t_median"] / record["pages_read"]
    return measured


def _symbols(record: dict[str, Any]) -> Measured:
    """A recorded symbol that is counted as part of another adds to it."""
    whole = {part: entry.within for entry in MODEL.values() for part in entry.parts}
    measured = _measured(record, f"{_device(record)} by symbol")
    pages = record["pages_read"]
    for symbol, (calls, instructions, *rep_bytes) in record["symbols"].items():
        of = whole.get(symbol, symbol)
        if rep_bytes:
            measured.rep_bytes[of] = measured.rep_bytes.get(of, 0.0) + rep_bytes[0] / pages
        measured.symbols[of] = measured.symbols.get(of, 0.0) + instructions / pages
        measured.calls[symbol] = calls / pages
    _move_slab_pages(measured)
    entry = "entry_SYSCALL_64"  # the few instructions of the reader's own loop go with its system call
    measured.symbols[entry] = measured.symbols.get(entry, 0.0) + record["user"] / pages
    measured.value = sum(measured.symbols.values())
    return measured


def _stacked(record: dict[str, Any]) -> Measured:
    """
    A case of encryption around or in ext4.

    Constants are not fitted to cases whose symbols the compiler has melted into others (no_read_workqueue:
    kcryptd_crypt() into kcryptd_queue_crypt()), nor to fscrypt's, which symbols.jsonl has.
    """
    said = str(record.get("encryption", ""))
    measured = _symbols(_with_lower(record))
    _join_assembler(measured, "essiv" in said)
    measured.device = ENCRYPTED
    measured.name = f"{said or 'plain'}: {measured.name.partition('/')[2]}"
    measured.fitted = said.startswith(("dm-crypt", "eCryptfs")) and "no_read_workqueue" not in said
    if "aes-128" in said:  # a symbol has one cost, and this cipher another
        for counts in (measured.symbols, measured.calls):
            counts["cbc_decrypt_128"] = counts.pop("cbc_decrypt")
    return measured


def _with_lower(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with ext4's read_iter(), which eCryptfs calls on the lower file, in that call."""
    symbols = dict(record["symbols"])
    if "ecryptfs_read_lower" in symbols:
        calls, *mine = symbols["ecryptfs_read_lower"]
        ext4 = symbols.pop("ext4_file_read_iter")[1:]
        symbols["ecryptfs_read_lower"] = [calls, *map(sum, zip(mine, ext4, strict=True))]
    return record | {"symbols": symbols}


def _join_assembler(measured: Measured, essiv: bool) -> None:
    """Count the ciphers' assembler code to them, and keep what they take besides."""
    for cipher in ("xts_decrypt", "cbc_decrypt"):
        if cipher in measured.calls:
            measured.around[cipher] = measured.symbols[cipher] / measured.calls[cipher]
    for part, whole in (
        ("aesni_xts_decrypt", "xts_decrypt"),
        ("aesni_cbc_dec", "cbc_decrypt"),
        ("aesni_enc", "essiv_skcipher_decrypt" if essiv else "xts_decrypt"),
    ):
        if part in measured.symbols:
            measured.symbols[whole] += measured.symbols.pop(part)
            del measured.calls[part]


def _open(record: dict[str, Any]) -> Measured:
    """
    A record of opening files, or of reading their xattrs: per file. It is not simulated.

    The model opens a file once, so constants are fitted to opens for the first time.
    """
    block_size, scheme, state = record["block_size"], record["scheme"], record["state"]
    measured = Measured(record["case"], "open", block_size, scheme, "", record["what"], state, record)
    for symbol, (calls, instructions, rep_bytes) in _with_lower(record)["symbols"].items():
        measured.symbols[symbol] = instructions / record["times"]
        measured.calls[symbol] = calls / record["times"]
        measured.rep_bytes[symbol] = rep_bytes / record["times"]
    calls = measured.calls.get("ext4_xattr_get", 0.0)
    if calls:
        measured.features["ext4_xattr_get", SELF] = calls
        measured.features["ext4_xattr_get", "block"] = calls * (scheme == "block")
    measured.fitted = record["what"] == "getxattr" or (scheme != "plain" and state in ("cold", "all_cold"))
    measured.value = sum(measured.symbols.values())
    return measured


def _move_slab_pages(measured: Measured) -> None:
    """
    Count the clearing of slab pages to what fills them: on these cases, buffer heads.

    clear_page_erms runs for each page of the file, and for a page of 39 buffer heads when a slab grows.
    """
    cleared, inserted = (measured.calls.get(s, 0.0) for s in ("clear_page_erms", "filemap_alloc_folio"))
    if cleared > inserted > 0 and measured.symbols.get("alloc_buffer_head"):
        of_slab = measured.symbols["clear_page_erms"] * (1 - inserted / cleared)
        measured.symbols["clear_page_erms"] -= of_slab
        measured.symbols["alloc_buffer_head"] += of_slab
        measured.calls["clear_page_erms"] = inserted


def _ns(record: dict[str, Any]) -> Measured:
    device = (
        "null_blk" if record["dev"] == "null_blk_mq" else "ram+copy" if record["dev_copies_data"] else "ram"
    )
    block_size, layout = record["block_size"], record["layout"]
    case = {
        "block_size": block_size,
        "layout": layout,
        "path": record["path"],
        "access": READS[record["what"]],
        "es": STATUS[record["es"]],
        "file_bytes": record["units"] * KIB_4,
        "pages_read": record["units"],
        "layout_file": f"layout_umlimg_bs{block_size}_{layout}.json",
    }
    measured = _measured(case, device)
    measured.value = float(record["ns_per_unit_min"])
    measured.boots = tuple(record["ns_per_unit_median_of_boots"])
    return measured


def _primitive(record: dict[str, Any]) -> Primitive:
    device = (
        "null_blk" if record["dev"] == "null_blk_mq" else "ram+copy" if record["dev_copies_data"] else "ram"
    )
    block_size, what, arg = record["block_size"], record["what"], record["arg"]
    name = f"{device}/{block_size}/{record['layout']}/{record['path']}/{what} {arg}/{record['es']}"
    return Primitive(
        name,
        what,
        arg,
        block_size,
        record["layout"],
        record["path"],
        record["es"],
        float(record["ns_per_unit_min"]),
    )


def _simulate(task: tuple[str, dict[str, Any], str, str]) -> tuple[str, Features]:
    """Simulate one case; return its key and features."""
    key, record, layouts, device = task
    case: Case = load_case(record | {"case": key}, Path(layouts), key)
    machine = run_case(case, counting_table(), device=device)
    features: Features = {}
    pages = int(record["pages_read"])
    for row in machine.ledger.rows():
        if device == "null_blk" and row.symbol == "memcpy_page":
            features[NULL_COPY] = row.units / pages
            continue
        for what, count in ((SELF, row.calls), (MODEL[row.symbol].unit, row.units)):
            if count and what:
                features[row.symbol, what] = features.get((row.symbol, what), 0.0) + count / pages
    return key, features


def simulate_features(
    records: CostRecords,
    layouts: Path,
    jobs: int,
    known: dict[str, Features],
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Features]:
    """Return the features of all cases, by key; those not `known` are simulated, in `jobs` processes."""
    tasks: dict[str, tuple[str, dict[str, Any], str, str]] = {}
    for measured in records.whole:
        if measured.key in known:
            continue
        device = "null_blk" if measured.device.startswith("null_blk") else "ram+copy"
        tasks.setdefault(measured.key, (measured.key, measured.record, str(layouts), device))
    features = {key: known[key] for key in {m.key for m in records.whole} & known.keys()}
    with ProcessPoolExecutor(jobs) as pool:
        for key, counts in pool.map(_simulate, tasks.values()):
            features[key] = counts
            watch(len(features), len(tasks))
    return features


def attach_features(records: CostRecords, features: dict[str, Features]) -> None:
    """
    Give each case its features. Raises ConfigError naming a case that has none.

    A reader inside the kernel makes no system calls, and a device that copies nothing does not copy: all else
    is the same, and simulated once.
    """
    for measured in records.whole:
        if measured.key not in features:
            raise ConfigError("features.jsonl", f"has no case {measured.key!r}", "readpath calibrate costs")
        measured.features = {
            constant: count
            for constant, count in features[measured.key].items()
            if (measured.device != "ram" or constant[0] != "memcpy_page")
            and ("case" in measured.record or constant[0] != "entry_SYSCALL_64")
        }


def write_features(path: Path, features: dict[str, Features]) -> None:
    """Write features as JSON lines, counts to ten digits."""
    lines = []
    for key, counts in sorted(features.items()):
        flat = {
            f"{symbol}:{what}": float(f"{count:.10g}") for (symbol, what), count in sorted(counts.items())
        }
        lines.append(json.dumps({"case": key, "counts": flat}, separators=(",", ":")))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_features(path: Path) -> dict[str, Features]:
    """Return what write_features() wrote."""
    features: dict[str, Features] = {}
    for line in read_lines(path):
        features[line["case"]] = {
            (symbol, what): float(count)
            for word, count in line["counts"].items()
            for symbol, _, what in [word.rpartition(":")]
        }
    return features
