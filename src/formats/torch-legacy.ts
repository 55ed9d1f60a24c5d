/**
 * torch.save's format before 1.6, and with _use_new_zipfile_serialization=False since (torch/serialization.py, _legacy_save;
 * docs/formats.md 2.5): five pickles back to back (magic number, protocol 1001, system information, the object, the list of storage
 * keys), then for each key in that order an int64 element count and the elements, up to the end of the file.
 */
import { createHash } from "node:crypto";
import { WeightDiffError } from "../errors.js";
import { DAMAGED, INCOMPLETE } from "./damage.js";
import { headerBudget, takeBytes } from "./header-budget.js";
import { MAX_PICKLE, unpickle } from "./pickle.js";
import type { PickleRules } from "./pickle-input.js";
import { isKind, type PicklePersistent, type PickleValue } from "./pickle-value.js";
import { quote } from "./quote.js";
import type { ByteRange, ByteSource, ShardHeader } from "./tensor-info.js";
import { torchGlobal, wellKnown } from "./torch-globals.js";
import { collectTensors, type Storage, type StorageReference, storageReference } from "./torch-tensors.js";

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** Elements are little-endian on every machine (torch/csrc/serialization.cpp), so `little_endian` is not read. */
export async function readTorchLegacy(source: ByteSource, budget = headerBudget()): Promise<ShardHeader> {
  const file = source.name;
  const bytes = await source.readAt(0, Math.min(source.size, MAX_PICKLE));
  const rules: PickleRules = {
    name: file,
    allows: (global) => torchGlobal(global) !== undefined,
    explains: wellKnown,
    runsOut: () =>
      bytes.length === source.size
        ? new WeightDiffError("TRUNCATED", "ends within its pickles", INCOMPLETE, { at: { file } })
        : new WeightDiffError("LIMIT", `pickles of more than ${MAX_PICKLE} bytes are not read`, undefined, {
            at: { file },
          }),
  };
  const magic = unpickle(bytes, 0, rules);
  const protocol = unpickle(bytes, magic.end, rules);
  if (magic.value !== MAGIC || protocol.value !== PROTOCOL) {
    throw invalid(file, "does not begin with torch's magic number and protocol 1001");
  }
  const system = unpickle(bytes, protocol.end, rules);
  const object = unpickle(bytes, system.end, rules);
  const list = unpickle(bytes, object.end, rules);
  takeBytes(budget, list.end, file);
  const references = object.persistent.map((id) => [id, storageReference(id, 6, file)] as const);
  const digest = createHash("sha256").update(bytes.subarray(0, list.end));
  const ranges = await locateStorages(
    source,
    list.end,
    readKeys(list.value, file),
    typesByKey(references, file),
    (word) => digest.update(word),
  );
  const storages = new Map<PicklePersistent, Storage>();
  for (const [id, { key, torchDtype }] of references) {
    const range = ranges.get(key);
    if (range === undefined) {
      throw invalid(file, `the storage ${quote(key)} is not in the list of storages`);
    }
    storages.set(id, { torchDtype, range });
  }
  return {
    format: "torch-legacy",
    tensors: collectTensors(object.value, { name: file, storages, bigEndian: false, budget }),
    metadata: new Map(),
    digest: digest.digest("hex"),
  };
}

function readKeys(value: PickleValue, file: string): readonly string[] {
  const items = isKind(value, "list") ? value.items : [null];
  const keys = items.filter((item) => typeof item === "string");
  if (keys.length !== items.length || new Set(keys).size !== keys.length) {
    throw invalid(file, "the list of storages is not a list of different keys");
  }
  return keys;
}

/** All mentions of a storage must agree on its number of bytes. */
function typesByKey(
  references: readonly (readonly [PicklePersistent, StorageReference])[],
  file: string,
): ReadonlyMap<string, StorageReference> {
  const types = new Map<string, StorageReference>();
  for (const [, reference] of references) {
    const { key, numel, itemBytes } = reference;
    const first = types.get(key) ?? reference;
    if (first.numel * first.itemBytes !== numel * itemBytes) {
      throw invalid(file, `the storage ${quote(key)} is given two sizes`);
    }
    types.set(key, first);
  }
  return types;
}

async function locateStorages(
  source: ByteSource,
  start: number,
  keys: readonly string[],
  types: ReadonlyMap<string, StorageReference>,
  seen: (countWord: Uint8Array) => void,
): Promise<ReadonlyMap<string, ByteRange>> {
  const ranges = new Map<string, ByteRange>();
  let at = start;
  for (const key of keys) {
    const type = types.get(key);
    if (type === undefined) {
      throw invalid(source.name, `the listed storage ${quote(key)} belongs to no tensor`);
    }
    const begin = at + 8;
    const end = begin + type.numel * type.itemBytes;
    if (end > source.size) {
      throw new WeightDiffError(
        "TRUNCATED",
        `has ${source.size} bytes, but the storage ${quote(key)} ends at ${end}`,
        INCOMPLETE,
        { at: { file: source.name } },
      );
    }
    const word = await source.readAt(at, 8);
    const count = new DataView(word.buffer, word.byteOffset, 8).getBigInt64(0, true);
    if (count !== BigInt(type.numel)) {
      throw invalid(source.name, `the storage ${quote(key)} has ${count} elements, expected ${type.numel}`);
    }
    seen(word);
    ranges.set(key, { begin, end });
    at = end;
  }
  if (at !== source.size) {
    throw new WeightDiffError("TRUNCATED", `has ${source.size} bytes, but its last storage ends at ${at}`, DAMAGED, {
      at: { file: source.name },
    });
  }
  return ranges;
}

function invalid(file: string, what: string): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", what, DAMAGED, { at: { file } });
}
