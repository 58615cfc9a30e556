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

Ours is what ties a set to its file: a first packet {4 size (61)   1 type (2)   56 binding, as binding.py has
it}. The keys then come from HMAC-SHA512(user key, "readpath rfc2014" and the binding) in place of the user's
key, and the type of a packet that holds a share is 1. Sets without are what the patches wrote, and are read.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.crypto.keys.binding import RECORD_BYTES, parse_binding
from sim.crypto.keys.user_keys import SIGNATURE_DIGITS, PublicKey, UserKey
from sim.crypto.keys.wrapped import Secret, Share, pack_secret, unpack_secret
from sim.crypto.streams import Random
from sim.errors import CryptoError

NAME = "rfc2014"
FIRST_BYTE = 0
FIRST_BYTES = (FIRST_BYTE,)
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
_WHOLE, _SHARE, _BINDING = 0, 1, 2
_BINDING_BYTES = _HEAD.size + RECORD_BYTES

# A packet is PACKET_BYTES and, behind them, the binding of its set (nothing where there is none).


def encode(packets: list[bytes]) -> bytes:
    """Return a packet set; CryptoError if it would not be one."""
    bindings = {record(packet) for packet in packets}
    if len(bindings) != 1:
        raise CryptoError("packet set", f"packets of {len(bindings)} sets", "one set")
    bound = bindings.pop()
    front = _HEAD.pack(_BINDING_BYTES, _BINDING) + bound if bound else b""
    size = HEADER_BYTES + len(front) + PACKET_BYTES * len(packets)
    if size > MAX_SET_BYTES:
        raise CryptoError("packet set", f"{len(packets)} packets", f"1 .. {MAX_SET_BYTES // PACKET_BYTES}")
    return _HEAD.pack(size, FIRST_BYTE) + front + b"".join(packet[:PACKET_BYTES] for packet in packets)


def decode(raw: bytes, place: str) -> list[bytes]:
    """Return the packets of a set; CryptoError, naming `place`, on any other size or type."""
    first, bound = _check_set(raw, place)
    packets = [raw[at : at + PACKET_BYTES] + bound for at in range(first, len(raw), PACKET_BYTES)]
    for number, packet in enumerate(packets):
        _check_packet(packet, f"{place}: packet {number}")
    return packets


def set_record(raw: bytes, place: str) -> bytes:
    """Return what a set is bound to, nothing if it is as the patches wrote it; errors of its size alone."""
    return _check_set(raw, place)[1]


def _check_packet(packet: bytes, place: str) -> None:
    size, kind = _HEAD.unpack_from(packet)
    allowed = (_WHOLE, _SHARE) if record(packet) else (_WHOLE,)
    if size != PACKET_BYTES or kind not in allowed:
        raise CryptoError(place, f"a packet of {size} bytes, type {kind}", f"{PACKET_BYTES} bytes of type 0")


def _check_set(raw: bytes, place: str) -> tuple[int, bytes]:
    """Return where the packets begin, and what the set is bound to."""
    size, kind = _HEAD.unpack_from(raw) if len(raw) >= HEADER_BYTES else (0, 0)
    first, bound = HEADER_BYTES, b""
    if raw[HEADER_BYTES : 2 * HEADER_BYTES] == _HEAD.pack(_BINDING_BYTES, _BINDING):
        first += _BINDING_BYTES
        bound = raw[2 * HEADER_BYTES : first]
    count, rest = divmod(len(raw) - first, PACKET_BYTES)
    if size != len(raw) or kind != FIRST_BYTE or rest or count < 1:
        raise CryptoError(
            place,
            f"a packet set of {len(raw)} bytes that says {size}, type {kind}",
            f"{first} bytes and {PACKET_BYTES} for each packet, type 0",
        )
    if bound:
        parse_binding(bound, place)
    return first, bound


def record(packet: bytes) -> bytes:
    """Return what the set of a packet is bound to; nothing if it is as the patches wrote it."""
    return packet[PACKET_BYTES:]


def is_public(_packet: bytes) -> bool:
    """Return False: the format has no public keys."""
    return False


def is_share(packet: bytes) -> bool | None:
    """Return whether a packet holds a share; None where the format does not tell."""
    return packet[_HEAD.size - 1] == _SHARE if record(packet) else None


