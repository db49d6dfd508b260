"""The limit: read every byte of the night once, of flats twice, and write every product's bytes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

night, out = map(Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
memory = memoryview(bytearray(2**20))


def read(path):
    descriptor = os.open(path, os.O_RDONLY)
    size = 0
    while n := os.readv(descriptor, [memory]):
        size += n
    os.close(descriptor)
    return size


def write(path, size):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    while size > 0:
        size -= os.write(descriptor, memory[:size])
    os.close(descriptor)


def work(part):
    for number, path in enumerate(sorted(night.rglob("*.fits"))):
        if number % 2 != part:
            continue
        size = read(path)
        if path.parent.name == "flat":
            read(path)
        if path.parent.name.startswith("ktwo"):
            write(out / f"{path.stem}c.fits", 2 * size)


if os.fork() == 0:
    work(1)
    os._exit(0)
work(0)
os.wait()
