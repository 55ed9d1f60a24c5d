/** Flags that choose the script by whose rules a diff is applied. */
import { DEFAULTS } from "../../plan/defaults.js";
import { NEW_ROWS } from "../../scheme/axes.js";
import { SCHEMES } from "../../scheme/families.js";
import { type CommandName, type Flag, flag, foreignFlag } from "./flag.js";
import { dtypeOrStored, fireBool, oneOf, text } from "./values.js";

const APPLY = ["recover", "verify", "report"] as const satisfies readonly CommandName[];
const NAME = { option: "scheme", takes: "NAME", default: DEFAULTS.scheme, group: "scheme" } as const;
const ANY = {
  ...NAME,
  schema: text,
  choices: ["auto", "custom", ...SCHEMES.map(({ name }) => name)],
} as const;
const NAMES = "auto, custom, or which script's rules to follow: weight-diff schemes lists them";

export const SCHEME: readonly Flag[] = [
  flag({ ...ANY, name: "scheme", commands: ["recover"], help: NAMES }),
  flag({ ...ANY, name: "scheme", commands: ["verify"], help: `with --path_raw: ${NAMES}` }),
  flag({ ...ANY, name: "scheme", commands: ["report"], help: `of a diff: ${NAMES}` }),
  flag({
    ...NAME,
    name: "scheme",
    commands: ["xor"],
    schema: oneOf(["auto", "oa-xor", "pygmalion", "point-alpaca"]),
    help: "auto, oa-xor, pygmalion or point-alpaca: which script's rules to follow",
  }),
  flag({
    name: "is_fp16",
    commands: APPLY,
    option: "variants",
    takes: "BOOL",
    bare: true,
    schema: fireBool(["is_fp16"] as const),
    group: "scheme",
    help: "do as KnowLM's script does with this flag: compute in float16",
  }),
  flag({
    name: "low-cpu-mem",
    commands: APPLY,
    option: "variants",
    takes: "BOOL",
    bare: true,
    schema: fireBool(["low_cpu_mem"] as const),
    group: "scheme",
    help: "do as FastChat's script does with this flag: compute in the files' own dtypes; memory is small without it, too",
  }),
  flag({
    name: "rows",
    commands: APPLY,
    option: "rows",
    takes: "RULE",
    schema: oneOf(NEW_ROWS),
    default: "the scheme's",
    group: "scheme",
    help: "new vocabulary rows: mean (the base's mean is added), zero (nothing is added), overlap or refuse",
  }),
  flag({
    name: "rows",
    commands: ["make-diff"],
    option: "rows",
    takes: "RULE",
    schema: oneOf(["mean", "refuse"]),
    group: "scheme",
    help: "new vocabulary rows: mean or refuse; mean also allows more than 64 of them",
  }),
  flag({
    name: "op",
    commands: APPLY,
    option: "custom.operation",
    takes: "add|subtract",
    schema: oneOf(["add", "subtract"]),
    default: "add",
    group: "scheme",
    help: "with --scheme custom: base + diff, or diff - base",
  }),
  flag({
    name: "arith",
    commands: APPLY,
    option: "custom.arithmetic",
    takes: "DTYPE",
    schema: dtypeOrStored,
    default: "float32",
    group: "scheme",
    help: "with --scheme custom: float32, float16, bfloat16, or stored: as in the files",
  }),
  flag({
    name: "verbatim",
    commands: APPLY,
    option: "custom.verbatim",
    takes: "PATTERN",
    repeated: true,
    schema: text.transform((pattern) => [pattern]),
    group: "scheme",
    help: "with --scheme custom: names taken from the diff as they are: part of a name, or all of it with *; may be repeated",
  }),
  flag({
    name: "driver",
    commands: APPLY,
    option: "custom.driver",
    takes: "diff|raw",
    schema: oneOf(["diff", "raw"]),
    default: "diff",
    group: "scheme",
    help: "with --scheme custom: which side's names decide what is written; raw leaves out what only the diff has",
  }),
  // AlpacaFarm's script takes the name of a model in place of paths: see paths.ts.
  { ...foreignFlag("alpaca-farm-model-name", ["recover"]), takes: "NAME" },
  { ...foreignFlag("models-save-dir", ["recover"]), takes: "OUT" },
];
