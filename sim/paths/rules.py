"""
What differs between kernel versions for the read paths, as data; sim/kernels.py says which version has what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class PathRules:
    """
    What differs between kernels, as of 6.1 unless said otherwise.

    one_pass: block_read_full_folio() maps, locks and submits block by block, always one block behind; else it
    maps all of the folio first. exact_room: a bio for at most 4 vectors has room for as many as were asked
    for; else for 4. asks_contexts: every bio is asked whether it needs an encryption context, and every folio
    that meets an open bio whether it may join it, those of plain files too. own_bios: a bio of iomap ends
    with its mapping; else it goes on where sectors follow. first_sure: iomap puts the first folio into a bio
    by a call that cannot fail, and is part of its caller. unlocks_counted: a folio read through buffer heads
    is unlocked where its last block comes, whatever holes it has. decrypts_below: fscrypt's files are
    decrypted by blk-crypto-fallback, below the file system. verity: how reads of files with
    fs-verity are modelled: "" not, "worker": who verifies reads the tree, "ahead": readahead does, before the
    data. fails_whole_bios: a post-read step that finds a page bad fails its bio (bi_status, since 6.2);
    else that page alone (PG_error).
    """

    one_pass: bool = False
    exact_room: bool = False
    asks_contexts: bool = False
    own_bios: bool = False
    first_sure: bool = False
    unlocks_counted: bool = False
    decrypts_below: bool = False
    verity: Literal["", "worker", "ahead"] = ""
    fails_whole_bios: bool = False


LINUX_3_16: Final = PathRules()
LINUX_6_1: Final = PathRules(verity="worker")
LINUX_6_12: Final = PathRules(first_sure=True, unlocks_counted=True, fails_whole_bios=True)
LINUX_7_3: Final = PathRules(
    one_pass=True,
    exact_room=True,
    asks_contexts=True,
    own_bios=True,
    first_sure=True,
    unlocks_counted=True,
    decrypts_below=True,
    verity="ahead",
    fails_whole_bios=True,
)
