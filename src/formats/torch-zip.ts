/**
 * torch.save's zip format, from torch 1.6 on (caffe2/serialize/inline_container.cc; docs/formats.md 2.3): a pickle `data.pkl`, and one
 * stored record for each storage, `data/<key>`, in a folder of any name.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { WeightDiffError } from "../errors.js";
import { DAMAGED } from "./damage.js";
import { type HeaderBudget, headerBudget, takeBytes } from "./header-budget.js";
import { MAX_PICKLE, unpickle } from "./pickle.js";
import type { PicklePersistent } from "./pickle-value.js";
import { quote } from "./quote.js";
import type { ByteSource, ShardHeader, StoredRecord } from "./tensor-info.js";
import { torchGlobal, wellKnown } from "./torch-globals.js";
import { collectTensors, type Storage, storageReference } from "./torch-tensors.js";
import { locateEntry, readZipDirectory, type ZipDirectory, type ZipEntry } from "./zip.js";

const PICKLE = "data.pkl";
/** Bytes of the records `version` ("3\n") and `byteorder` ("little"). */
const MAX_SMALL = 64;

/**
 * @param budget what the headers of the whole checkpoint may still take.
 * @throws {WeightDiffError} TRUNCATED, FORMAT_INVALID, FORMAT_UNSUPPORTED (deflated, TorchScript, not a torch file …), PICKLE_GLOBAL,
 * CRC_MISMATCH (for the pickle; the readers of storages check those), LIMIT
 */
export async function readTorchZip(source: ByteSource, budget = headerBudget()): Promise<ShardHeader> {
  const directory = await readZipDirectory(source, budget);
  const root = findRoot(directory, source.name);
  const version = await readSmall(source, directory, directory.entries.get(`${root}version`));
  if (version === null || !/^(?:[1-9]|10)\s*$/.test(version)) {
    const found = version === null ? "has no version record" : `has the version ${quote(version)}`;
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `${found}; torch writes 1 to 10`,
      "torch refuses such a file too: download it again",
      { at: { file: source.name } },
    );
  }
  const byteOrder = (await readSmall(source, directory, directory.entries.get(`${root}byteorder`))) ?? "little";
  if (byteOrder !== "little" && byteOrder !== "big") {
    throw new WeightDiffError("FORMAT_INVALID", `has the byte order ${quote(byteOrder)}`, DAMAGED, {
      at: { file: source.name },
    });
  }
  const pickle = await readPickle(source, directory, budget, directory.entries.get(`${root}${PICKLE}`));
  const { value, persistent } = unpickle(pickle, 0, {
    name: source.name,
    allows: (global) => torchGlobal(global) !== undefined,
    explains: wellKnown,
    runsOut: () =>
      new WeightDiffError("FORMAT_INVALID", `${PICKLE} ends before its pickle`, DAMAGED, { at: { file: source.name } }),
  });
  const storages = await locateStorages(source, directory, root, persistent);
  return {
    format: "torch-zip",
    tensors: collectTensors(value, { name: source.name, storages, bigEndian: byteOrder === "big", budget }),
    metadata: new Map(),
    digest: createHash("sha256").update(pickle).update(directory.bytes).digest("hex"),
  };
}

/** The folder, with its "/", that holds the only data.pkl. */
function findRoot({ entries }: ZipDirectory, file: string): string {
  const found: string[] = [];
  for (const name of entries.keys()) {
    if (name.endsWith(`/${PICKLE}`)) {
      found.push(name);
    }
  }
  const [pickle] = found;
  if (pickle === undefined) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `is a zip file, but not one that torch.save made: it has no ${PICKLE}`,
      "if it is a packed model folder, unzip it first",
      { at: { file } },
    );
  }
  if (found.length > 1) {
    throw new WeightDiffError("FORMAT_INVALID", `has ${found.length} entries ${PICKLE}, expected one`, DAMAGED, {
      at: { file },
    });
  }
  const root = pickle.slice(0, -PICKLE.length);
  if (entries.has(`${root}constants.pkl`)) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      "is a TorchScript program, not weights",
      "load it with torch.jit.load where you trust it, and save its state_dict()",
      { at: { file } },
    );
  }
  return root;
}

