"""Applies a chain of updates as an engine would: numpy, zstandard, xxhash, blake3, and no line of weight-diff. Coded steps, which no engine reads,
are decoded as docs/formats.md says (3.5), with coded.py beside this file.

    chains.py BASE CHAIN VERSION [BASE_VERSION]

Follows `base_version` from VERSION down to BASE_VERSION (0), checks every checksum of every step, and prints {name: sha256}. It is strict about
what slime writes: six digits, one line, the checksums and nothing else in the shards' metadata, flat U8, one frame with its size.
"""

import hashlib
import json
import re
import struct
import sys
import zlib
from pathlib import Path

import blake3
import numpy as np
import xxhash
import zstandard

import coded

SUMS = {
    "xxh3-128": lambda data: xxhash.xxh3_128(data).hexdigest(),
    "blake3": lambda data: blake3.blake3(data).hexdigest(),
    "adler32": lambda data: f"{zlib.adler32(data):08x}",
}


def read(path):
    """-> (metadata, {name: (dtype, shape, bytes)})"""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    start = 8 + length
    ends = sorted(tuple(t["data_offsets"]) for t in header.values())
    assert [begin for begin, _ in ends] == [0] * bool(ends) + [end for _, end in ends][:-1], "holes"
    assert start + (ends[-1][1] if ends else 0) == len(data), "trailing bytes"
    return metadata, {
        name: (t["dtype"], t["shape"], data[start + t["data_offsets"][0] : start + t["data_offsets"][1]])
        for name, t in header.items()
    }


def model(path):
    """{name: bytes} of every safetensors file of a directory."""
    found = {}
    for file in sorted(path.glob("*.safetensors")):
        for name, (_, _, data) in read(file)[1].items():
            assert name not in found
            found[name] = np.frombuffer(data, np.uint8).copy()
    return found


def payload(frame):
    """One frame that states its size, without checksum or dictionary, and nothing behind it."""
    parameters = zstandard.get_frame_parameters(frame)
    assert parameters.dict_id == 0 and not parameters.has_checksum
    assert zstandard.frame_content_size(frame) >= 0, "no content size"
    decoder = zstandard.ZstdDecompressor().decompressobj()
    data = decoder.decompress(frame)
    assert decoder.eof and decoder.unused_data == b"" and len(data) == zstandard.frame_content_size(frame)
    # As slime calls it.
    assert zstandard.ZstdDecompressor().decompress(frame) == data
    return np.frombuffer(data, np.uint8)


def windows(name, data, about):
    """Checks the windows of a coded payload against their index, which is its end. -> (dtype, [window])"""
    ((dtype, shape),) = [tensor[1:] for tensor in json.loads(about["weight_diff_coded"]) if tensor[0] == name]
    units = int(np.prod(shape)) * coded.WIDTH[dtype] // min(coded.WIDTH[dtype], 4)
    count = -(-units // coded.WINDOW)
    index = np.frombuffer(data, "<u4", 2 * count, len(data) - 8 * count).reshape(-1, 2).tolist()
    found, at = [], 0
    for length, crc in index:
        found.append(data[at : at + length])
        assert zlib.crc32(found[-1]) == crc
        at += length
    assert at + 8 * count == len(data)
    return dtype, found


def decode(old, dtype, found):
    units = old.view(f"<u{min(coded.WIDTH[dtype], 4)}").astype(np.int64)
    for number, window in enumerate(found):
        part = slice(number * coded.WINDOW, (number + 1) * coded.WINDOW)
        units[part] = coded.decode_window(window, units[part], dtype)
    return units.astype(f"<u{min(coded.WIDTH[dtype], 4)}").view(np.uint8)


def apply(old, encoding, data):
    if encoding == "exact-compressed":
        return decode(old, *data)
    if encoding == "xor":
        assert len(data) == len(old)
        return old ^ data
    assert encoding == "overwrite"
    (count,) = struct.unpack("<I", data[:4].tobytes())
    assert len(data) == 4 + 5 * count
    positions = np.frombuffer(data[4 : 4 + 4 * count].tobytes(), "<u4").astype(np.int64)
    assert count == 0 or (positions[-1] < len(old) and (np.diff(positions) > 0).all())
    new = old.copy()
    new[positions] = data[4 + 4 * count :]
    return new


def step(folder):
    """-> (base version, {name: (encoding, payload, checksum's name, checksum)})"""
    text = (folder / "model.safetensors.index.json").read_text("utf-8")
    assert "\n" not in text
    index = json.loads(text)
    assert text == json.dumps(index)
    about = index["metadata"]
    assert re.fullmatch(r"[0-9]{6,}", about["version"]) and re.fullmatch(r"[0-9]{6,}", about["base_version"])
    assert folder.name == f"weight_v{about['version']}"
    ours = about["delta_encoding"] == "exact-compressed"
    assert about["compression_format"] == ("coded" if ours else "zstd")
    assert about.get("weight_diff_codec") == ("1" if ours else None)
    keys = ["version", "base_version", "delta_encoding", "compression_format", "checksum_format"]
    assert list(about)[:5] == keys and all(key.startswith("weight_diff_") for key in list(about)[5:])
    found = {}
    files = sorted(folder.glob("*.safetensors"))
    for number, file in enumerate(files):
        assert file.name == f"model-{number:05d}-of-{len(files):05d}.safetensors"
        metadata, tensors = read(file)
        assert set(metadata) == set(tensors), "metadata is the checksums and nothing else"
        for name, (dtype, shape, data) in tensors.items():
            assert dtype == "U8" and shape == [len(data)] and index["weight_map"][name] == file.name
            decoded = windows(name, data, about) if ours else payload(data)
            found[name] = (about["delta_encoding"], decoded, about["checksum_format"], metadata[name])
    assert set(found) == set(index["weight_map"])
    return int(about["base_version"]), found


def main(base, chain, version, base_version=0):
    way = []
    while version > base_version:
        version, found = step(chain / f"weight_v{version:06d}")
        way.append(found)
    assert version == base_version
    state = model(base)
    for found in reversed(way):
        for name, (encoding, data, algorithm, checksum) in found.items():
            state[name] = apply(state[name], encoding, data)
            assert SUMS[algorithm](state[name].tobytes()) == checksum, f"{name}: checksum"
    print(json.dumps({name: hashlib.sha256(data.tobytes()).hexdigest() for name, data in state.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
