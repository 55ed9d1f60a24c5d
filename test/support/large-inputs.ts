/** Inputs that are small on the disk and large in memory, or large and honest: made on the fly, a few megabytes each. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  op,
  pickleOf,
  safetensorsFile,
  tensorPickle,
  torchZip,
  zip64End,
  zip64File,
  zipParts,
} from "./hostile-files.js";

/** One string after the other, joined: arrays of a million strings cost more than the text. */
function repeated(count: number, piece: (index: number) => string, separator = ","): string {
  let text = "";
  for (let index = 0; index < count; index++) {
    text += index === 0 ? piece(index) : separator + piece(index);
  }
  return text;
}

export async function put(folder: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content);
  }
  return folder;
}

/** A torch file whose pickle is `unit`, over and over, between `before` and `after`. */
export function pickleOfMany(
  bytes: number,
  unit: Uint8Array,
  before: Uint8Array = Buffer.alloc(0),
  after: Uint8Array = Buffer.alloc(0),
): Uint8Array {
  return torchZip(pickleOf(before, Buffer.alloc(bytes - (bytes % unit.length), unit), after));
}

/** Pickles of many small things. */
export const PICKLE_UNITS: Readonly<Record<string, Uint8Array>> = {
  dicts: op.emptyDict,
  lists: op.emptyList,
  tuples: op.emptyTuple,
  nones: op.none,
  marks: op.mark,
  "dicts of one": Buffer.from("}K\x00Ns", "latin1"),
  "lists of one": Buffer.from("]Na", "latin1"),
  "tuples of one": Buffer.from("N\x85", "latin1"),
  texts: Buffer.from("U\x01a", "latin1"),
  longs: Buffer.from("\x8a\x09\x01\x02\x03\x04\x05\x06\x07\x08\x09", "latin1"),
  "memo entries": Buffer.from("N\x94", "latin1"),
  globals: op.global("torch", "Size"),
  calls: Buffer.concat([op.global("torch", "Size"), op.emptyTuple, op.reduce]),
  "ordered dicts": Buffer.concat([op.global("collections", "OrderedDict"), op.emptyTuple, op.reduce]),
  "persistent ids": Buffer.from("NQ", "latin1"),
};

/** A header of `count` tensors without elements, as short as they can be. */
export function shortHeader(count: number, from = 0): Uint8Array {
  return safetensorsFile(`{${repeated(count, (k) => `"${(from + k).toString(36)}":["U8",[0],[0,0]]`)}}`);
}

/** One tensor of `rank` dimensions. */
export function deepShape(rank: number): Uint8Array {
  return safetensorsFile(`{"a":["U8",[${repeated(rank, () => "0")}],[0,0]]}`);
}

/** The names of a mixture of experts: `count` of them. */
export function expertName(k: number): string {
  const [expert, layer, projection] = [
    k % 256,
    Math.floor(k / 256 / 3),
    ["gate", "up", "down"][Math.floor(k / 256) % 3],
  ];
  return `model.layers.${layer}.mlp.experts.${expert}.${projection}_proj.weight`;
}

/** Small values of BF16 that no two tensors share. */
function values(count: number, seed: number): Uint8Array {
  const halves = new Uint16Array(count);
  let state = seed + 1;
  for (let at = 0; at < count; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    halves[at] = 0x3c00 | ((state >>> 16) & 0x80ff);
  }
  return new Uint8Array(halves.buffer);
}

/** `count` tensors of a few elements under honest names, from the `from`-th on. */
export function expertsFile(count: number, from = 0, seed = 0): Uint8Array {
  const text = repeated(
    count,
    (k) => `"${expertName(from + k)}":{"dtype":"BF16","shape":[2,2],"data_offsets":[${8 * k},${8 * k + 8}]}`,
  );
  return safetensorsFile(`{"__metadata__":{"format":"pt"},${text}}`, values(4 * count, seed + from));
}

