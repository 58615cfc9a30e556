"""
Make tests/data/wycheproof/*.json: those of Wycheproof's test vectors that our functions can be given.

Run it from the top of the project on a checkout of C2SP/wycheproof:

    python tests/crypto/take_wycheproof.py ../wycheproof

Kept are key sizes, nonces and salts that the formats here have; nothing is changed but what is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "data" / "wycheproof"
TAKEN: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "aes_kwp": ("keys of 256 bits", lambda group, _test: group["keySize"] == 256),
    "aes_wrap": ("keys of 256 bits", lambda group, _test: group["keySize"] == 256),
    "aes_gcm": (
        "keys of 256 bits, nonces of 96, no associated data",
        lambda group, test: (group["keySize"], group["ivSize"], test["aad"]) == (256, 96, ""),
    ),
    "aes_xts": ("two keys of 256 bits", lambda group, _test: group["keySize"] == 512),
    "aes_cbc_pkcs5": ("all", lambda _group, _test: True),
    "hkdf_sha512": (
        "no salt, or too much asked for",
        lambda _group, test: not test["salt"] or "SizeTooLarge" in test["flags"],
    ),
}


def main(checkout: Path) -> None:
    """Write the excerpts and Wycheproof's licence."""
    TARGET.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, check=True, text=True
    ).stdout.strip()
    for name, (kept, applies) in TAKEN.items():
        document = json.loads((checkout / "testvectors_v1" / f"{name}_test.json").read_text())
        tests = [test for group in document["testGroups"] for test in group["tests"] if applies(group, test)]
        head = {
            "source": f"C2SP/wycheproof, testvectors_v1/{name}_test.json, commit {commit}",
            "licence": "Apache-2.0, see LICENSE beside this file",
            "kept": f"{kept}: {len(tests)} of {document['numberOfTests']} vectors, their values unchanged",
        }
        lines = ",\n".join(json.dumps(test) for test in tests)
        (TARGET / f"{name}.json").write_text(
            f'{json.dumps(head, indent=1)[:-2]},\n "tests": [\n{lines}\n]}}\n'
        )
    (TARGET / "LICENSE").write_bytes((checkout / "LICENSE").read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
