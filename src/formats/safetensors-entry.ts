/**
 * Reads what a safetensors header says of each tensor: an object with dtype, shape and data_offsets, or an array of the three, as serde reads a struct
 * (`TensorInfo` in tensor.rs, 0.8).
 */
import { WeightDiffError } from "../errors.js";
import { DAMAGED } from "./damage.js";
import { type Dtype, isDtype } from "./dtype.js";
import type { JsonScanner } from "./json-scanner.js";
import { Spelling } from "./json-spelling.js";
import type { Names } from "./names.js";
import { quote } from "./quote.js";
import type { StatedTensors } from "./stated-tensors.js";
import { MAX_RANK } from "./tensor-info.js";

/** The fields of a tensor entry, in the order of their array form. */
const FIELDS = ["dtype", "shape", "data_offsets"] as const;

/** Reads one entry after the other: objects, or arrays [dtype, shape, data_offsets], as serde reads a struct. Other fields are skipped. */
export function entryReader(
  scanner: JsonScanner,
  stated: StatedTensors,
  names: Names,
  file: string,
): (id: number) => void {
  let id = 0;
  let dtype: string | undefined;
  /** The dtype of the tensor before. */
  let known: Dtype | undefined;
  let shapeFirst = true;
  const name = (): string => names.textOf(id);
  /** How the tensor before was spelled, and the numbers of the next one. */
  const spelling = new Spelling();
  const numbers = new Float64Array(MAX_RANK + 2);
  const shape = integerReader(scanner, "shape", { name, file, spelling });
  const offsets = integerReader(scanner, "data_offsets", { name, file, spelling });
  const readField = (field: string | undefined): void => {
    if (field === "dtype") {
      dtype = readDtype(scanner);
    } else if (field === "shape") {
      shape.read();
      shapeFirst = offsets.length < 0;
    } else if (field === "data_offsets") {
      offsets.read();
    } else {
      scanner.skip();
    }
  };
  const readItem = (index: number): void =>
    index < FIELDS.length
      ? readField(FIELDS[index])
      : scanner.fail(`tensor ${quote(name())} has more than dtype, shape and data_offsets`);
  return (next) => {
    id = next;
    if (scanner.alike(spelling, numbers)) {
      shape.set(numbers, 0);
      offsets.set(numbers, shape.length);
      stated.add(id, known as Dtype, shape, offsets);
      return;
    }
    dtype = undefined;
    shape.length = -1;
    offsets.length = -1;
    const isArray = scanner.peek() === "[";
    spelling.begin(scanner.position);
    if (isArray) {
      scanner.array(readItem);
    } else {
      scanner.object(readField, FIELDS);
    }
    spelling.end(scanner.position);
    if (dtype === undefined || shape.length < 0 || offsets.length < 0) {
      scanner.fail(`tensor ${quote(name())} lacks dtype, shape or data_offsets`);
    }
    if (offsets.length !== 2) {
      scanner.fail(`tensor ${quote(name())} has ${offsets.length} data_offsets, not 2`);
    }
    if (dtype !== known && !isDtype(dtype)) {
      throw new WeightDiffError(
        "FORMAT_UNSUPPORTED",
        `tensor ${quote(name())} has the dtype ${quote(dtype)}, which safetensors 0.8 does not know`,
        undefined,
        { at: { file } },
      );
    }
    known = dtype as Dtype;
    stated.add(id, known, shape, offsets);
    if (!shapeFirst) {
      spelling.forget();
    }
  };
}

/** "I32", or {"I32": null}, which serde reads as the same. */
function readDtype(scanner: JsonScanner): string {
  if (scanner.peek() === '"') {
    return scanner.string();
  }
  const names: string[] = [];
  scanner.object((key) => {
    names.push(key);
    if (scanner.literal() !== null) {
      scanner.fail("a dtype carries a value");
    }
  });
  const [name] = names;
  return name === undefined || names.length !== 1 ? scanner.fail("a dtype is not one name") : name;
}

/** Reads lists of numbers, each into the room of the last one. */
interface IntegerReader {
  readonly numbers: Float64Array;
  /** -1 as long as no list was read. */
  length: number;
  read(): void;
  /** Takes as many numbers as it has, from this one on. */
  set(all: Float64Array, first: number): void;
}

/** @param field the list's name. @param name gives that of the tensor. @param spelling is told of each number. */
function integerReader(
  scanner: JsonScanner,
  field: string,
  { name, file, spelling }: { readonly name: () => string; readonly file: string; readonly spelling: Spelling },
): IntegerReader {
  const numbers = new Float64Array(MAX_RANK);
  const readNumber = (index: number): void => {
    if (index >= MAX_RANK) {
      const what = `tensor ${quote(name())} has a ${field} of more than ${MAX_RANK} numbers`;
      throw new WeightDiffError("LIMIT", what, DAMAGED, { at: { file, tensor: name() } });
    }
    const value = scanner.integer();
    spelling.number(value, scanner.position);
    numbers[index] = value;
    list.length = index + 1;
  };
  const list: IntegerReader = {
    numbers,
    length: -1,
    read() {
      list.length = 0;
      scanner.array(readNumber);
    },
    set(all, first) {
      for (let index = 0; index < list.length; index++) {
        numbers[index] = all[first + index] ?? 0;
      }
    },
  };
  return list;
}
