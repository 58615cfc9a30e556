"""
The inode: its codec, its flags, and what its mode says.

Source of the format: Documentation/filesystems/ext4 (inodes.rst), Linux 6.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sim.ext4.format.extents import ROOT_BYTES

GOOD_OLD_BYTES = 128
EXTRA_ISIZE = 32
ROOT_INODE = 2
LOST_AND_FOUND_INODE = 11
FIRST_USER_INODE = 11

EA_REFERENCES_AT = 0x24
"""The version of an inode, of which an ea_inode makes its count of references."""
EA_DIGEST_AT, _EA_REFERENCES_HIGH_AT = 0x08, 0x0C
"""Its seconds of access and of change."""

FLAG_IMMUTABLE = 0x10
FLAG_APPEND = 0x20
FLAG_ENCRYPTED = 0x800
FLAG_INDEXED_DIRECTORY = 0x1000
FLAG_IMAGIC = 0x2000
FLAG_HUGE_FILE = 0x40000
FLAG_EXTENTS = 0x80000
FLAG_VERITY = 0x100000
FLAG_EA_INODE = 0x200000
FLAG_INLINE_DATA = 0x10000000
FLAG_CASEFOLD = 0x40000000

INLINE_PARENT_BYTES = 4
"""The head of a directory that lies in its inode: the number of the one above it."""

_TYPE_MASK = 0xF000
TYPE_DIRECTORY = 0x4000
TYPE_REGULAR = 0x8000
TYPE_SYMLINK = 0xA000
TYPE_WORDS = {
    0x1000: "fifo",
    0x2000: "character device",
    TYPE_DIRECTORY: "directory",
    0x6000: "block device",
    TYPE_REGULAR: "file",
    TYPE_SYMLINK: "symlink",
    0xC000: "socket",
}
DIRENT_TYPES = {
    TYPE_REGULAR: 1,
    TYPE_DIRECTORY: 2,
    0x2000: 3,
    0x6000: 4,
    0x1000: 5,
    0xC000: 6,
    TYPE_SYMLINK: 7,
}

_BASE = struct.Struct("<HHIIIIIHHIII60sIIIIHHHHHH")
_EXTRA = struct.Struct("<HHIIIIIII")
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RawInode:
    """
    The fields of an inode on disk.

    size_bytes: of the contents. sectors: 512-byte sectors taken, tree and xattr blocks included.
    block: the 60 bytes that hold the root of the extent tree, or the target of a short symlink.
    xattr_block: the physical block of further xattrs, 0 for none. Times in ns since 1970.
    """

    mode: int
    links: int
    size_bytes: int = 0
    sectors: int = 0
    flags: int = 0
    block: bytes = bytes(ROOT_BYTES)
    xattr_block: int = 0
    atime_ns: int = 0
    ctime_ns: int = 0
    mtime_ns: int = 0
    dtime_s: int = 0
    uid: int = 0
    gid: int = 0
    generation: int = 0
    extra_isize: int = EXTRA_ISIZE

    @property
    def type(self) -> int:
        """The file type bits of the mode."""
        return self.mode & _TYPE_MASK

    def encode(self) -> bytes:
        """Return the 160 bytes of the inode without its xattrs; times before 1970 are not written."""
        times = [divmod(t, _NS_PER_S) for t in (self.atime_ns, self.ctime_ns, self.mtime_ns)]
        (atime, atime_x), (ctime, ctime_x), (mtime, mtime_x) = ((s & 0xFFFF_FFFF, ns << 2) for s, ns in times)
        base = _BASE.pack(
            self.mode,
            self.uid & 0xFFFF,
            self.size_bytes & 0xFFFF_FFFF,
            atime,
            ctime,
            mtime,
            self.dtime_s,
            self.gid & 0xFFFF,
            self.links,
            self.sectors & 0xFFFF_FFFF,
            self.flags,
            0,
            self.block,
            self.generation,
            self.xattr_block & 0xFFFF_FFFF,
            self.size_bytes >> 32,
            0,
            self.sectors >> 32,
            self.xattr_block >> 32,
            self.uid >> 16,
            self.gid >> 16,
            0,
            0,
        )
        return base + _EXTRA.pack(
            EXTRA_ISIZE, 0, ctime_x, mtime_x, atime_x, ctime & 0xFFFF_FFFF, ctime_x, 0, 0
        )


def _time_ns(seconds: int, extra: int) -> int:
    # The low two bits extend the signed 32-bit seconds beyond 2038, the rest are nanoseconds.
    signed = seconds - (1 << 32) if seconds >= 1 << 31 else seconds
    return (signed + ((extra & 3) << 32)) * _NS_PER_S + (extra >> 2)


def decode_inode(raw: bytes | memoryview) -> RawInode:
    """Return the inode in its 128 or more bytes; only the layout is decoded, nothing is judged."""
    (
        mode,
        uid,
        size_lo,
        atime,
        ctime,
        mtime,
        dtime,
        gid,
        links,
        sectors_lo,
        flags,
        _version,
        block,
        generation,
        xattr_lo,
        size_hi,
        _fragment,
        sectors_hi,
        xattr_hi,
        uid_hi,
        gid_hi,
        _checksum,
        _reserved,
    ) = _BASE.unpack_from(raw)
    extra_isize = struct.unpack_from("<H", raw, GOOD_OLD_BYTES)[0] if len(raw) > GOOD_OLD_BYTES else 0
    extras = raw[GOOD_OLD_BYTES : GOOD_OLD_BYTES + extra_isize]
    ctime_x, mtime_x, atime_x = (
        struct.unpack_from("<I", extras, at)[0] if len(extras) >= at + 4 else 0 for at in (4, 8, 12)
    )
    return RawInode(
        mode=mode,
        links=links,
        size_bytes=size_hi << 32 | size_lo,
        sectors=sectors_hi << 32 | sectors_lo,
        flags=flags,
        block=block,
        xattr_block=xattr_hi << 32 | xattr_lo,
        atime_ns=_time_ns(atime, atime_x),
        ctime_ns=_time_ns(ctime, ctime_x),
        mtime_ns=_time_ns(mtime, mtime_x),
        dtime_s=dtime,
        uid=uid_hi << 16 | uid,
        gid=gid_hi << 16 | gid,
        generation=generation,
        extra_isize=extra_isize,
    )


def ea_inode(size_bytes: int, digest: int, sectors: int, root: bytes, uid: int = 0, gid: int = 0) -> bytes:
    """
    Return the 160 bytes of an inode that holds an xattr value with one reference.

    digest: the value's hash, kept as seconds of access; the references are kept in the version and the
    seconds of change. Source: fs/ext4/xattr.c, Linux 6.1.
    """
    raw = bytearray(
        RawInode(
            mode=TYPE_REGULAR | 0o600,
            links=1,
            size_bytes=size_bytes,
            sectors=sectors,
            flags=FLAG_EXTENTS | FLAG_EA_INODE,
            block=root,
            atime_ns=digest * _NS_PER_S,
            uid=uid,
            gid=gid,
        ).encode()
    )
    struct.pack_into("<I", raw, EA_REFERENCES_AT, 1)
    return bytes(raw)


def ea_digest(raw: bytes | memoryview) -> int:
    """Return the hash of its value that an ea_inode keeps."""
    return int(struct.unpack_from("<I", raw, EA_DIGEST_AT)[0])


def ea_references(raw: bytes | memoryview) -> int:
    """Return how many xattrs have their value in an ea_inode, as it says itself."""
    high, low = (struct.unpack_from("<I", raw, at)[0] for at in (_EA_REFERENCES_HIGH_AT, EA_REFERENCES_AT))
    return int(high << 32 | low)
