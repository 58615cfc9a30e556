"""
The table [encryption] of an experiment file: which scheme, and its options.

    none        plain blocks: the lower bound
    inline      the device decrypts (blk-crypto), the image is fscrypt's: the other bound
    fscrypt-v2  fs/crypto: a key of the file's own, derived from a master key
    file-keys   the same placement, the file's key random and wrapped for users
    rfc2014     wrapped keys in the packets of 2014, decrypted as those patches did: setkey for every page
    dm-crypt    below the file system: everything, by sectors, one key
    ecryptfs    above it: a file system over a file system
"""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from sim.config.table import Model, custom
from sim.config.values import SizeBytes
from sim.units import SECTOR_BYTES

WorkQueueKind = Literal["unbound", "unbound-highpri", "bound", "bound-highpri", "tasklet"]
"""Of sim.engine.workqueue."""
Scheme = Literal["none", "inline", "fscrypt-v2", "file-keys", "rfc2014", "dm-crypt", "ecryptfs"]

CIPHERS: dict[str, tuple[str, ...]] = {
    "dm-crypt": ("aes-xts-plain64", "aes-cbc-essiv:sha256"),
    "ecryptfs": ("aes-128", "aes-256"),
}
"""What `cipher` may be, the default first; the other schemes have AES-256-XTS and no choice."""

_OPTIONS: dict[str, tuple[str, ...]] = {
    "cipher": ("dm-crypt", "ecryptfs"),
    "sector_bytes": ("dm-crypt",),
    "no_read_workqueue": ("dm-crypt",),
    "work_queue": ("dm-crypt", "fscrypt-v2", "file-keys", "rfc2014"),
    "format": ("file-keys",),
    "policy": ("file-keys", "rfc2014"),
    "users": ("file-keys", "rfc2014"),
    "needed": ("file-keys", "rfc2014"),
}
_WRITTEN = {"sector_bytes": "sector_size"}
MAX_SHARES = 255


class Encryption(Model):
    """
    How the contents of the files are encrypted, in an image that is made.

    cipher, sector_size, no_read_workqueue: of dm-crypt's table line, and eCryptfs' mount. work_queue: where
    fscrypt or dm-crypt decrypts, if not on the kernel's kind of queue. format: of wrapped keys. policy: who
    can open a file: its owner; any of `users` users; the members of a group, by its key; `needed` of them
    together. charge_open: opening a file costs what the scheme asks for it (else nothing, as for the plain
    path; eCryptfs reads its header in any case).
    """

    scheme: Scheme = "none"
    cipher: str | None = None
    sector_bytes: SizeBytes = Field(default=SECTOR_BYTES, alias="sector_size")
    no_read_workqueue: bool = False
    work_queue: WorkQueueKind | None = None
    format: Literal["aes-kw", "rfc2014"] = "aes-kw"
    policy: Literal["owner", "any-of", "group", "k-of-n"] = "owner"
    users: int = Field(default=1, ge=1, le=100_000)
    needed: int = Field(default=1, ge=1)
    charge_open: bool = False

    @model_validator(mode="before")
    @classmethod
    def _only_its_own(cls, raw: Any) -> Any:
        """Raise for an option of another scheme, and fill in what the scheme decides."""
        if not isinstance(raw, dict):
            return raw
        scheme = raw.get("scheme", "none")
        if not isinstance(scheme, str):
            return raw  # told by its type
        for option, schemes in _OPTIONS.items():
            written = _WRITTEN.get(option, option)
            if written in raw and scheme not in schemes and scheme in get_args(Scheme):
                raise custom(f"{written} with scheme {scheme!r}", f"scheme {' or '.join(schemes)}")
        if scheme in CIPHERS and raw.get("cipher") is None:
            raw = {**raw, "cipher": CIPHERS[scheme][0]}
        if scheme == "rfc2014":
            raw = {**raw, "format": "rfc2014"}
        return raw

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.cipher is not None and self.cipher not in CIPHERS[self.scheme]:
            raise custom(f"cipher {self.cipher!r} is not modelled", ", ".join(CIPHERS[self.scheme]))
        if self.sector_bytes not in (512, 4096):
            raise custom(f"sector_size {self.sector_bytes} is not modelled", "512, 4096")
        if self.no_read_workqueue and self.work_queue is not None:
            raise custom("work_queue with no_read_workqueue", "one of them")
        if self.policy == "owner" and self.users != 1:
            raise custom(f"{self.users} users with policy 'owner'", "policy any-of, group or k-of-n")
        if self.policy == "k-of-n" and not self.needed <= self.users <= MAX_SHARES:
            raise custom(
                f"{self.needed} of {self.users} users", f"needed <= users <= {MAX_SHARES} with policy k-of-n"
            )
        if self.policy != "k-of-n" and self.needed != 1:
            raise custom(f"needed with policy {self.policy!r}", "policy k-of-n")
        return self

    @property
    def wraps_keys(self) -> bool:
        """Whether files have keys of their own that are wrapped for users."""
        return self.scheme in ("file-keys", "rfc2014")

    @property
    def encrypts_files(self) -> bool:
        """Whether files of the file system below all others are encrypted, by it or by the device."""
        return self.wraps_keys or self.scheme in ("fscrypt-v2", "inline")

    @property
    def packets(self) -> int:
        """Wrapped keys in the xattr of a file."""
        return self.users if self.policy in ("any-of", "k-of-n") else int(self.wraps_keys)

    def of_the_image(self) -> dict[str, Any]:
        """Return what decides the bytes of the image, as plain JSON values."""
        said = self.model_dump(mode="json", exclude={"no_read_workqueue", "work_queue", "charge_open"})
        if said["scheme"] == "inline":
            said["scheme"] = "fscrypt-v2"
        return said
