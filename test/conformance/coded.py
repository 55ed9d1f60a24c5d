"""Decodes a compressed exact diff of weight-diff (docs/formats.md, 3), written from that page and from nothing else.

coded.py BASE.safetensors DIFF.safetensors [weight-diff.json] prints {name: [dtype, shape, sha256 of the tuned tensor's bytes]}.
The manifest is for a base whose tensors have other names."""
import hashlib, json, struct, sys, zlib

import numpy as np

WINDOW = 1 << 19
WIDTH = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
         "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "C64": 8, "F64": 8, "I64": 8, "U64": 8}
CLASS = {"BF16": (7, 255), "F16": (10, 31), "F32": (23, 255), "F8_E4M3": (3, 15), "F8_E4M3FNUZ": (3, 15),
         "F8_E5M2": (2, 31), "F8_E5M2FNUZ": (2, 31)}


def read(path):  # -> (metadata, {name: (dtype, shape, bytes)})
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    start = 8 + length
    return header.pop("__metadata__", {}), {
        name: (t["dtype"], t["shape"], data[start + t["data_offsets"][0] : start + t["data_offsets"][1]])
        for name, t in header.items()
    }


def convert(dtype, data, wanted):
    """The base's bytes in the tuned dtype, by way of float32."""
    if dtype == wanted:
        return data
    if dtype == "BF16":
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(data, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).astype("<f4")
    if wanted != "BF16":
        return values.astype({"F16": "<f2", "F32": "<f4"}[wanted]).tobytes()
    bits = values.view("<u4").astype(np.uint64)
    rounded = np.where(np.isnan(values), 0xFFFF, (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)
    return rounded.astype("<u2").tobytes()


def read_tables(data, at):
    """-> (cluster of each class, [cluster][slot] of tokens, frequencies and offsets, where the tables end)"""
    count = data[at] + 1
    lasts = list(data[at + 1 : at + 1 + count])
    at += 1 + count
    assert lasts[-1] == 255 and lasts == sorted(set(lasts))
    tokens, frequencies, offsets = (np.zeros((count, 2048), np.int64) for _ in range(3))
    for cluster in range(count):
        length = data[at] + 1
        at += 1
        table = []
        while len(table) < length:
            frequency = data[at]
            at += 1
            if frequency >= 128:
                frequency = frequency & 127 | data[at] << 7
                at += 1
            if frequency == 0:
                table += [0] * (data[at] + 1)
                at += 1
            else:
                table.append(frequency)
        assert len(table) == length and sum(table) == 2048
        tokens[cluster] = np.repeat(np.arange(length), table)
        frequencies[cluster] = np.repeat(table, table)
        offsets[cluster] = np.concatenate([np.arange(frequency) for frequency in table])
    return np.searchsorted(lasts, np.arange(256)), tokens, frequencies, offsets, at


def decode_window(data, base, dtype):
    """base: the units that go with the window's, as int64. -> its units."""
    width = min(WIDTH[dtype], 4)
    ordered, (shift, mask) = dtype in CLASS, CLASS.get(dtype, (0, 0))
    mode, n = data[0], len(base)
    if mode == 0:
        return base
    if mode == 1:
        return np.frombuffer(data[1:], f"<u{width}").astype(np.int64)
    alone = mode == 2
    cluster_of, tokens, frequencies, offsets, at = read_tables(data, 1)
    cluster = cluster_of[np.zeros(n, int) if alone else (base >> shift) & mask]
    (count,) = struct.unpack_from("<I", data, at)
    lanes = np.frombuffer(data, "<u4", 8, at + 4).astype(np.int64)
    words = np.frombuffer(data, "<u2", count, at + 36).astype(np.int64)
    extra = np.unpackbits(np.frombuffer(data, np.uint8, offset=at + 36 + 2 * count), bitorder="little")
    found = np.zeros(n, np.int64)
    used = 0
    for first in range(0, n, 8):
        some = min(8, n - first)
        own, slot = cluster[first : first + some], lanes[:some] & 2047
        found[first : first + some] = tokens[own, slot]
        x = frequencies[own, slot] * (lanes[:some] >> 11) + offsets[own, slot]
        short = x < 1 << 16
        taken = words[used : used + short.sum()]
        used += len(taken)
        x[short] = x[short] << 16 | taken
        lanes[:some] = x
    assert used == count and (lanes == 1 << 16).all()
    bits = 8 * width
    m = {1: 7, 2: 4, 4: 3}[width]
    length = np.full(n, bits - 8) if alone else np.maximum((found >> m) - 1, 0)
    high = found if alone else found - (length << m)
    begin = np.cumsum(length) - length
    assert len(extra) - length.sum() in range(8) and not extra[length.sum() :].any()
    value = high << length
    for bit in range(int(length.max(initial=0))):
        has = length > bit
        value[has] |= extra[begin[has] + bit].astype(np.int64) << bit
    top = 1 << (bits - 1)
    if alone:
        return (value >> 1) | ((value & 1) << (bits - 1)) if ordered else value
    steps = (value >> 1) ^ -(value & 1)
    if not ordered:
        return (base + steps) % (2 * top)
    moved = ((base & (top - 1)) + steps) % (2 * top)
    return np.where(moved & top, moved ^ (top - 1), moved) ^ (base & top)


def decode(base_path, diff_path, manifest=None):
    base, (metadata, coded) = read(base_path)[1], read(diff_path)
    if manifest is not None:
        named = {(t[0], hashlib.sha256(t[2]).hexdigest()): t for t in base.values()}
        entries = [(t["name"], t["raw"]) for t in json.load(open(manifest))["tensors"] if t["raw"]]
        base = {name: named[raw["dtype"], raw["sha256"]] for name, raw in entries}
    assert metadata["weight_diff"] == "compressed" and metadata["weight_diff_codec"] == "1"
    result = {}
    for name, dtype, shape, rule, _ in json.loads(metadata["weight_diff_coded"]):
        data, width = coded[name][2], min(WIDTH[dtype], 4)
        plain = np.zeros(int(np.prod(shape)) * WIDTH[dtype], np.uint8)
        if rule == "bits":
            raw = convert(base[name][0], base[name][2], dtype)
            plain[: len(raw)] = np.frombuffer(raw, np.uint8)
        units = plain.view(f"<u{width}").astype(np.int64)
        windows = -(-len(units) // WINDOW)
        index = np.frombuffer(data, "<u4", 2 * windows, len(data) - 8 * windows).reshape(-1, 2)
        at = 0
        for number, (length, crc) in enumerate(index.tolist()):
            window = data[at : at + length]
            assert zlib.crc32(window) == crc
            part = slice(number * WINDOW, (number + 1) * WINDOW)
            units[part] = decode_window(window, units[part], dtype)
            at += length
        assert at == len(data) - 8 * windows
        result[name] = (dtype, shape, units.astype(f"<u{width}").tobytes())
    return result


if __name__ == "__main__":
    print(json.dumps({n: [d, s, hashlib.sha256(b).hexdigest()] for n, (d, s, b) in decode(*sys.argv[1:]).items()}))
