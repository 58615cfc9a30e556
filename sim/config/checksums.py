"""
The [checksums] table: where the checksums of file data lie, and when and where a reader verifies them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from sim.config.encryption import WorkQueueKind
from sim.config.table import Model, custom
from sim.integrity.algorithms import ALGORITHMS

SumLayout = Literal["none", "table_all", "table_data", "per_extent", "per_extent_place"]
LISTS = ("per_extent", "per_extent_place")
MOST_EXTENT_BLOCKS = 1 << 15
"""As many blocks as a written extent of ext4 has."""
AEAD_ALGORITHM = "aes-256-gcm"


def _algorithm(value: object) -> object:
    if value in ALGORITHMS:
        return value
    raise custom(f"{value!r} is not known", ", ".join(ALGORITHMS))


class Checksums(Model):
    """
    Checksums of the file data of a made image, which every read verifies.

    layout: where they lie (docs/integrity.md), "none": there are none. algorithm: with a key, where it needs
    one. key: whose, the volume's or each file's own. order: "encrypt-then-checksum", of what lies on the
    device; "checksum-then-encrypt", of the plaintext, and encrypted like it; "aead": the cipher that encrypts
    makes the tag. The last two are under the file's key. extent_blocks: at most so many blocks of an extent
    have one checksum, 0: all of it; for the layouts with each extent. read: when the blocks with checksums
    are read: "before" the data, which is submitted when they are there; "with" it; or "after" it, when it is
    there. ahead: blocks of a table that are read besides, behind those that are needed. context: who
    verifies, a work item or the completion itself. work_queue: the kind of that item's queue. overwrite: who
    writes part of a run with one checksum reads the rest ("read"), or cuts the run round what is written
    ("split").
    """

    layout: SumLayout = "none"
    algorithm: Annotated[str, BeforeValidator(_algorithm)] = "crc32c"
    key: Literal["volume", "file"] = "volume"
    order: Literal["encrypt-then-checksum", "checksum-then-encrypt", "aead"] = "encrypt-then-checksum"
    extent_blocks: int = Field(default=0, ge=0, le=MOST_EXTENT_BLOCKS)
    read: Literal["before", "with", "after"] = "with"
    ahead: int = Field(default=0, ge=0, le=1024)
    context: Literal["work", "completion"] = "work"
    work_queue: WorkQueueKind = "unbound-highpri"
    overwrite: Literal["read", "split"] = "read"

    @model_validator(mode="before")
    @classmethod
    def _what_follows(cls, raw: Any) -> Any:
        """Fill in what an order leaves no choice of: the file's key, and the algorithm of the cipher."""
        if isinstance(raw, dict) and raw.get("order") in ("checksum-then-encrypt", "aead"):
            raw = {"key": "file", **raw}
            if raw["order"] == "aead":
                raw = {"algorithm": AEAD_ALGORITHM, **raw}
        return raw

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        keyed, order = ALGORITHMS[self.algorithm].keyed, self.order
        if order == "aead" and self.algorithm != AEAD_ALGORITHM:
            raise custom(f"algorithm {self.algorithm!r} with order {order!r}", AEAD_ALGORITHM)
        if order == "checksum-then-encrypt" and keyed:
            fitting = ", ".join(one.name for one in ALGORITHMS.values() if not one.keyed)
            raise custom(f"algorithm {self.algorithm!r} with order {order!r}", fitting)
        if order != "encrypt-then-checksum" and self.key != "file":
            raise custom(f"key {self.key!r} with order {order!r}", 'key = "file"')
        if order == "encrypt-then-checksum" and self.key == "file" and not keyed:
            fitting = ", ".join(one.name for one in ALGORITHMS.values() if one.keyed)
            raise custom(f"key 'file' with algorithm {self.algorithm!r}, which has none", fitting)
        if order == "aead" and self.layout in LISTS and self.extent_blocks != 1:
            allowed = "extent_blocks = 1, or a table: a block that is decrypted is a unit of the cipher"
            raise custom(f"order {order!r} with layout {self.layout!r}, runs of many blocks", allowed)
        if order != "encrypt-then-checksum" and self.context == "completion":
            raise custom(f'context "completion" with order {order!r}', "work: what decrypts is a work item")
        return self

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.extent_blocks and self.layout not in LISTS:
            raise custom(f"extent_blocks with layout {self.layout!r}", f"layout {' or '.join(LISTS)}")
        if self.ahead and self.layout not in ("table_all", "table_data"):
            raise custom(f"ahead with layout {self.layout!r}", "layout table_all or table_data")
        if self.overwrite == "split" and self.layout not in LISTS:
            raise custom(f'overwrite "split" with layout {self.layout!r}', f"layout {' or '.join(LISTS)}")
        if self.context == "completion" and self.work_queue != "unbound-highpri":
            raise custom('work_queue with context "completion"', 'context = "work"')
        if self.layout == "per_extent_place" and ALGORITHMS[self.algorithm].counted:
            raise custom(f"layout {self.layout!r} with {self.algorithm}", "an algorithm without a counter")
        return self

    @property
    def scheme(self) -> str:
        """The scheme of sim.integrity.plan."""
        if self.order != "encrypt-then-checksum":
            return self.order
        if not ALGORITHMS[self.algorithm].keyed:
            return "checksum"
        return "encrypt-then-mac" if self.key == "file" else "mac"

    @property
    def derives_keys(self) -> bool:
        """Whether a file's tags have a key that follows from its own: the cipher's own have that itself."""
        own = self.layout != "none" and self.key == "file"
        return own and (self.order != "aead" or self.layout in LISTS)

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the table as it is kept: `key` and `order`, which came later, only where they are others."""
        plain: dict[str, Any] = handler(self)
        for later, value in (("key", "volume"), ("order", "encrypt-then-checksum")):
            if plain.get(later) == value:
                del plain[later]
        return plain

    def of_the_image(self) -> dict[str, Any]:
        """Return what decides the bytes of the image, as plain JSON values."""
        return self.model_dump(mode="json", include={"layout", "algorithm", "key", "order", "extent_blocks"})
