"""
Directory blocks, xattrs and inodes: what is written is read back, what cannot be is refused.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import ConfigError, ImageError
from sim.ext4.format import dirs, xattr
from sim.ext4.format.inode import RawInode, decode_inode

SETTINGS = settings(max_examples=60, derandomize=True, deadline=None, database=None)

NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
KEYS = st.tuples(
    st.integers(1, 255), st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name)
)


@SETTINGS
@given(st.lists(st.builds(dirs.DirEntry, st.integers(1, 2**32 - 1), NAMES, st.integers(0, 7)), max_size=40))
def test_directory_blocks_come_back(entries: list[dirs.DirEntry]) -> None:
    """Entries keep their order over as many blocks as they need, and each block is full to its end."""
    blocks = dirs.encode_blocks(entries, 1024)
    assert all(1024 == len(block) for block in blocks if entries)
    assert entries == [entry for block in blocks for entry in dirs.decode_block(block, "d")]


@pytest.mark.parametrize(
    ("offset", "new", "words"),
    [
        (4, struct.pack("<H", 0), "record of 0 bytes"),
        (4, struct.pack("<H", 6), "record of 6 bytes"),
        (4, struct.pack("<H", 13), "record of 13 bytes"),
        (4, struct.pack("<H", 1028), "record of 1028 bytes"),
        (4, struct.pack("<H", 1020), "record of 0 bytes with a name of 0 at byte 1020"),
        (6, b"\xff", "name of 255"),
        (6, b"\0", "the name b''"),
        (8, b"/", "no slash"),
    ],
)
def test_bad_directory_records_are_refused(offset: int, new: bytes, words: str) -> None:
    """Lengths that lead nowhere, beyond the block or below the name are told with their byte."""
    block = bytearray(dirs.encode_blocks([dirs.DirEntry(12, b"a", 1), dirs.DirEntry(13, b"b", 1)], 1024)[0])
    block[offset : offset + len(new)] = new
    with pytest.raises(ImageError, match=words):
        dirs.decode_block(block, "d")


def test_ciphertext_names_may_hold_any_byte() -> None:
    """In an encrypted directory a slash or NUL is part of the name."""
    block = dirs.encode_blocks([dirs.DirEntry(12, b"a/\0", 1)], 1024)[0]
    assert [dirs.DirEntry(12, b"a/\0", 1)] == dirs.decode_block(block, "d", opaque_names=True)


@SETTINGS
@given(st.dictionaries(KEYS, st.binary(max_size=200), max_size=6))
def test_xattrs_come_back(xattrs: dict[tuple[int, bytes], bytes]) -> None:
    """Every xattr is found again, in the inode or in the block, and never in both."""
    body, block = xattr.split_xattrs("t", xattrs, 96, 4096)
    assert xattrs == {**body, **block}
    assert not body.keys() & block.keys()
    encoded = xattr.encode_body(body, 96)
    assert 96 == len(encoded)
    assert body == xattr.decode_body(encoded, "t")
    assert block == xattr.decode_block(xattr.encode_block(block, 4096), "t")


def test_the_context_stays_in_the_inode() -> None:
    """The encryption context has the first claim on the space in the inode."""
    key = (xattr.INDEX_ENCRYPTION, xattr.ENCRYPTION_NAME)
    body, block = xattr.split_xattrs("t", {(1, b"a"): b"x" * 20, key: bytes(40)}, 96, 1024)
    assert ({key}, {(1, b"a")}) == (set(body), set(block))


@pytest.mark.parametrize("key", [(1, b""), (1, b"n" * 256), (0, b"n"), (256, b"n"), (1, b"a\0b")])
def test_impossible_xattr_names_are_refused(key: tuple[int, bytes]) -> None:
    """A name or index that an entry cannot hold is a ConfigError."""
    with pytest.raises(ConfigError, match="xattr"):
        xattr.split_xattrs("t", {key: b""}, 96, 1024)


def test_entries_without_an_end_are_refused() -> None:
    """Entries that run to the end of their space without an end mark are damage."""
    area = bytearray(xattr.encode_body({(1, b"name"): b""}, 28))
    area[24:] = b"\1\1\0\0"
    with pytest.raises(ImageError, match="xattr"):
        xattr.decode_body(bytes(area), "t")


@SETTINGS
@given(
    st.builds(
        RawInode,
        mode=st.integers(0, 0xFFFF),
        links=st.integers(0, 0xFFFF),
        size_bytes=st.integers(0, 2**63),
        sectors=st.integers(0, 2**48 - 1),
        flags=st.integers(0, 2**32 - 1),
        block=st.binary(min_size=60, max_size=60),
        xattr_block=st.integers(0, 2**48 - 1),
        atime_ns=st.integers(0, 2**31 * 10**9 - 1),
        ctime_ns=st.integers(0, 2**31 * 10**9 - 1),
        mtime_ns=st.integers(0, 2**31 * 10**9 - 1),
        uid=st.integers(0, 2**32 - 1),
        gid=st.integers(0, 2**32 - 1),
        generation=st.integers(0, 2**32 - 1),
    )
)
def test_inodes_come_back(inode: RawInode) -> None:
    """Every field of an inode keeps its value, split halves and nanoseconds included."""
    raw = inode.encode()
    assert 160 == len(raw)
    assert inode == decode_inode(raw)


def test_times_beyond_2038() -> None:
    """The two extra bits carry the seconds to 2446; without them a set top bit is before 1970."""
    raw = bytearray(RawInode(mode=0, links=0).encode())
    raw[0x10:0x14] = struct.pack("<i", -(2**31))
    assert -(2**31) * 10**9 == decode_inode(raw).mtime_ns
    raw[0x88:0x8C] = struct.pack("<I", 7 << 2 | 1)
    assert 2**31 * 10**9 + 7 == decode_inode(raw).mtime_ns
