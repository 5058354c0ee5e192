"""Attacks on the HNSW index, for `benchmarks/hostile_index.py`. Nearly all have a valid digest."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_attacks import attack

_PREFIX = struct.Struct("<8sI32s")


def edit_hnsw(
    index: Path, change: Callable[[dict[str, Any], bytearray], None], *, digest: bool = True
) -> None:
    """Change the header and the arrays of the HNSW index, and write the digest that belongs to them."""
    (path,) = index.glob("ann*.hnsw")
    content = path.read_bytes()
    magic, length, old = _PREFIX.unpack_from(content)
    header = json.loads(content[_PREFIX.size : _PREFIX.size + length])
    arrays = bytearray(content[_PREFIX.size + length :])
    change(header, arrays)
    text = json.dumps(header).encode()
    found = hashlib.blake2b(text + arrays, digest_size=32).digest() if digest else old
    path.write_bytes(_PREFIX.pack(magic, len(text), found) + text + arrays)


def array_place(header: dict[str, Any], name: str) -> tuple[int, int, int]:
    """Return the offset, the bytes of an item, and the items of an array."""
    offset = 0
    for found, dtype, count in header["arrays"]:
        size = int(dtype[2:])
        if found == name:
            return offset, size, count
        offset += size * count
    raise KeyError(name)


@attack(wrong=False)
def hnsw_scalars(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        name = rng.choice([*header["scalars"]])
        header["scalars"][name] = rng.choice([0, -1, 1, 13, 2**31, 2**40, 2**63, None, "x", 1.5, True])

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_scalar_one_off(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        names = [name for name, value in header["scalars"].items() if isinstance(value, int)]
        header["scalars"][rng.choice(names)] += rng.choice([-8, -4, -1, 1, 4, 8, 1000])

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_links(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        for _ in range(rng.choice([1, 5, 50])):
            name = rng.choice([n for n, _, count in header["arrays"] if count])
            offset, size, count = array_place(header, name)
            at = offset + rng.randrange(max(1, size * count - 4))
            struct.pack_into("<I", arrays, at, rng.choice([0, 1, 11, 12, 500, 2**31, 2**32 - 1]))

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_random_bytes_with_a_digest(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        for _ in range(rng.choice([1, 10, 100, 1000])):
            arrays[rng.randrange(len(arrays))] = rng.randrange(256)

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_labels(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        name = rng.choice(["label_lookup_external", "label_lookup_internal"])
        offset, size, count = array_place(header, name)
        value = rng.choice([0, 1, 12, 2**20, 2**31])
        struct.pack_into(f"<{'Q' if size == 8 else 'I'}", arrays, offset + size * rng.randrange(count), value)

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_levels(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        offset, size, count = array_place(header, "element_levels")
        struct.pack_into("<i", arrays, offset + size * rng.randrange(count), rng.choice([1, 5, 2**30, -1]))

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_arrays_of_other_lengths(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        array = rng.choice(header["arrays"])
        array[2] = rng.choice([0, 1, array[2] * 2, array[2] // 2, -1, 2**40, "x"])
        if rng.random() < 0.5 and isinstance(array[2], int) and 0 <= array[2] < 10**6:
            arrays.extend(bytes(4096))
            arrays[sum(int(d[2:]) * n for _, d, n in header["arrays"] if isinstance(n, int)) :] = b""

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_header(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        key = rng.choice([*header])
        header[key] = rng.choice([None, 5, "x", [], {}, [["a"]], -1, 2**70])

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_without_its_digest(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        arrays[rng.randrange(len(arrays))] ^= 1 << rng.randrange(8)

    edit_hnsw(index, change, digest=False)


@attack(wrong=False)
def hnsw_cut_short(index: Path, rng: random.Random) -> None:
    (path,) = index.glob("ann*.hnsw")
    os.truncate(path, rng.randrange(path.stat().st_size))