def owner(packet: bytes) -> str:
    """Return whom a packet is for: the signature of the key, for the format knows no names."""
    return packet[_SIGNATURE_AT : _SIGNATURE_AT + SIGNATURE_DIGITS].decode("ascii", "backslashreplace")


def secret_part(packet: bytes) -> bytes:
    """Return what of a packet must be gone for its key to be gone: nonce, IV, wrapped key, tag."""
    return packet[_HEAD.size + SIGNATURE_DIGITS + 1 : PACKET_BYTES]


def label(key: UserKey | PublicKey) -> str:
    """Return what `owner` says of a packet for this key; CryptoError for a public key."""
    return _symmetric(key).signature


def find(raw: bytes, key: UserKey, place: str) -> bytes | None:
    """Return the packet of a user's key, or None: a search for its signature, then its place checked."""
    first, bound = _check_set(raw, place)
    needle = key.signature.encode() + b"\0"
    at = raw.find(needle, first)
    while at >= 0:
        start = at - _SIGNATURE_AT
        if (start - first) % PACKET_BYTES == 0:
            return raw[start : start + PACKET_BYTES] + bound
        at = raw.find(needle, at + 1)
    return None


def wrap(
    secret: Secret,
    key: UserKey | PublicKey,
    random: Random,
    first: bytes | None = None,
    bound: bytes = b"",
) -> bytes:
    """
    Return the packet that holds a secret for one user; first: a packet of the set it is to join.

    bound: the binding of a new set. CryptoError for a public key.
    """
    user = _symmetric(key)
    bound = record(first) if first is not None else bound
    nonce, iv = random(_NONCE_BYTES), random(_IV_BYTES)
    word, raw = pack_secret(secret)
    body = _WRAPPED.pack(word, raw, len(raw))
    enc_key = _derive(user, nonce, b"e", 32, bound)
    wrapped = Cipher(algorithms.AES(enc_key), modes.CTR(iv)).encryptor().update(body)
    kind = _SHARE if bound and isinstance(secret, Share) else _WHOLE
    signature = user.signature.encode() + b"\0"
    packet = _PACKET.pack(PACKET_BYTES, kind, signature, nonce, b"\0", iv, wrapped, bytes(TAG_BYTES))
    return packet[:-TAG_BYTES] + _tag(packet, user, nonce, bound) + bound


def unwrap(packet: bytes, key: UserKey, place: str) -> Secret:
    """Return what a packet holds; CryptoError if key or packet are not right, told before any decryption."""
    bound, packet = record(packet), packet[:PACKET_BYTES]
    _check_packet(packet + bound, place)
    _size, _kind, _signature, nonce, _unused, iv, wrapped, tag = _PACKET.unpack(packet)
    if not hmac.compare_digest(tag, _tag(packet, key, nonce, bound)):
        raise CryptoError(place, f"the packet of {key.user} is damaged or for another key: its tag is wrong")
    enc_key = _derive(key, nonce, b"e", 32, bound)
    body = Cipher(algorithms.AES(enc_key), modes.CTR(iv)).decryptor().update(wrapped)
    word, raw, length = _WRAPPED.unpack(body)
    return unpack_secret(word, raw[:length] if length <= _RAW_BYTES else b"", place)


def _symmetric(key: UserKey | PublicKey) -> UserKey:
    if not isinstance(key, UserKey):
        raise CryptoError("packet set", f"the public key of {key.user}", "--format aes-kw, which knows them")
    return key


def _derive(key: UserKey, nonce: bytes, letter: bytes, length: int, bound: bytes = b"") -> bytes:
    raw = hmac.digest(key.raw, b"readpath rfc2014\0" + bound, hashlib.sha512) if bound else key.raw
    return hmac.digest(raw, nonce + letter, hashlib.sha512)[:length]


def _tag(packet: bytes, key: UserKey, nonce: bytes, bound: bytes) -> bytes:
    int_key = _derive(key, nonce, b"i", TAG_BYTES, bound)
    last_of_nonce = _HEAD.size + SIGNATURE_DIGITS + 1 + _NONCE_BYTES
    said = packet[:last_of_nonce] + b"i" + packet[last_of_nonce + 1 : -TAG_BYTES]
    return hmac.digest(int_key, said, hashlib.sha1)[:TAG_BYTES]
