/**
 * The store of the pickle machine: stack, marks, memo, and the memory of values. Every step checks that its operands exist and that nothing
 * grows without bound: one byte of a pickle can make a container of two hundred.
 */
import { WeightDiffError } from "../errors.js";
import { invalid, type PickleInput, take } from "./pickle-input.js";
import type { PickleGlobal, PickleOpaque, PicklePersistent, PickleValue } from "./pickle-value.js";

/** Values on the stack, and marks. Python's picklers put a thousand items into a container at a time. */
const MAX_VALUES = 500_000;
/** Bytes that all values of one pickle may take. Those of 150,000 tensors take 130 MB. */
const MAX_MEMORY = 144_000_000;
/** Bytes of each kind of value in V8 on a 64-bit machine, rounded up. */
export const COST = {
  object: 48,
  /** An array, or an item in one. */
  array: 48,
  item: 8,
  map: 208,
  entry: 40,
  text: 32,
  memo: 12,
  otherMemo: 48,
} as const;
export const OPAQUE: PickleOpaque = { kind: "opaque" };

export interface Machine extends PickleInput {
  readonly stack: PickleValue[];
  readonly marks: number[];
  /** Entries numbered from 0, as Python's own picklers do. */
  readonly memo: PickleValue[];
  /** Entries with any other number. */
  readonly others: Map<number, PickleValue>;
  readonly persistent: PicklePersistent[];
  /** Names that are known to be allowed. */
  readonly globals: Map<string, PickleGlobal>;
  /** Bytes of all values made so far. */
  memory: number;
}

function tooMuch(machine: Machine, what: string): WeightDiffError {
  return new WeightDiffError("LIMIT", `pickle makes more than ${what}`, undefined, {
    at: { file: machine.rules.name },
  });
}

/** Counts memory on the heap. @throws {WeightDiffError} LIMIT. */
export function spend(machine: Machine, bytes: number): void {
  machine.memory += bytes;
  if (machine.memory > MAX_MEMORY) {
    throw tooMuch(machine, `${MAX_MEMORY / 1e6} MB of objects`);
  }
}

export function push(machine: Machine, value: PickleValue): void {
  if (machine.stack.length >= MAX_VALUES) {
    throw tooMuch(machine, `${MAX_VALUES} values on its stack`);
  }
  machine.stack.push(value);
}

export function pushBytes(machine: Machine, length: number): void {
  take(machine, length);
  push(machine, OPAQUE);
}

export function mark(machine: Machine): void {
  if (machine.marks.length >= MAX_VALUES) {
    throw tooMuch(machine, `${MAX_VALUES} marks`);
  }
  machine.marks.push(machine.stack.length);
}

/** The lowest stack position that may be popped: values below the last mark belong to an outer object. */
function floor(machine: Machine): number {
  return machine.marks.at(-1) ?? 0;
}

export function popCount(machine: Machine, count: number): PickleValue[] {
  if (machine.stack.length - count < floor(machine)) {
    throw invalid(machine, "takes more values than there are");
  }
  return machine.stack.splice(machine.stack.length - count);
}

export function pop(machine: Machine): PickleValue {
  const value = machine.stack.length > floor(machine) ? machine.stack.pop() : undefined;
  if (value === undefined) {
    throw invalid(machine, "takes more values than there are");
  }
  return value;
}

export function drop(machine: Machine): void {
  if (machine.stack.length === machine.marks.at(-1)) {
    machine.marks.pop();
  } else {
    pop(machine);
  }
}

export function popMark(machine: Machine): PickleValue[] {
  const position = machine.marks.pop();
  if (position === undefined) {
    throw invalid(machine, "goes back to a mark that is not there");
  }
  return machine.stack.splice(position);
}

/** The value on which the popped ones act. */
export function top(machine: Machine): PickleValue {
  const value = machine.stack.length > floor(machine) ? machine.stack.at(-1) : undefined;
  if (value === undefined) {
    throw invalid(machine, "acts upon a value that is not there");
  }
  return value;
}

/** Remembers the top of the stack. */
export function put(machine: Machine, index: number): void {
  const { memo, others } = machine;
  const value = top(machine);
  if (index < memo.length) {
    memo[index] = value;
  } else if (index === memo.length) {
    spend(machine, COST.memo);
    others.delete(index);
    memo.push(value);
  } else {
    spend(machine, COST.otherMemo);
    others.set(index, value);
  }
}

export function get(machine: Machine, index: number): void {
  const value = machine.memo[index] ?? machine.others.get(index);
  if (value === undefined) {
    throw invalid(machine, `recalls the memo entry ${index}, which is not there`);
  }
  push(machine, value);
}
