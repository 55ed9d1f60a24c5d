/**
 * From an unpickled torch object to tensors at byte ranges (torch/_utils.py: _rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter).
 * Walks dicts and lists; their keys make up the names. With shared structure, a small pickle may take endless time to walk, and a view may
 * claim terabytes, so both have limits.
 */
import { WeightDiffError } from "../errors.js";
import { TAMPERED } from "./damage.js";
import { type Dtype, dtypeBits, dtypeFromTorch, elementCount } from "./dtype.js";
import { type HeaderBudget, takeBytes, takeTensors } from "./header-budget.js";
import { isKind, type PickleCall, type PicklePersistent, type PickleValue } from "./pickle-value.js";
import { quote } from "./quote.js";
import { type ByteRange, MAX_RANK, type Shape, type StoredRecord, type TensorInfo } from "./tensor-info.js";
import { type StorageType, torchGlobal } from "./torch-globals.js";

/** A storage to which a pickle refers. */
export interface StorageReference extends StorageType {
  readonly key: string;
  /** Elements of `itemBytes` bytes. */
  readonly numel: number;
}

/** A storage whose bytes were found. */
export interface Storage {
  readonly torchDtype: string;
  readonly range: ByteRange;
  readonly record?: StoredRecord;
}

interface TorchFile {
  readonly name: string;
  readonly storages: ReadonlyMap<PicklePersistent, Storage>;
  readonly bigEndian: boolean;
  /** What the headers of the whole checkpoint may still take. */
  readonly budget: HeaderBudget;
}

/** Real checkpoints nest four or five levels. */
const MAX_DEPTH = 100;
/** The most values to look at. A 25 MB pickle without shared structure holds fewer. */
const MAX_VISITS = 4_000_000;
/** Characters of a storage key, which is a counter or an address. */
const MAX_KEY = 64;
/** A strided view may claim this many bytes, or four times its storage, whichever is more (docs/formats.md 2.3). */
const VIEW_BYTES = 16 * 2 ** 20;
const VIEW_FACTOR = 4;
const SAVE_DENSE = "load it with torch, make the tensor a plain dense one, and save the state_dict() again";

/**
 * Reads the persistent id ("storage", type, key, location, numel), with `fields` items; legacy files have a sixth.
 * @throws {WeightDiffError} FORMAT_INVALID; FORMAT_UNSUPPORTED for whole pickled modules and untyped oddities; LIMIT
 */
export function storageReference({ id }: PicklePersistent, fields: 5 | 6, file: string): StorageReference {
  const items = isKind(id, "tuple") ? id.items : [];
  const [tag, type, key, , numel, view] = items;
  if (tag === "module") {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      "holds a whole pickled module, not weights",
      "load it with torch where you trust it, and save its state_dict()",
      { at: { file } },
    );
  }
  const rule = isKind(type, "global") ? torchGlobal(type.name) : undefined;
  if (
    tag !== "storage" ||
    rule === undefined ||
    typeof key !== "string" ||
    typeof numel !== "number" ||
    numel < 0 ||
    items.length !== fields
  ) {
    throw invalid(file, "pickle refers to a storage in a way torch does not");
  }
  if (key.length > MAX_KEY) {
    throw new WeightDiffError("LIMIT", `a storage key of ${key.length} characters`, undefined, { at: { file } });
  }
  if (rule.kind !== "storage" || (fields === 6 && view !== null)) {
    const what = rule.kind === "storage" ? "is a view of another storage" : "has no plain element type";
    throw new WeightDiffError("FORMAT_UNSUPPORTED", `the storage ${quote(key)} ${what}`, SAVE_DENSE, { at: { file } });
  }
  if (!Number.isSafeInteger(numel * rule.itemBytes)) {
    throw invalid(file, `the storage ${quote(key)} claims ${numel} elements`);
  }
  return { key, numel, torchDtype: rule.torchDtype, itemBytes: rule.itemBytes };
}

/**
 * Every tensor below `root`, in pickle order. Scalars, strings and the like are skipped.
 * @throws {WeightDiffError} FORMAT_INVALID, FORMAT_UNSUPPORTED, LIMIT
 */
