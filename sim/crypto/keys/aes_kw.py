"""
Wrapped keys by AES key wrap with padding (RFC 5649, over RFC 3394), with user ids that are authenticated.

    header: 1 version (0x11 or 0x12)   3 "rkw"   4 slots, big endian   1 room of a wrapped key   3 zero   12
    nonce; in version 0x12: 56 what the set is bound to (binding.py)
    slot:   31 user id, NUL-padded   1 bytes of the wrapped key   room: wrapped {4 mode, big endian; key}

Slots are sorted by id, so that one among a thousand is found by bisection. A slot's wrapping key is
HKDF-SHA512 of the user's key with "readpath aes-kw", the version, the nonce, the binding and the id: a slot
under another name, in another set, or in a set that says to be for something else, does not open. Key wrap
itself checks 64 bits.

In version 0x12 a slot may be for a public key (X25519): the top bit of its length is set, the wrapped key
comes after 32 bytes of an ephemeral public key, and the wrapping key is HKDF-SHA512 of what the two agree on,
with both public keys as well. Whoever knows the public key can make such a slot: it hides, and does not tell
who made it. Version 0x11 is read, and kept by whoever removes a user.
"""

from __future__ import annotations

import struct
from bisect import bisect_left

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from sim.crypto.fscrypt.contexts import hkdf_sha512
from sim.crypto.keys.binding import RECORD_BYTES, parse_binding
from sim.crypto.keys.user_keys import MAX_ID_BYTES, PUBLIC_BYTES, PublicKey, UserKey
from sim.crypto.keys.wrapped import Secret, pack_secret, unpack_secret
from sim.crypto.streams import Random
from sim.errors import CryptoError

NAME = "aes-kw"
FIRST_BYTE = 0x11
BOUND_BYTE = 0x12
FIRST_BYTES = (FIRST_BYTE, BOUND_BYTE)
_MAGIC = b"rkw"
_NONCE_BYTES = 12
_HEAD = struct.Struct(f">B3sIB3s{_NONCE_BYTES}s")
HEADER_BYTES = _HEAD.size
_SLOT_HEAD_BYTES = MAX_ID_BYTES + 1
_SHARES = (56, 88)
_LENGTHS = (48, 56, 80, 88)
"""What RFC 5649 makes of a GCM key, a share of one, an XTS or group key, and a share of one."""
_ROOMS = (*_LENGTHS, *(length + PUBLIC_BYTES for length in _LENGTHS))
_PUBLIC = 0x80
_KEK_BYTES = 32

# A packet is the nonce, the slot without what pads it, and the binding of its set (nothing in version 0x11).


def encode(packets: list[bytes]) -> bytes:
    """Return packets as a set; CryptoError if they cannot be one."""
    sets = {(packet[:_NONCE_BYTES], record(packet)) for packet in packets}
    slots = sorted(packet[_NONCE_BYTES : _end(packet)] for packet in packets)
    if len(sets) != 1 or len({slot[:MAX_ID_BYTES] for slot in slots}) != len(slots):
        raise CryptoError("wrapped keys", f"{len(slots)} slots of {len(sets)} sets", "one set, a user once")
    nonce, bound = sets.pop()
    room = max(len(slot) for slot in slots) - _SLOT_HEAD_BYTES
    version = BOUND_BYTE if bound else FIRST_BYTE
    head = _HEAD.pack(version, _MAGIC, len(slots), room, bytes(3), nonce) + bound
    return head + b"".join(slot.ljust(_SLOT_HEAD_BYTES + room, b"\0") for slot in slots)


def decode(raw: bytes, place: str) -> list[bytes]:
    """Return the packets of a set; CryptoError, naming `place`, on a header or lengths that cannot be."""
    count, room, at = _check_set(raw, place)
    nonce, bound = raw[HEADER_BYTES - _NONCE_BYTES : HEADER_BYTES], raw[HEADER_BYTES:at]
    return [nonce + _slot(raw, number, room, at, place) + bound for number in range(count)]


def set_record(raw: bytes, place: str) -> bytes:
    """Return what a set is bound to, nothing in version 0x11; errors as `decode`, of the header alone."""
    return raw[HEADER_BYTES : _check_set(raw, place)[2]]


def _check_set(raw: bytes, place: str) -> tuple[int, int, int]:
    """Return how many slots there are, the room of a wrapped key, and where the slots begin."""
    if len(raw) < HEADER_BYTES:
        raise CryptoError(place, f"wrapped keys of {len(raw)} bytes", f"{HEADER_BYTES} and more")
    version, magic, count, room, reserved, _nonce = _HEAD.unpack_from(raw)
    if version not in FIRST_BYTES or magic != _MAGIC or any(reserved):
        raise CryptoError(place, f"wrapped keys of version {version:#x}", "0x11, 0x12")
    at = HEADER_BYTES + (RECORD_BYTES if version == BOUND_BYTE else 0)
    if room not in _ROOMS or not count or len(raw) != at + count * (_SLOT_HEAD_BYTES + room):
        raise CryptoError(
            place,
            f"{len(raw)} bytes for {count} wrapped keys of at most {room}",
            f"{at} bytes and {_SLOT_HEAD_BYTES} + room for each",
        )
    if version == BOUND_BYTE:
        parse_binding(raw[HEADER_BYTES:at], place)
    return count, room, at


def _slot(raw: bytes, number: int, room: int, first: int, place: str) -> bytes:
    at = first + number * (_SLOT_HEAD_BYTES + room)
    length = raw[at + MAX_ID_BYTES]
    public = bool(length & _PUBLIC) and first > HEADER_BYTES
    length &= ~_PUBLIC if public else 0xFF
    if length - (PUBLIC_BYTES if public else 0) not in _LENGTHS or length > room:
        raise CryptoError(f"{place}: slot {number}", f"a wrapped key of {length} bytes", f"at most {room}")
    return raw[at : at + _SLOT_HEAD_BYTES + length]


