"""
No plaintext without the right key, whatever was done to what is stored: every scheme.

Damaged are the blocks, the header or the wrapped keys: bits, cuts, versions, parts of another file, and the
old packets put back after a user was removed. Whoever has no key reads nothing in any case. Whoever has one
reads what was stored in places that were left alone, or gets an error; nobody gets another file's contents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.dmcrypt import CBC_ESSIV, XTS_PLAIN64, DmCrypt
from sim.crypto.ecryptfs import HEADER_BYTES, LowerFile, LowerHeader
from sim.crypto.fscrypt.contexts import ContentsCipher, Context, MasterKey
from sim.crypto.keys.data_units import GcmContents, contents_cipher
from sim.crypto.keys.file_keys import (
    FORMATS,
    MODE_AES_256_GCM,
    MODE_AES_256_XTS,
    MODE_GROUP_KEY,
    FileKey,
    KeyRing,
    UserKey,
    add_user,
    context,
    parse_context,
    remove_user,
    wrap,
)
from sim.crypto.keys.policies import AnyOf, Escrow, GroupKey, KOfN, OwnerOnly, Policy, wrap_by_policy
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError

BLOCK_BYTES, BLOCKS = 1024, 4
FILE_BYTES = BLOCK_BYTES * BLOCKS
RIGHT, WRONG = "right", "wrong"
KEYS = {who: NamedStream(4, who)(64) for who in (RIGHT, WRONG)}


def plain_of(file: int) -> bytes:
    """Return the contents of one of two files, of which no two blocks of AES are alike."""
    return hashlib.shake_128(b"file %d" % file).digest(FILE_BYTES)


AES_BLOCKS = {file: {plain_of(file)[at : at + 16] for at in range(0, FILE_BYTES, 16)} for file in (0, 1)}


@dataclass(frozen=True)
class Stored:
    """What lies on the disk of a file: its blocks, what stands in front of them, wrapped keys and tags."""

    blocks: bytes
    head: bytes
    keys: bytes = b""
    tags: bytes = b""


@dataclass(frozen=True)
class Scheme:
    """
    write(file) -> what is stored of it, for RIGHT. read(who, stored) -> contents, or a CryptoError.

    checked: whether every change to the blocks is told. unit_bytes: how far a change of a bit reaches.
    """

    write: Callable[[int], Stored]
    read: Callable[[str, Stored], bytes]
    checked: bool = False
    unit_bytes: int = BLOCK_BYTES


def fscrypt(version: int, flags: int) -> Scheme:
    """fscrypt; the image of inline encryption is that of v2."""
    master = {who: MasterKey(key) for who, key in KEYS.items()}
    reference = bytes(8) if version == 1 else master[RIGHT].identifier

    def cipher(who: str, head: bytes) -> ContentsCipher:
        return ContentsCipher(
            master[who],
            Context.parse(head),
            BLOCK_BYTES,
            inode_number=12 + head[-1] % 2,
            filesystem_uuid=bytes(16),
        )

    def write(file: int) -> Stored:
        head = Context(version, 1, 4, flags, reference, bytes((7,)) * 15 + bytes((file,))).to_bytes()
        return Stored(cipher(RIGHT, head).encrypt_blocks(plain_of(file), 0), head)

    return Scheme(write, lambda who, said: cipher(who, said.head).decrypt_blocks(said.blocks, 0))


def dm_crypt(name: str, key_bytes: int) -> Scheme:
    """Two files at two places of a device."""

    def sectors(who: str) -> DmCrypt:
        return DmCrypt(name, KEYS[who][:key_bytes])

    return Scheme(
        lambda file: Stored(sectors(RIGHT).encrypt(plain_of(file), 64 * (file + 1)), bytes((file,))),
        lambda who, said: sectors(who).decrypt(said.blocks, 64 * (1 + (said.head[:1] == b"\1"))),
        unit_bytes=512,
    )


def ecryptfs(key_bytes: int) -> Scheme:
    """Lower files with a key each."""

    def write(file: int) -> Stored:
        lower = LowerFile.create(FILE_BYTES, KEYS[RIGHT], NamedStream(file, "lower"), key_bytes=key_bytes)
        raw = lower.lower_contents(plain_of(file))
        return Stored(raw[HEADER_BYTES:], raw[:256])

    def read(who: str, said: Stored) -> bytes:
        return LowerFile(LowerHeader.parse(said.head), KEYS[who]).decrypt_extents(said.blocks, 0)

    return Scheme(write, read, unit_bytes=4096)


MEMBERS = ("one", "two", "three")
RINGS = {
    who: KeyRing(UserKey(user, NamedStream(4, f"{who} {user}")(64)) for user in (*MEMBERS, "@group"))
    for who in KEYS
}
POLICIES: dict[str, tuple[Policy, list[str]]] = {
    "owner": (OwnerOnly("one"), ["one"]),
    "any of": (AnyOf(MEMBERS), ["two"]),
    "group": (GroupKey("@group"), ["@group"]),
    "escrow": (Escrow(OwnerOnly("one"), "three"), ["three"]),
    "2 of 3": (KOfN(2, MEMBERS), ["one", "three"]),
}


def file_keys(form: str, mode: int, policy: str) -> Scheme:
    """Keys of files, wrapped as a policy says; a stranger's keys bear the names of the users'."""
    said_policy, readers = POLICIES[policy]

    def write(file: int) -> Stored:
        key = FileKey.generate(NamedStream(file, "key"), mode)
        cipher = contents_cipher(key, BLOCK_BYTES, bytes(20 * BLOCKS))
        blocks = cipher.encrypt_blocks(plain_of(file), 0)
        keys = wrap_by_policy(form, key, said_policy, RINGS[RIGHT], NamedStream(file, "wrap"))
        return Stored(
            blocks, context(mode), keys, bytes(cipher.table) if isinstance(cipher, GcmContents) else b""
        )

    def read(who: str, said: Stored) -> bytes:
        key = RINGS[who].unwrap(said.keys, readers)
        if key.mode != parse_context(said.head, "here"):
            raise CryptoError("here", "a key of another mode")
        return contents_cipher(key, BLOCK_BYTES, said.tags).decrypt_blocks(said.blocks, 0)

    return Scheme(write, read, checked=mode == MODE_AES_256_GCM)


SCHEMES = {
    "fscrypt v1": fscrypt(1, 3),
    "fscrypt v2, inline": fscrypt(2, 3),
    "fscrypt v2 IV_INO_LBLK_64": fscrypt(2, 3 | 8),
    "dm-crypt xts": dm_crypt(XTS_PLAIN64, 64),
    "dm-crypt cbc-essiv": dm_crypt(CBC_ESSIV, 32),
    "ecryptfs 128": ecryptfs(16),
    "ecryptfs 256": ecryptfs(32),
} | {
    f"file-keys {form} {word} {policy}": file_keys(form, mode, policy)
    for form in FORMATS
    for word, mode in (("xts", MODE_AES_256_XTS), ("gcm", MODE_AES_256_GCM))
    for policy in POLICIES
}
PARTS = ("blocks", "head", "keys", "tags")


def draw_damage(data: st.DataObject, one: Stored, other: Stored) -> Stored:
    """Return what is stored with a bit changed, a part cut, that of the other file, or another version."""
    part = data.draw(st.sampled_from([name for name in PARTS if getattr(one, name)]))
    value = getattr(one, part)
    kind = data.draw(st.sampled_from(["bit", "cut", "other file", "version"]))
    if kind == "bit":
        at = data.draw(st.integers(0, 8 * len(value) - 1))
        changed = bytearray(value)
        changed[at // 8] ^= 1 << at % 8
        return replace(one, **{part: bytes(changed)})
    if kind == "cut":
        return replace(one, **{part: value[: data.draw(st.integers(0, len(value) - 1))]})
    if kind == "version":
        return replace(one, **{part: bytes((data.draw(st.integers(0, 255)),)) + value[1:]})
    return replace(one, **{part: getattr(other, part)})


def read(scheme: Scheme, who: str, stored: Stored) -> bytes | None:
    """Return what comes out, None for a CryptoError; anything else is a bug."""
    try:
        return scheme.read(who, stored)
    except CryptoError:
        return None


def aes_blocks(data: bytes | None) -> set[bytes]:
    """Return the 16-byte pieces of what came out."""
    return {data[at : at + 16] for at in range(0, len(data), 16)} if data else set()


@pytest.mark.parametrize("name", SCHEMES)
@given(data=st.data())
@settings(max_examples=25)
def test_damage(name: str, data: st.DataObject) -> None:
    """
    A stranger reads not one block of AES. The reader gets a prefix or blocks of the file, noise or an error.

    With GCM: never noise. And never anything of the other file, whose packets, tags or blocks were put in.
    """
    scheme = SCHEMES[name]
    one, other = scheme.write(0), scheme.write(1)
    assert plain_of(0) == read(scheme, RIGHT, one)
    assert not aes_blocks(read(scheme, WRONG, one)) & AES_BLOCKS[0]
    damaged = draw_damage(data, one, other)
    everything = AES_BLOCKS[0] | AES_BLOCKS[1]
    assert not aes_blocks(read(scheme, WRONG, damaged)) & everything
    found = read(scheme, RIGHT, damaged)
    if found is None:
        return
    if scheme.checked:
        assert plain_of(0).startswith(found)
    if damaged.keys not in (one.keys, other.keys):
        assert plain_of(0) == found  # a wrapped key that opens is the one that was wrapped
    if damaged.blocks == one.blocks and damaged.head == one.head:
        assert found == plain_of(0) or not aes_blocks(found) & everything
    if damaged.blocks != other.blocks:
        assert not aes_blocks(found) & AES_BLOCKS[1]
    elif name.startswith(("file-keys", "ecryptfs", "fscrypt v1", "fscrypt v2,")):
        assert not aes_blocks(found) & everything  # a key of its own: the other's blocks are noise
    if len(damaged.blocks) == len(one.blocks) and damaged.head == one.head and damaged.keys == one.keys:
        units = [slice(at, at + scheme.unit_bytes) for at in range(0, FILE_BYTES, scheme.unit_bytes)]
        same = [unit for unit in units if damaged.blocks[unit] == one.blocks[unit]]
        assert all(found[unit] == plain_of(0)[unit] for unit in same)


@pytest.mark.parametrize("name", [name for name in SCHEMES if name.startswith("file-keys")])
def test_every_byte_of_the_wrapped_keys(name: str) -> None:
    """Each byte changed: the reader gets the file or an error, never noise, and a stranger nothing."""
    scheme = SCHEMES[name]
    one = scheme.write(0)
    told = 0
    for at in range(len(one.keys)):
        changed = bytearray(one.keys)
        changed[at] ^= 1 << at % 8
        damaged = replace(one, keys=bytes(changed))
        found = read(scheme, RIGHT, damaged)
        assert found in (None, plain_of(0))
        told += found is None
        assert not aes_blocks(read(scheme, WRONG, damaged)) & AES_BLOCKS[0]
    readers = len(POLICIES[name.split(maxsplit=3)[3]][1])
    assert told >= 48 * readers  # the shortest wrapped key, of GCM without a share, has 48 bytes


@pytest.mark.parametrize("form", FORMATS)
@given(data=st.data())
@settings(max_examples=25)
def test_packets_of_two_files_mixed(form: str, data: st.DataObject) -> None:
    """
    Sets put together of two files' packets: a user gets the key that was wrapped for them, in its own file's
    packet, or an error; a stranger none. In aes-kw a packet does not even open outside its set.
    """
    users = [UserKey(name, NamedStream(4, name)(64)) for name in MEMBERS]
    files = [FileKey.generate(NamedStream(file, "mixed")) for file in (0, 1)]
    sets = [wrap(form, key, users, NamedStream(file, "wrap")) for file, key in enumerate(files)]
    packets = [FORMATS[form].decode(raw, "here") for raw in sets]
    chosen = [data.draw(st.integers(0, 1)) for _user in users]
    if form == "aes-kw":  # one nonce a set: the slots of both under the first one's
        mixed_packets = [packets[0][n][:12] + packets[file][n][12:] for n, file in enumerate(chosen)]
    else:
        mixed_packets = [packets[file][n] for n, file in enumerate(chosen)]
    mixed = FORMATS[form].encode(mixed_packets)
    owners = [FORMATS[form].owner(packet) for packet in packets[0]]
    for user in users:
        file = chosen[owners.index(FORMATS[form].label(user))]
        try:
            assert files[file] == KeyRing([user]).unwrap(mixed, user.user)
            assert form == "rfc2014" or file == 0
        except CryptoError:
            assert form == "aes-kw"
            assert file == 1
    with pytest.raises(CryptoError):
        KeyRing([UserKey("one", KEYS[WRONG])]).unwrap(mixed, "one")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", [MODE_AES_256_XTS, MODE_AES_256_GCM, MODE_GROUP_KEY])
def test_old_packets_put_back(form: str, mode: int) -> None:
    """
    What was taken from a removed user opens for them if an old xattr is put back: what removal cannot undo.

    It opens for them alone: a user who was never named, and one who joined later, get ENOKEY from it.
    """
    one, two, late, stranger = (
        UserKey(name, NamedStream(4, name)(64)) for name in ("one", "two", "late", "stranger")
    )
    key = FileKey.generate(NamedStream(1, "file"), mode)
    old = wrap(form, key, [one, two], NamedStream(1, "wrap"))
    new = add_user(remove_user(old, FORMATS[form].label(two)), one, late, NamedStream(2, "wrap"))
    for user, raw in ((two, new), (late, old), (stranger, old), (stranger, new)):
        with pytest.raises(CryptoError, match=f"ENOKEY: no wrapped key for {user.user}"):
            KeyRing([user]).unwrap(raw, user.user)
    for user, raw in ((one, old), (one, new), (two, old), (late, new)):
        assert key == KeyRing([user]).unwrap(raw, user.user)
