/**
 * A pickle machine for a closed world (opcodes: Python's pickletools; PEP 307, 3154, 574), protocols 2 to 5. It executes nothing: a
 * callable is a name, and calling one gives a record of the call. It refuses names outside the caller's list. All loops run over input
 * bytes, and the memory of values is counted, so no pickle can hang it or fill the memory.
 */
import { WeightDiffError } from "../errors.js";
import { invalid, line, long, type PickleRules, take, text, u8, u32, u64 } from "./pickle-input.js";
import {
  COST,
  drop,
  get,
  type Machine,
  mark,
  OPAQUE,
  pop,
  popCount,
  popMark,
  push,
  pushBytes,
  put,
  spend,
} from "./pickle-machine.js";
import { append, build, call, dict, global, sequence, setItems } from "./pickle-objects.js";
import type { PicklePersistent, PickleValue } from "./pickle-value.js";

export interface Unpickled {
  readonly value: PickleValue;
  /** The position after STOP. */
  readonly end: number;
  /** In order of appearance. */
  readonly persistent: readonly PicklePersistent[];
}

/**
 * In bytes. A state dict takes about 170 for each tensor, so this is enough for 150,000 tensors. The values take many times that in memory.
 */
export const MAX_PICKLE = 25_000_000;
const STOP = 0x2e;

/**
 * Runs one pickle, from its PROTO at `start` to its STOP.
 * @throws {WeightDiffError} FORMAT_INVALID, FORMAT_UNSUPPORTED (an opcode torch never writes), PICKLE_GLOBAL, LIMIT, and
 * what `runsOut` gives
 */
export function unpickle(bytes: Uint8Array, start: number, rules: PickleRules): Unpickled {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const machine: Machine = {
    rules,
    bytes,
    view,
    stack: [],
    marks: [],
    memo: [],
    others: new Map(),
    persistent: [],
    globals: new Map(),
    at: start,
    memory: 0,
  };
  const head = machine.view.byteLength - start < 2 ? undefined : machine.view.getUint16(start);
  if (head === undefined) {
    throw rules.runsOut();
  }
  if (head < 0x8002 || head > 0x8005) {
    throw invalid(machine, "does not begin with protocol 2 to 5");
  }
  for (;;) {
    const opcode = u8(machine);
    if (opcode === STOP) {
      const value = pop(machine);
      if (machine.stack.length > 0 || machine.marks.length > 0) {
        throw invalid(machine, "ends with values left over");
      }
      return { value, end: machine.at, persistent: machine.persistent };
    }
    const run = OPCODES[opcode];
    if (run === undefined) {
      throw new WeightDiffError(
        "FORMAT_UNSUPPORTED",
        `pickle opcode 0x${opcode.toString(16)} at byte ${machine.at - 1} is none that weight files use`,
        "the file is damaged, or holds more than weights: load it with torch where you trust it, and save its state_dict()",
        { at: { file: rules.name } },
      );
    }
    run(machine);
  }
}

/** What each opcode does, with the names of pickletools. */
const OPCODES: Readonly<Record<number, (machine: Machine) => void>> = {
  // PROTO, FRAME: framing adds nothing to STOP.
  128: (m) => take(m, 1),
  149: (m) => take(m, 8),
  // MARK, POP, POP_MARK
  40: (m) => mark(m),
  48: (m) => drop(m),
  49: (m) => popMark(m),
  // NONE, NEWTRUE, NEWFALSE
  78: (m) => push(m, null),
  136: (m) => push(m, true),
  137: (m) => push(m, false),
  // BININT, BININT1, BININT2, LONG1, LONG4, BINFLOAT
  74: (m) => push(m, m.view.getInt32(take(m, 4), true)),
  75: (m) => push(m, u8(m)),
  77: (m) => push(m, m.view.getUint16(take(m, 2), true)),
  138: (m) => pushLong(m, u8(m)),
  139: (m) => pushLong(m, u32(m)),
  71: (m) => {
    take(m, 8);
    push(m, OPAQUE);
  },
  // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and the strings of Python 2: BINSTRING, SHORT_BINSTRING
  88: (m) => pushText(m, u32(m)),
  140: (m) => pushText(m, u8(m)),
  141: (m) => pushText(m, u64(m)),
  84: (m) => pushText(m, u32(m)),
  85: (m) => pushText(m, u8(m)),
  // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
  66: (m) => pushBytes(m, u32(m)),
  67: (m) => pushBytes(m, u8(m)),
  142: (m) => pushBytes(m, u64(m)),
  150: (m) => pushBytes(m, u64(m)),
  // EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3
  41: (m) => push(m, sequence(m, "tuple", [])),
  116: (m) => push(m, sequence(m, "tuple", popMark(m))),
  133: (m) => push(m, sequence(m, "tuple", popCount(m, 1))),
  134: (m) => push(m, sequence(m, "tuple", popCount(m, 2))),
  135: (m) => push(m, sequence(m, "tuple", popCount(m, 3))),
  // EMPTY_SET, ADDITEMS, FROZENSET: a list and a tuple without their order
  143: (m) => push(m, sequence(m, "list", [])),
  144: (m) => append(m, popMark(m)),
  145: (m) => push(m, sequence(m, "tuple", popMark(m))),
  // EMPTY_LIST, APPEND, APPENDS
  93: (m) => push(m, sequence(m, "list", [])),
  97: (m) => append(m, popCount(m, 1)),
  101: (m) => append(m, popMark(m)),
  // EMPTY_DICT, SETITEM, SETITEMS
  125: (m) => push(m, dict(m)),
  115: (m) => setItems(m, popCount(m, 2)),
  117: (m) => setItems(m, popMark(m)),
  // GLOBAL, STACK_GLOBAL, REDUCE, NEWOBJ, BUILD
  99: (m) => push(m, global(m, line(m), line(m))),
  147: (m) => {
    const [module, name] = popCount(m, 2);
    push(m, global(m, module, name));
  },
  82: (m) => call(m),
  129: (m) => call(m),
  98: (m) => build(m),
  // BINPERSID
  81: (m) => {
    spend(m, COST.object + 3 * COST.item);
    const reference: PicklePersistent = { kind: "persistent", id: pop(m) };
    m.persistent.push(reference);
    push(m, reference);
  },
  // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
  113: (m) => put(m, u8(m)),
  114: (m) => put(m, u32(m)),
  148: (m) => put(m, m.memo.length + m.others.size),
  104: (m) => get(m, u8(m)),
  106: (m) => get(m, u32(m)),
};

function pushLong(machine: Machine, length: number): void {
  push(machine, long(machine, length));
  spend(machine, COST.text + length);
}

function pushText(machine: Machine, length: number): void {
  push(machine, text(machine, length));
  spend(machine, COST.text + length);
}