def _end(packet: bytes) -> int:
    """Return where the slot in a packet ends."""
    return _NONCE_BYTES + _SLOT_HEAD_BYTES + (packet[_NONCE_BYTES + MAX_ID_BYTES] & ~_PUBLIC)


def record(packet: bytes) -> bytes:
    """Return what the set of a packet is bound to; nothing in version 0x11."""
    return packet[_end(packet) :]


def is_public(packet: bytes) -> bool:
    """Return whether a packet is for a public key, so that anyone can have made it."""
    return bool(packet[_NONCE_BYTES + MAX_ID_BYTES] & _PUBLIC)


def is_share(packet: bytes) -> bool:
    """Return whether a packet holds a share, as its length tells."""
    length = len(secret_part(packet)) - (PUBLIC_BYTES if is_public(packet) else 0)
    return length in _SHARES


def owner(packet: bytes) -> str:
    """Return the id of the user whom a packet is for."""
    return packet[_NONCE_BYTES:][:MAX_ID_BYTES].rstrip(b"\0").decode("utf-8", "surrogateescape")


def secret_part(packet: bytes) -> bytes:
    """Return what of a packet must be gone for its key to be gone: the wrapped key."""
    return packet[_NONCE_BYTES + _SLOT_HEAD_BYTES : _end(packet)]


def label(key: UserKey | PublicKey) -> str:
    """Return what `owner` says of a packet for this key."""
    return key.user


def find(raw: bytes, key: UserKey, place: str) -> bytes | None:
    """Return the packet of a user, found by bisection, or None."""
    count, room, first = _check_set(raw, place)
    step = _SLOT_HEAD_BYTES + room
    wanted = key.id_bytes.ljust(MAX_ID_BYTES, b"\0")

    def id_of(number: int) -> bytes:
        at = first + number * step
        return raw[at : at + MAX_ID_BYTES]

    number = bisect_left(range(count), wanted, key=id_of)
    if number == count or id_of(number) != wanted:
        return None
    nonce = raw[HEADER_BYTES - _NONCE_BYTES : HEADER_BYTES]
    return nonce + _slot(raw, number, room, first, place) + raw[HEADER_BYTES:first]


def wrap(
    secret: Secret,
    key: UserKey | PublicKey,
    random: Random,
    first: bytes | None = None,
    bound: bytes = b"",
) -> bytes:
    """
    Return the packet that holds a secret for one user; first: a packet of the set it is to join.

    bound: the binding of a new set. CryptoError for a public key in a set that is bound to nothing.
    """
    nonce = first[:_NONCE_BYTES] if first is not None else random(_NONCE_BYTES)
    bound = record(first) if first is not None else bound
    word, raw = pack_secret(secret)
    body, mark, front = word.to_bytes(4, "big") + raw, 0, b""
    if isinstance(key, UserKey):
        kek = _kek(key, nonce, bound)
    else:
        if not bound:
            raise CryptoError(
                "wrapped keys", f"version 0x11 for the public key of {key.user}", "version 0x12"
            )
        ephemeral = X25519PrivateKey.from_private_bytes(random(PUBLIC_BYTES))
        mark, front = _PUBLIC, ephemeral.public_key().public_bytes_raw()
        kek = _agreed(ephemeral, key.raw, front, key, nonce, bound)
    wrapped = front + aes_key_wrap_with_padding(kek, body)
    return nonce + key.id_bytes.ljust(MAX_ID_BYTES, b"\0") + bytes((len(wrapped) | mark,)) + wrapped + bound


def unwrap(packet: bytes, key: UserKey, place: str) -> Secret:
    """Return what a packet holds; CryptoError if key, name or packet are not right."""
    nonce, bound, wrapped = packet[:_NONCE_BYTES], record(packet), secret_part(packet)
    if is_public(packet):
        front, wrapped = wrapped[:PUBLIC_BYTES], wrapped[PUBLIC_BYTES:]
        kek = _agreed(key.private, front, front, key.public, nonce, bound)
    else:
        kek = _kek(key, nonce, bound)
    body = unwrap_padded(kek, wrapped, place, key.user)
    return unpack_secret(int.from_bytes(body[:4], "big"), body[4:], place)


def unwrap_padded(kek: bytes, wrapped: bytes, place: str, user: str) -> bytes:
    """Return what RFC 5649 wrapped under `kek`; CryptoError, naming `place` and `user`, on a wrong check."""
    try:
        return aes_key_unwrap_with_padding(kek, wrapped)
    except InvalidUnwrap:
        raise CryptoError(
            place, f"the slot of {user} is damaged or for another key: its check is wrong"
        ) from None


def _kek(key: UserKey, nonce: bytes, bound: bytes = b"") -> bytes:
    version = BOUND_BYTE if bound else FIRST_BYTE
    info = b"readpath aes-kw\0" + bytes((version,)) + nonce + bound + key.id_bytes
    return hkdf_sha512(key.raw, info, _KEK_BYTES)


def _agreed(
    ours: X25519PrivateKey, theirs: bytes, ephemeral: bytes, user: PublicKey, nonce: bytes, bound: bytes
) -> bytes:
    """Return the wrapping key of a public slot; CryptoError for a public key that agrees on nothing."""
    try:
        agreed = ours.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError:
        raise CryptoError(f"slot of {user.user}", "a public key of low order", "a key of X25519") from None
    info = b"readpath aes-kw x25519\0" + nonce + bound + ephemeral + user.raw + user.id_bytes
    return hkdf_sha512(agreed, info, _KEK_BYTES)
