/** The store of the pickle machine: stack, marks, memo. Every step checks that what it takes is there and that nothing grows without bound. */
import { WeightDiffError } from "../errors.js";
import { invalid, type PickleInput, take } from "./pickle-input.js";
import type { PickleOpaque, PicklePersistent, PickleValue } from "./pickle-value.js";

/** Values on the stack, in the memo, and containers made: what 150,000 tensors need, with room. */
export const MAX_VALUES = 2_000_000;
export const OPAQUE: PickleOpaque = { kind: "opaque" };

export interface Machine extends PickleInput {
  readonly stack: PickleValue[];
  readonly marks: number[];
  readonly memo: Map<number, PickleValue>;
  readonly persistent: PicklePersistent[];
  made: number;
}

export function tooMuch(machine: Machine, what: string): WeightDiffError {
  return new WeightDiffError("LIMIT", `pickle makes more than ${MAX_VALUES} ${what}`, undefined, {
    at: { file: machine.rules.name },
  });
}

export function push(machine: Machine, value: PickleValue): void {
  if (machine.stack.length >= MAX_VALUES) {
    throw tooMuch(machine, "values on its stack");
  }
  machine.stack.push(value);
}

export function pushBytes(machine: Machine, length: number): void {
  take(machine, length);
  push(machine, OPAQUE);
}

export function mark(machine: Machine): void {
  if (machine.marks.length >= MAX_VALUES) {
    throw tooMuch(machine, "marks");
  }
  machine.marks.push(machine.stack.length);
}

/** The lowest stack position that may be popped: values below the last mark belong to somebody else. */
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

/** The value that the popped ones act upon. */
export function top(machine: Machine): PickleValue {
  const value = machine.stack.length > floor(machine) ? machine.stack.at(-1) : undefined;
  if (value === undefined) {
    throw invalid(machine, "acts upon a value that is not there");
  }
  return value;
}

/** Counts what lives on the heap: one byte of pickle can make a container of 200. */
export function made(machine: Machine): void {
  machine.made += 1;
  if (machine.made > MAX_VALUES) {
    throw tooMuch(machine, "objects");
  }
}
