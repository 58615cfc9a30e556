"""
Wrapped keys by AES key wrap with padding (RFC 5649, over RFC 3394), with user ids that are authenticated.

    header, 24 bytes: 1 version (0x11)   3 "rkw"   4 slots, big endian   1 room of a wrapped key   3
    zero   12 nonce slot:             31 user id, NUL-padded   1 bytes of the wrapped key   room:
    wrapped {4 mode, big endian; key}

Slots are sorted by id, so that one among a thousand is found by bisection. A slot's wrapping key is
HKDF-SHA512 of the user's key with "readpath aes-kw", the version, the nonce and the id: a slot under
another name, or in another set, does not open. Key wrap itself checks 64 bits.
"""

from __future__ import annotations

import struct
from bisect import bisect_left

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from sim.crypto.fscrypt.contexts import hkdf_sha512
from sim.crypto.keys.user_keys import MAX_ID_BYTES, UserKey
from sim.crypto.keys.wrapped import Secret, pack_secret, unpack_secret
from sim.crypto.streams import Random
from sim.errors import CryptoError

NAME = "aes-kw"
FIRST_BYTE = 0x11
_MAGIC = b"rkw"
_NONCE_BYTES = 12
_HEAD = struct.Struct(f">B3sIB3s{_NONCE_BYTES}s")
HEADER_BYTES = _HEAD.size
_SLOT_HEAD_BYTES = MAX_ID_BYTES + 1
_ROOMS = (48, 56, 80, 88)
"""What RFC 5649 makes of a GCM key, a share of one, an XTS or group key, and a share of one."""
_KEK_BYTES = 32


def encode(packets: list[bytes]) -> bytes:
    """Return the set of packets (header's nonce, then slot); CryptoError if they cannot be one."""
    nonces = {packet[:_NONCE_BYTES] for packet in packets}
    slots = sorted(packet[_NONCE_BYTES:] for packet in packets)
    if len(nonces) != 1 or len({slot[:MAX_ID_BYTES] for slot in slots}) != len(slots):
        raise CryptoError("wrapped keys", f"{len(slots)} slots of {len(nonces)} sets", "one set, a user once")
    room = max(len(slot) for slot in slots) - _SLOT_HEAD_BYTES
    head = _HEAD.pack(FIRST_BYTE, _MAGIC, len(slots), room, bytes(3), nonces.pop())
    return head + b"".join(slot.ljust(_SLOT_HEAD_BYTES + room, b"\0") for slot in slots)


def decode(raw: bytes, place: str) -> list[bytes]:
    """Return the packets of a set; CryptoError, naming `place`, on a header or lengths that cannot be."""
    count, room = _check_set(raw, place)
    nonce = raw[HEADER_BYTES - _NONCE_BYTES : HEADER_BYTES]
    return [nonce + _slot(raw, number, room, place) for number in range(count)]


def _check_set(raw: bytes, place: str) -> tuple[int, int]:
    """Return how many slots there are, and the room of a wrapped key."""
    if len(raw) < HEADER_BYTES:
        raise CryptoError(place, f"wrapped keys of {len(raw)} bytes", f"{HEADER_BYTES} and more")
    version, magic, count, room, reserved, _nonce = _HEAD.unpack_from(raw)
    if version != FIRST_BYTE or magic != _MAGIC or any(reserved):
        raise CryptoError(place, f"wrapped keys of version {version:#x}", f"{FIRST_BYTE:#x}")
    if room not in _ROOMS or not count or len(raw) != HEADER_BYTES + count * (_SLOT_HEAD_BYTES + room):
        raise CryptoError(
            place,
            f"{len(raw)} bytes for {count} wrapped keys of at most {room}",
            f"{HEADER_BYTES} bytes and {_SLOT_HEAD_BYTES} + room for each",
        )
    return count, room


def _slot(raw: bytes, number: int, room: int, place: str) -> bytes:
    at = HEADER_BYTES + number * (_SLOT_HEAD_BYTES + room)
    length = raw[at + MAX_ID_BYTES]
    if length not in _ROOMS or length > room:
        raise CryptoError(f"{place}: slot {number}", f"a wrapped key of {length} bytes", f"at most {room}")
    return raw[at : at + _SLOT_HEAD_BYTES + length]


def owner(packet: bytes) -> str:
    """Return the id of the user whom a packet is for."""
    return packet[_NONCE_BYTES:][:MAX_ID_BYTES].rstrip(b"\0").decode("utf-8", "surrogateescape")


def secret_part(packet: bytes) -> bytes:
    """Return what of a packet must be gone for its key to be gone: the wrapped key."""
    return packet[_NONCE_BYTES + _SLOT_HEAD_BYTES :]


def label(key: UserKey) -> str:
    """Return what `owner` says of a packet for this key."""
    return key.user


def find(raw: bytes, key: UserKey, place: str) -> bytes | None:
    """Return the packet of a user, found by bisection, or None."""
    count, room = _check_set(raw, place)
    step = _SLOT_HEAD_BYTES + room
    wanted = key.id_bytes.ljust(MAX_ID_BYTES, b"\0")

    def id_of(number: int) -> bytes:
        at = HEADER_BYTES + number * step
        return raw[at : at + MAX_ID_BYTES]

    number = bisect_left(range(count), wanted, key=id_of)
    if number == count or id_of(number) != wanted:
        return None
    return raw[HEADER_BYTES - _NONCE_BYTES : HEADER_BYTES] + _slot(raw, number, room, place)


def wrap(secret: Secret, key: UserKey, random: Random, first: bytes | None = None) -> bytes:
    """Return the packet that holds a secret for one user; first: a packet of the set it is to join."""
    nonce = first[:_NONCE_BYTES] if first is not None else random(_NONCE_BYTES)
    word, raw = pack_secret(secret)
    wrapped = aes_key_wrap_with_padding(_kek(key, nonce), word.to_bytes(4, "big") + raw)
    return nonce + key.id_bytes.ljust(MAX_ID_BYTES, b"\0") + bytes((len(wrapped),)) + wrapped


def unwrap(packet: bytes, key: UserKey, place: str) -> Secret:
    """Return what a packet holds; CryptoError if key, name or packet are not right."""
    wrapped = packet[_NONCE_BYTES + _SLOT_HEAD_BYTES :]
    body = unwrap_padded(_kek(key, packet[:_NONCE_BYTES]), wrapped, place, key.user)
    return unpack_secret(int.from_bytes(body[:4], "big"), body[4:], place)


def unwrap_padded(kek: bytes, wrapped: bytes, place: str, user: str) -> bytes:
    """Return what RFC 5649 wrapped under `kek`; CryptoError, naming `place` and `user`, on a wrong check."""
    try:
        return aes_key_unwrap_with_padding(kek, wrapped)
    except InvalidUnwrap:
        raise CryptoError(
            place, f"the slot of {user} is damaged or for another key: its check is wrong"
        ) from None


def _kek(key: UserKey, nonce: bytes) -> bytes:
    return hkdf_sha512(
        key.raw, b"readpath aes-kw\0" + bytes((FIRST_BYTE,)) + nonce + key.id_bytes, _KEK_BYTES
    )
