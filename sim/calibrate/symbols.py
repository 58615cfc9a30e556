"""
Records of instructions by kernel symbol: reads of plain files, reads through encryption, opening a file.
"""

from __future__ import annotations

from typing import Any

from sim.block.drivers.modules import DRIVERS
from sim.calibrate.constants import MODEL, SELF
from sim.calibrate.measured import ENCRYPTED, Measured, device_of, measured_case
from sim.records.devices import EMULATED

SIDE_BY_SIDE = (4096, "frag4")
"""Block size and layout of the cases through drivers that constants are not fitted to."""


def by_symbol(record: dict[str, Any]) -> Measured:
    """A recorded symbol that is counted as part of another adds to it."""
    whole = {part: entry.within for entry in MODEL.values() for part in entry.parts}
    measured = measured_case(record, f"{device_of(record)} by symbol")
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


def stacked_case(record: dict[str, Any]) -> Measured:
    """
    A case of encryption around or in ext4.

    Constants are not fitted to cases whose symbols the compiler has melted into others (no_read_workqueue:
    kcryptd_crypt() into kcryptd_queue_crypt()), nor to fscrypt's, which symbols.jsonl has.
    """
    said = str(record.get("encryption", ""))
    measured = by_symbol(_with_lower(record))
    _join_assembler(measured, "essiv" in said)
    measured.device = ENCRYPTED
    measured.name = f"{said or 'plain'}: {measured.name.partition('/')[2]}"
    measured.fitted = said.startswith(("dm-crypt", "eCryptfs")) and "no_read_workqueue" not in said
    if "aes-128" in said:  # a symbol has one cost, and this cipher another
        for counts in (measured.symbols, measured.calls):
            counts["cbc_decrypt_128"] = counts.pop("cbc_decrypt")
    return measured


def driven_case(record: dict[str, Any]) -> Measured:
    """
    A case read through a driver of hardware: what the driver calls, and no more of it.

    What is above, the other records have; how often a reader sleeps is a matter of the device's time. Not
    fitted to where a request holds a few pages (SIDE_BY_SIDE): some lay side by side in memory, as what
    ahci_qc_prep took shows, 23 instructions a run; the model takes pages as scattered.
    """
    measured = by_symbol(record)
    driver = DRIVERS[EMULATED[measured.runs_on].driver]
    ours = {MODEL[symbol].within for symbol in driver.symbols if symbol in MODEL}
    if "blk_mq_complete_request" in ours:  # READS has the two as one
        inner = measured.symbols.pop("blk_mq_complete_request_remote")
        measured.symbols["blk_mq_complete_request"] += inner
    measured.symbols = {symbol: taken for symbol, taken in measured.symbols.items() if symbol in ours}
    measured.calls = {symbol: calls for symbol, calls in measured.calls.items() if symbol in ours}
    measured.fitted = (measured.block_size, measured.layout) != SIDE_BY_SIDE
    measured.value = sum(measured.symbols.values())
    measured.device = f"{measured.runs_on}'s driver"
    measured.name = f"{measured.device}/{measured.name.partition('/')[2]}"
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


def opening(record: dict[str, Any]) -> Measured:
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