async function readSmall(
  source: ByteSource,
  directory: ZipDirectory,
  entry: ZipEntry | undefined,
): Promise<string | null> {
  if (entry === undefined) {
    return null;
  }
  const { begin, end } = await locateEntry(source, directory, entry);
  return new TextDecoder().decode(await source.readAt(begin, Math.min(end - begin, MAX_SMALL)));
}

async function readPickle(
  source: ByteSource,
  directory: ZipDirectory,
  budget: HeaderBudget,
  entry: ZipEntry | undefined,
): Promise<Uint8Array> {
  if (entry === undefined || entry.size > MAX_PICKLE) {
    throw new WeightDiffError(
      "LIMIT",
      `${PICKLE} has ${entry?.size} bytes; more than ${MAX_PICKLE} are not read`,
      "split the checkpoint into shards, or remove everything but the weights",
      { at: { file: source.name } },
    );
  }
  const { begin, end } = await locateEntry(source, directory, entry);
  takeBytes(budget, end - begin, source.name);
  const bytes = await source.readAt(begin, end - begin);
  if (entry.crc32 !== 0 && crc32(bytes) !== entry.crc32) {
    throw new WeightDiffError("CRC_MISMATCH", `${PICKLE} does not have the CRC-32 that the archive states`, DAMAGED, {
      at: { file: source.name },
    });
  }
  return bytes;
}

/** Finds the record of each storage. Its size must be the one in the pickle, or a view would read its neighbours. */
async function locateStorages(
  source: ByteSource,
  directory: ZipDirectory,
  root: string,
  persistent: readonly PicklePersistent[],
): Promise<Map<PicklePersistent, Storage>> {
  const entryOf = (id: PicklePersistent): { readonly torchDtype: string; readonly entry: ZipEntry } => {
    const { key, numel, itemBytes, torchDtype } = storageReference(id, 5, source.name);
    const entry = directory.entries.get(`${root}data/${key}`);
    if (entry === undefined) {
      throw new WeightDiffError("FORMAT_INVALID", `has no record ${quote(`data/${key}`)}`, DAMAGED, {
        at: { file: source.name },
      });
    }
    if (entry.size !== numel * itemBytes) {
      throw new WeightDiffError(
        "FORMAT_INVALID",
        `the record ${quote(entry.name)} has ${entry.size} bytes, expected ${numel} of ${torchDtype}`,
        DAMAGED,
        { at: { file: source.name } },
      );
    }
    return { torchDtype, entry };
  };
  const wanted = new Set<ZipEntry>();
  for (const id of persistent) {
    wanted.add(entryOf(id).entry);
  }
  const records = await locateRecords(source, directory, wanted);
  const storages = new Map<PicklePersistent, Storage>();
  for (const id of persistent) {
    const { torchDtype, entry } = entryOf(id);
    const record = records.get(entry);
    if (record !== undefined) {
      storages.set(id, { torchDtype, range: record.range, record });
    }
  }
  return storages;
}

/** Records to look up at once. One after the other, ten of them take a second over a network. */
const AT_ONCE = 64;

async function locateRecords(
  source: ByteSource,
  directory: ZipDirectory,
  entries: ReadonlySet<ZipEntry>,
): Promise<ReadonlyMap<ZipEntry, StoredRecord>> {
  const records = new Map<ZipEntry, StoredRecord>();
  const locate = async (some: readonly ZipEntry[]): Promise<void> => {
    const located = await Promise.allSettled(some.map((entry) => locateEntry(source, directory, entry)));
    for (const [index, entry] of some.entries()) {
      const outcome = located[index];
      if (outcome?.status === "rejected") {
        throw outcome.reason;
      }
      if (outcome !== undefined) {
        const crc32 = entry.crc32 === 0 && entry.size > 0 ? null : entry.crc32;
        records.set(entry, { name: entry.name, range: outcome.value, crc32 });
      }
    }
  };
  let some: ZipEntry[] = [];
  for (const entry of entries) {
    some.push(entry);
    if (some.length === AT_ONCE) {
      await locate(some);
      some = [];
    }
  }
  await locate(some);
  return records;
}
