"""
What write(2) of a page calls, by the pair of write_begin and write_end: symbols for the sites of
buffered_write.py.
"""

from __future__ import annotations

from typing import Final

from sim.engine.ledger import under

DELALLOC: Final = 0
NODELALLOC: Final = 1
JOURNALLED: Final = 2
PLAIN: Final = 3
FALL_BACK: Final = 4
"""
Which pair of write_begin and write_end; FALL_BACK: ext4_da_write_begin() on a nearly full volume, which does
what NODELALLOC does.
"""

MODES: Final = (DELALLOC, NODELALLOC, JOURNALLED, PLAIN, FALL_BACK)
HAVE_HANDLES: Final = (NODELALLOC, JOURNALLED, FALL_BACK)
"""Those that have a handle for each page."""
WRITE: Final = "entry_SYSCALL_64;vfs_write"
"""The folded stack of write(2) that calls ->write_iter; who writes a file below its own has another."""
LOOP: Final = "ext4_file_write_iter;ext4_buffered_write_iter;generic_perform_write"
GRAB: Final = "grab_cache_page_write_begin;pagecache_get_page;__filemap_get_folio"
BEGIN: Final = (
    "ext4_da_write_begin",
    "ext4_write_begin",
    "ext4_write_begin",
    "block_write_begin",
    "ext4_da_write_begin;ext4_write_begin",
)


def chain(stack: str) -> str:
    """Return each symbol of a folded stack as a call of the one before."""
    symbols = stack.split(";")
    return " ".join(";".join(symbols[: depth + 1]) for depth in range(len(symbols)))


GRABBED: Final = chain(GRAB)
_STABLE: Final = chain("wait_for_stable_page;folio_wait_stable")
BALANCE: Final = chain("balance_dirty_pages_ratelimited;balance_dirty_pages_ratelimited_flags")
_ENDED: Final = "generic_write_end generic_write_end;folio_unlock"
_NODELALLOC_END: Final = "ext4_write_end ext4_write_end;block_write_end ext4_write_end;folio_unlock"
_CREDITS: Final = chain("ext4_writepage_trans_blocks;ext4_ext_index_trans_blocks")


def calls_of_write(caller: str) -> str:
    """Return what one write of a file calls, its pages apart: with write(2), or below another caller."""
    return chain(f"{WRITE};{LOOP}") if caller == WRITE else under(caller, chain(LOOP))


def calls_of_page(mode: int, caller: str) -> str:
    """Return what every page of a write calls, whatever is cached of it."""
    up = f"{caller};{LOOP}"
    common = under(up, f"copy_page_from_iter_atomic {BALANCE}")
    begin = BEGIN[mode]
    if mode == DELALLOC:
        inner = f"ext4_nonda_switch {GRABBED} {_STABLE} ext4_block_write_begin"
        end = f"ext4_da_write_end {under('ext4_da_write_end', _ENDED)}"
    elif mode == PLAIN:
        inner = f"{GRABBED} __block_write_begin_int"
        end = _ENDED
    else:
        inner = f"{_CREDITS} {GRABBED} folio_unlock {_STABLE} ext4_block_write_begin"
        end = "ext4_journalled_write_end ext4_journalled_write_end;folio_unlock"
        if mode == NODELALLOC:
            end = _NODELALLOC_END
    if mode == FALL_BACK:
        before = "ext4_da_write_begin ext4_da_write_begin;ext4_nonda_switch"
        end = f"ext4_da_write_end {under('ext4_da_write_end', _NODELALLOC_END)}"
        return f"{common} {under(up, f'{before} {begin} {under(begin, inner)} {end}')}"
    return f"{common} {under(up, f'{begin} {under(begin, inner)} {end}')}"
