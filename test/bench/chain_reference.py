"""A version of a chain as the trainers' engines come to it: a copy of the base, then step after step in place.

`python chain_reference.py BASE CHAIN OUT TO`: BASE has one model.safetensors, steps are xor with zstd and xxh3-128. Written after sglang's
local_checkpoint.py in slime 624b824a (docker/patch/latest/sglang-pull_weights.patch): a thread for every processor, each tensor decoded in
pieces of 2 MiB that are XORed into a mapping of the file and hashed. As there, nothing is synced, and nothing has a sha256.
"""
import io
import json
import mmap
import os
import shutil
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy
import xxhash
import zstandard

PIECE = 2 << 20


def header_of(data):
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(bytes(data[8 : 8 + size]))
    return header, header.pop("__metadata__", {}), 8 + size


def apply_step(mapping, folder):
    tensors, _, start = header_of(mapping)
    with open(os.path.join(folder, "model-00000-of-00001.safetensors"), "rb") as file:
        stored = file.read()
    payloads, sums, at = header_of(stored)

    def apply(name):
        begin, end = payloads[name]["data_offsets"]
        first, last = tensors[name]["data_offsets"]
        target = numpy.frombuffer(mapping, numpy.uint8, last - first, start + first)
        reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(stored[at + begin : at + end]))
        hasher = xxhash.xxh3_128()
        for position in range(0, target.size, PIECE):
            part = target[position : position + PIECE]
            part ^= numpy.frombuffer(reader.read(part.size), numpy.uint8)
            hasher.update(part)
        assert hasher.hexdigest() == sums[name], name

    with ThreadPoolExecutor(min(32, os.cpu_count() or 8)) as pool:
        list(pool.map(apply, payloads))


def main(base, chain, out, to):
    os.makedirs(out)
    model = os.path.join(out, "model.safetensors")
    shutil.copyfile(os.path.join(base, "model.safetensors"), model)
    with open(model, "r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
        for step in range(1, int(to) + 1):
            apply_step(mapping, os.path.join(chain, f"weight_v{step:06d}"))


main(*sys.argv[1:])