export async function putExperts(folder: string, count: number, files: number, seed = 0): Promise<string> {
  await mkdir(folder, { recursive: true });
  const each = Math.ceil(count / files);
  if (files === 1) {
    return put(folder, { "model.safetensors": expertsFile(count, 0, seed), "config.json": "{}" });
  }
  const map: string[] = [];
  for (let file = 0; file < files; file++) {
    const name = `model-${String(file + 1).padStart(5, "0")}-of-${String(files).padStart(5, "0")}.safetensors`;
    const here = Math.min(each, count - file * each);
    await writeFile(join(folder, name), expertsFile(here, file * each, seed));
    map.push(repeated(here, (k) => `"${expertName(file * each + k)}": "${name}"`, ",\n"));
  }
  return put(folder, {
    "model.safetensors.index.json": `{"metadata":{"total_size":${count * 8}},"weight_map":{${map.join(",\n")}}}`,
    "config.json": "{}",
  });
}

/** `count` tensors as torch.save writes them, each with a storage of its own and everything in the memo. */
export function torchExperts(count: number): Uint8Array {
  const tensors: Uint8Array[] = [];
  let memo = 0;
  for (let k = 0; k < count; k++) {
    const name = op.text(expertName(k));
    const tensor = tensorPickle({ type: "BFloat16Storage", key: String(k), numel: 4, size: [2, 2], stride: [2, 1] });
    const memoized = Array.from({ length: 4 }, () => op.put(memo++));
    tensors.push(Buffer.concat([name, op.put(memo++), op.put(memo++), tensor, ...memoized, op.setItem]));
  }
  const data = values(4 * count, 0);
  return zip64File([
    { name: "archive/data.pkl", data: pickleOf(op.emptyDict, Buffer.concat(tensors)) },
    { name: "archive/version", data: Buffer.from("3\n") },
    ...Array.from({ length: count }, (_, k) => ({ name: `archive/data/${k}`, data: data.subarray(8 * k, 8 * k + 8) })),
  ]);
}

/** A zip of `count` empty entries behind an empty torch file, with the zip64 end record that so many need. */
export function crowdedZip(count: number): Uint8Array {
  const torch = zipParts([
    { name: "a/data.pkl", data: pickleOf(op.emptyDict) },
    { name: "a/version", data: Buffer.from("3\n") },
  ]);
  const { body, directory } = zipParts([{ name: "00000", data: Buffer.alloc(0) }]);
  const locals = Buffer.alloc(body.length * count, body);
  const entries = Buffer.alloc(directory.length * count, directory);
  for (let k = 0; k < count; k++) {
    const name = k.toString(36).padStart(5, "0");
    locals.write(name, (k + 1) * body.length - 5, "latin1");
    entries.write(name, (k + 1) * directory.length - 5, "latin1");
    entries.writeUInt32LE(torch.body.length + k * body.length, k * directory.length + 42);
  }
  const all = [torch.body, locals, torch.directory, entries];
  return Buffer.concat([
    ...all,
    zip64End(count + 2, torch.directory.length + entries.length, torch.body.length + locals.length),
  ]);
}

/** tokenizer.json of `count` tokens. */
export function tokenizerText(count: number): string {
  return `{"version":"1.0","model":{"type":"BPE","vocab":{${repeated(count, (k) => `"${k.toString(36)}":${k}`)}},"merges":[]}}`;
}

/** 240 names for one file of 7,000 tensors, of which the index wants one each. */
export async function putStrays(folder: string, names = 240, tensors = 7000): Promise<string> {
  await put(folder, {
    "s.safetensors": safetensorsFile(`{${repeated(tensors, (k) => `"${k.toString(16)}":["F4",[0],[0,0]]`)}}`),
  });
  const files = Array.from({ length: names }, (_, k) => `s${String(k).padStart(3, "0")}${"y".repeat(239)}.safetensors`);
  for (const file of files) {
    await symlink("s.safetensors", join(folder, file));
  }
  const map = Object.fromEntries(files.map((file, k) => [k.toString(16), file]));
  return put(folder, { "model.safetensors.index.json": JSON.stringify({ weight_map: map }) });
}
