"""
The wrapped-key packets of the 2014 ext4 encryption patches (M. Halcrow, "ext4: Add ext4 encryption
facilities").

    packet set: 4 bytes size of all, big endian, and 1 byte type 0; then packets
    packet:     4 size (147, big endian)   1 type (0)   17 signature of the user's key, NUL-terminated
                13 nonce (the last byte ignored, 0)     16 IV    84 wrapped key    12 tag

With nonce12 the first 12 bytes of the nonce: enc_key = HMAC-SHA512(user key, nonce12 + "e")[:32], int_key =
HMAC-SHA512(user key, nonce12 + "i")[:12]; the wrapped key is AES-256-CTR(enc_key, IV) of {mode, 4 bytes big
endian; key, 76 bytes, zero-padded; size, 4 bytes big endian}; the tag is HMAC-SHA1(int_key, all before
it)[:12], during which the last byte of the nonce is "i". The patches write one packet; several, for several
users, are what their header allows for. The patches fill only the first byte of the set's header, with a
version of 0, which the size's first byte also is below 16 MiB: both are this layout. A tag of 96 bits of
HMAC-SHA1 under a key of 96 bits is the format's choice, not one to make today.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.crypto.keys.user_keys import SIGNATURE_DIGITS, UserKey
from sim.crypto.keys.wrapped import Secret, pack_secret, unpack_secret
from sim.crypto.streams import Random
from sim.errors import CryptoError

NAME = "rfc2014"
FIRST_BYTE = 0
HEADER_BYTES = 5
PACKET_BYTES = 147
TAG_BYTES = 12
WRAPPED_BYTES = 84
MAX_SET_BYTES = (1 << 24) - 1
_NONCE_BYTES = 12
_IV_BYTES = 16
_RAW_BYTES = 76
_HEAD = struct.Struct(">IB")
_PACKET = struct.Struct(f">IB{SIGNATURE_DIGITS + 1}s{_NONCE_BYTES}sc{_IV_BYTES}s{WRAPPED_BYTES}s{TAG_BYTES}s")
_WRAPPED = struct.Struct(f">I{_RAW_BYTES}sI")
_SIGNATURE_AT = _HEAD.size


def encode(packets: list[bytes]) -> bytes:
    """Return a packet set; CryptoError if it would not be one."""
    size = HEADER_BYTES + sum(map(len, packets))
    if not packets or size > MAX_SET_BYTES:
        raise CryptoError("packet set", f"{len(packets)} packets", f"1 .. {MAX_SET_BYTES // PACKET_BYTES}")
    return _HEAD.pack(size, FIRST_BYTE) + b"".join(packets)


def decode(raw: bytes, place: str) -> list[bytes]:
    """Return the packets of a set; CryptoError, naming `place`, on any other size or type."""
    _check_set(raw, place)
    packets = [raw[at : at + PACKET_BYTES] for at in range(HEADER_BYTES, len(raw), PACKET_BYTES)]
    for number, packet in enumerate(packets):
        size, kind = _HEAD.unpack_from(packet)
        if size != PACKET_BYTES or kind != FIRST_BYTE:
            raise CryptoError(
                f"{place}: packet {number}", f"{size} bytes of type {kind}", f"{PACKET_BYTES} bytes of type 0"
            )
    return packets


def _check_set(raw: bytes, place: str) -> None:
    size, kind = _HEAD.unpack_from(raw) if len(raw) >= HEADER_BYTES else (0, 0)
    count, rest = divmod(len(raw) - HEADER_BYTES, PACKET_BYTES)
    if size != len(raw) or kind != FIRST_BYTE or rest or count < 1:
        raise CryptoError(
            place,
            f"a packet set of {len(raw)} bytes that says {size}, type {kind}",
            f"{HEADER_BYTES} bytes and {PACKET_BYTES} for each packet, type 0",
        )


def owner(packet: bytes) -> str:
    """Return whom a packet is for: the signature of the key, for the format knows no names."""
    return packet[_SIGNATURE_AT : _SIGNATURE_AT + SIGNATURE_DIGITS].decode("ascii", "backslashreplace")


def secret_part(packet: bytes) -> bytes:
    """Return what of a packet must be gone for its key to be gone: nonce, IV, wrapped key, tag."""
    return packet[_HEAD.size + SIGNATURE_DIGITS + 1 :]


def label(key: UserKey) -> str:
    """Return what `owner` says of a packet for this key."""
    return key.signature


def find(raw: bytes, key: UserKey, place: str) -> bytes | None:
    """Return the packet of a user's key, or None: a search for its signature, then its place checked."""
    _check_set(raw, place)
    needle = key.signature.encode() + b"\0"
    at = raw.find(needle, HEADER_BYTES)
    while at >= 0:
        start = at - _SIGNATURE_AT
        if (start - HEADER_BYTES) % PACKET_BYTES == 0:
            return raw[start : start + PACKET_BYTES]
        at = raw.find(needle, at + 1)
    return None


def wrap(secret: Secret, key: UserKey, random: Random, _first: bytes | None = None) -> bytes:
    """Return the packet that holds a secret for one user."""
    nonce, iv = random(_NONCE_BYTES), random(_IV_BYTES)
    word, raw = pack_secret(secret)
    body = _WRAPPED.pack(word, raw, len(raw))
    wrapped = Cipher(algorithms.AES(_derive(key, nonce, b"e", 32)), modes.CTR(iv)).encryptor().update(body)
    signature = key.signature.encode() + b"\0"
    packet = _PACKET.pack(PACKET_BYTES, FIRST_BYTE, signature, nonce, b"\0", iv, wrapped, bytes(TAG_BYTES))
    return packet[:-TAG_BYTES] + _tag(packet, key, nonce)


def unwrap(packet: bytes, key: UserKey, place: str) -> Secret:
    """Return what a packet holds; CryptoError if key or packet are not right, told before any decryption."""
    size, kind, _signature, nonce, _unused, iv, wrapped, tag = _PACKET.unpack(packet)
    if size != PACKET_BYTES or kind != FIRST_BYTE:
        raise CryptoError(place, f"a packet of {size} bytes, type {kind}", f"{PACKET_BYTES} bytes of type 0")
    if not hmac.compare_digest(tag, _tag(packet, key, nonce)):
        raise CryptoError(place, f"the packet of {key.user} is damaged or for another key: its tag is wrong")
    body = Cipher(algorithms.AES(_derive(key, nonce, b"e", 32)), modes.CTR(iv)).decryptor().update(wrapped)
    word, raw, length = _WRAPPED.unpack(body)
    return unpack_secret(word, raw[:length] if length <= _RAW_BYTES else b"", place)


def _derive(key: UserKey, nonce: bytes, letter: bytes, length: int) -> bytes:
    return hmac.digest(key.raw, nonce + letter, hashlib.sha512)[:length]


def _tag(packet: bytes, key: UserKey, nonce: bytes) -> bytes:
    int_key = _derive(key, nonce, b"i", TAG_BYTES)
    last_of_nonce = _HEAD.size + SIGNATURE_DIGITS + 1 + _NONCE_BYTES
    said = packet[:last_of_nonce] + b"i" + packet[last_of_nonce + 1 : -TAG_BYTES]
    return hmac.digest(int_key, said, hashlib.sha1)[:TAG_BYTES]
