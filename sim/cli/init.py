"""
readpath init: an experiment file to start from.
"""

from __future__ import annotations

import json
from pathlib import Path

from sim.errors import ConfigError

EXAMPLE = """\
# An experiment: a question, a system, a workload, a matrix. Run it with
#     readpath run {name}
# and change any value for one run with --set, for example --set volume.block_size=4KiB
title = "My first experiment"
question = "What does a sequential read cost on each path, whole and in pieces?"

data = "real"                 # "off": the same counts and times without moving bytes

[machine]
profile = "linux-6.1-epyc-7001"    # what each kernel function costs; or a .toml of your own
cpus = 4
memory = "1GiB"               # the page cache's limit
kernel = "6.1"                # of 3.16, 6.1, 6.12 or 7.3

[device]
profile = "nvme"              # hdd-2020, emmc, ... (readpath list); or a .toml of your own
# read_ahead_kb = 128         # as in /sys/block/*/queue; without it, the profile's
# scheduler = "none"          # or mq-deadline

[volume]                      # an ext4 image is made of this, once
block_size = "1KiB"           # 1KiB, 2KiB, 4KiB
files = [{{ name = "data", size = "4MiB" }}]

[encryption]
scheme = "none"               # or fscrypt-v2, file-keys, rfc2014, dm-crypt, ecryptfs, inline

[workload]                    # fio's own options, here or in a job file: job = "jobs/mine.fio"
job = {{ rw = "read", bs = "128k", fadvise_hint = "0" }}

[cache]
status = "all_cold"           # freshly mounted; es_cold: status cache empty; warm: every extent known
# pages = "warm"              # the files are cached, or some pages: {{ every = 4 }}, {{ share = 0.25 }};
                              # with buffers = true: pages with buffer heads that were not read yet.
                              # The job needs invalidate=0 then

[matrix]                      # every combination is run; the last line varies fastest
"volume.files.layout" = [
    {{ label = "contiguous", kind = "contiguous" }},
    {{ label = "4 KiB extents", kind = "fragmented", extent = "4KiB" }},
    # also: sparse (data, hole), unwritten, hole, aged (extent, seed, hole_share, unwritten_share, window),
    # random (extent, seed), fiemap and filefrag (path)
]
path = ["buffer_head", "mpage", "page_io", "iomap"]

[run]
seeds = 1                     # how many, or a list of them
"""
"""The file, for str.format with `name`."""


def write_example(file: Path, as_json: bool) -> None:
    """
    Write the example to `file` and say how to run it.

    Raises ConfigError if there is such a file already, or it cannot be written.
    """
    if file.suffix != ".toml":
        raise ConfigError(str(file), "is not the name of an experiment file", "a name that ends in .toml")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(EXAMPLE.format(name=file))
    except FileExistsError:
        raise ConfigError(str(file), "is there already", "a new name") from None
    except OSError as error:
        raise ConfigError(str(file), f"cannot be written ({error.strerror})", "another name") from None
    if as_json:
        print(json.dumps({"experiment": str(file)}, indent=2))
    else:
        print(f"{file}\nrun it: readpath run {file}")