export function collectTensors(root: PickleValue, file: TorchFile): TensorInfo[] {
  const tensors = new Map<string, TensorInfo>();
  let visits = 0;
  /** A name, after a check that all names together stay small: one long key may be part of every name. */
  const nameAt = (path: readonly string[]): string => {
    const length = path.reduce((sum, key) => sum + key.length + 1, 0);
    takeBytes(file.budget, length, file.name);
    return path.join(".");
  };
  const visit = (value: PickleValue, path: readonly string[]): void => {
    visits += 1;
    if (visits > MAX_VISITS || path.length > MAX_DEPTH) {
      const what = path.length > MAX_DEPTH ? `nested deeper than ${MAX_DEPTH} levels` : "too large to walk";
      throw new WeightDiffError("LIMIT", `the pickled object is ${what}, or contains itself`, undefined, {
        at: { file: file.name },
      });
    }
    if (isKind(value, "dict")) {
      for (const [key, item] of value.entries) {
        visit(item, [...path, String(key)]);
      }
    } else if (isKind(value, "list") || isKind(value, "tuple")) {
      for (const [index, item] of value.items.entries()) {
        visit(item, [...path, String(index)]);
      }
    } else if (isKind(value, "call") && torchGlobal(value.name)?.kind === "container") {
      visit(value.args[0] ?? null, path);
    } else if (isKind(value, "call")) {
      takeTensors(file.budget, 1, file.name);
      const name = nameAt(path);
      const tensor = readCall(value, name, path, file);
      if (tensor !== undefined && tensors.has(name)) {
        throw invalid(file.name, `the tensor name ${quote(name)} occurs twice`);
      }
      if (tensor !== undefined) {
        tensors.set(name, tensor);
      }
    } else if (isKind(value, "persistent")) {
      throw unsupported(file.name, nameAt(path), "is a bare storage, not a tensor");
    }
  };
  visit(root, []);
  return [...tensors.values()];
}

function readCall(call: PickleCall, name: string, path: readonly string[], file: TorchFile): TensorInfo | undefined {
  let inner = call;
  let rule = torchGlobal(inner.name);
  // Only a handmade pickle can have a chain of these. The bound keeps it from being walked for every mention.
  for (let depth = 0; (rule?.kind === "parameter" || rule?.kind === "typed") && depth < 3; depth += 1) {
    inner = rule.kind === "parameter" ? ofParameter(inner, name, file.name) : ofType(inner, name, file.name);
    rule = torchGlobal(inner.name);
  }
  if (rule?.kind === "unsupported") {
    throw unsupported(file.name, name, `is ${rule.what}; only plain dense tensors are read`);
  }
  if (rule?.kind === "tensor" && inner.args.length >= rule.least) {
    const { dtypeAt, metadataAt } = rule;
    checkMetadata(metadataAt === undefined ? undefined : inner.args[metadataAt], name, file.name);
    return readTensor(inner, dtypeAt === undefined ? undefined : inner.args[dtypeAt], name, path, file);
  }
  if (rule?.kind === "ignored" || rule?.kind === "size") {
    return undefined;
  }
  throw invalid(file.name, `pickle makes ${quote(name)} by a strange call of ${inner.name}`);
}

function ofParameter({ args: [tensor] }: PickleCall, name: string, file: string): PickleCall {
  if (!isKind(tensor, "call")) {
    throw invalid(file, `tensor ${quote(name)} is a parameter without a tensor`);
  }
  return tensor;
}

/** torch/_tensor.py, _rebuild_from_type_v2: attributes do not change the values of a plain tensor. What another class does is unknown. */
function ofType({ args: [rebuilder, type, inner] }: PickleCall, name: string, file: string): PickleCall {
  if (!isKind(rebuilder, "global") || !isKind(type, "global") || !isKind(inner, "tuple")) {
    throw invalid(file, `tensor ${quote(name)} is not rebuilt by a name, a class and a tuple`);
  }
  if (torchGlobal(type.name)?.kind !== "class") {
    throw unsupported(file, name, `is of the class ${quote(type.name)}; only plain dense tensors are read`);
  }
  return { kind: "call", name: rebuilder.name, args: inner.items };
}

/** The lazy bits of a tensor: its stored bytes are not its values (torch 2; 1.13 dropped them). */
function checkMetadata(metadata: PickleValue | undefined, name: string, file: string): void {
  if (metadata === undefined || metadata === null) {
    return;
  }
  const entries = isKind(metadata, "dict") ? [...metadata.entries] : [["?", true]];
  for (const [bit, value] of entries) {
    if (value !== false) {
      throw unsupported(file, name, `has the lazy bit ${quote(String(bit))}: its stored bytes are not its values`);
    }
  }
}

function readTensor(
  { args }: PickleCall,
  dtypeValue: PickleValue | undefined,
  name: string,
  path: readonly string[],
  file: TorchFile,
): TensorInfo {
  const tensor = `tensor ${quote(name)}`;
  const [reference, offset] = args;
  const storage = isKind(reference, "persistent") ? file.storages.get(reference) : undefined;
  const shape = readSizes(args[2], `${tensor}: size`, file.name);
  const strides = readSizes(args[3], `${tensor}: stride`, file.name);
  if (storage === undefined || typeof offset !== "number" || offset < 0 || shape.length !== strides.length) {
    throw invalid(file.name, `${tensor} is not rebuilt from a storage, an offset, a size and a stride`);
  }
  const dtype = readDtype(dtypeValue, storage, name, file);
  const { range, contiguous } = placeView({ dtype, shape, strides, offset }, storage, tensor, file.name);
  const { record } = storage;
  const swapped = file.bigEndian && dtypeBits(dtype) > 8;
  if (contiguous && !swapped) {
    // Copies the fields by name: with spreads, V8 makes a hidden class of 300 bytes for each object.
    return record === undefined ? { name, path, dtype, shape, range } : { name, path, dtype, shape, range, record };
  }
  return {
    name,
    path,
    dtype,
    shape,
    range,
    ...(contiguous ? {} : { strides }),
    ...(swapped ? { bigEndian: true } : {}),
    ...(record === undefined ? {} : { record }),
  };
}

function readDtype(value: PickleValue | undefined, storage: Storage, name: string, file: TorchFile): Dtype {
  const rule = isKind(value, "global") ? torchGlobal(value.name) : undefined;
  if (value !== undefined && rule?.kind !== "dtype") {
    throw invalid(file.name, `tensor ${quote(name)} has no dtype`);
  }
  const torchDtype = rule?.kind === "dtype" ? rule.torchDtype : storage.torchDtype;
  const dtype = dtypeFromTorch(torchDtype);
  // For packed types, torch counts bytes and safetensors counts elements. Complex elements swap their halves separately.
  if (dtype === undefined || dtypeBits(dtype) < 8 || (dtype === "C64" && file.bigEndian)) {
    throw unsupported(file.name, name, `has the dtype ${torchDtype}, which is not supported`);
  }
  return dtype;
}

/** A tuple of non-negative integers, also as torch.Size. */
function readSizes(value: PickleValue | undefined, what: string, file: string): Shape {
  const inner = isKind(value, "call") && value.name === "torch.Size" ? value.args[0] : value;
  if (!isKind(inner, "tuple")) {
    throw invalid(file, `${what} is no tuple`);
  }
  if (inner.items.length > MAX_RANK) {
    throw new WeightDiffError("LIMIT", `${what} has ${inner.items.length} dimensions`, undefined, { at: { file } });
  }
  return inner.items.map((item) => {
    if (typeof item !== "number" || item < 0) {
      throw invalid(file, `${what} holds something other than integers from 0`);
    }
    return item;
  });
}

interface View {
  readonly dtype: Dtype;
  readonly shape: Shape;
  readonly strides: readonly number[];
  /** In elements. */
  readonly offset: number;
}

/** From the first to past the last byte of a view, which must lie within its storage. */
function placeView(
  { dtype, shape, strides, offset }: View,
  storage: Storage,
  tensor: string,
  file: string,
): { readonly range: ByteRange; readonly contiguous: boolean } {
  const itemBytes = dtypeBits(dtype) / 8;
  const storageBytes = storage.range.end - storage.range.begin;
  const count = elementCount(shape);
  if (count === undefined || !Number.isSafeInteger(count * itemBytes)) {
    throw invalid(file, `${tensor} claims more elements than there can be: [${shape.join(", ")}]`);
  }
  if (count === 0) {
    // torch does not check the offset of an empty tensor.
    return { range: { begin: storage.range.begin, end: storage.range.begin }, contiguous: true };
  }
  let last = offset;
  let dense = 1;
  let contiguous = true;
  for (let dimension = shape.length - 1; dimension >= 0; dimension -= 1) {
    const size = shape[dimension] ?? 1;
    const stride = strides[dimension] ?? 0;
    if (size > 1) {
      last += (size - 1) * stride;
      contiguous &&= stride === dense;
      dense *= size;
    }
  }
  // Above 2^53 the sum is inexact, but never below a storage's size, since every term is positive.
  if ((last + 1) * itemBytes > storageBytes) {
    throw invalid(file, `${tensor} reaches past its storage: to element ${last} of ${storageBytes / itemBytes}`);
  }
  if (!contiguous && count * itemBytes > Math.max(VIEW_BYTES, VIEW_FACTOR * storageBytes)) {
    throw new WeightDiffError(
      "LIMIT",
      `${tensor} is a view of ${count * itemBytes} bytes on a storage of ${storageBytes}`,
      SAVE_DENSE,
      { at: { file } },
    );
  }
  const begin = storage.range.begin + offset * itemBytes;
  return { range: { begin, end: storage.range.begin + (last + 1) * itemBytes }, contiguous };
}

function invalid(file: string, what: string): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", what, TAMPERED, {
    at: { file },
  });
}

function unsupported(file: string, name: string, what: string): WeightDiffError {
  return new WeightDiffError("FORMAT_UNSUPPORTED", `tensor ${quote(name)} ${what}`, SAVE_DENSE, { at: { file } });
}
