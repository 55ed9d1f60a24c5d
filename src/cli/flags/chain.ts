/** Flags that name a chain of weight updates, and versions of it. */
import { CHAIN_LAYOUTS, FIREWORKS_FORMATS } from "../../chain/chain.js";
import { DEFAULTS } from "../../plan/defaults.js";
import { type CommandName, type Flag, flag } from "./flag.js";
import { ARGUMENT, CHECKPOINT, PLACE } from "./inputs.js";
import { oneOf, version } from "./values.js";

const CHAINS = [
  "chain-inspect",
  "chain-verify",
  "chain-materialize",
  "chain-fold",
] as const satisfies readonly CommandName[];
const TO = {
  name: "to",
  option: "to",
  takes: "N",
  schema: version,
  default: "the one that the publisher points at, else the newest that is complete",
  group: "inputs",
} as const;
const BASE_VERSION = {
  name: "base-version",
  option: "baseVersion",
  takes: "N",
  schema: version,
  default: String(DEFAULTS.baseVersion),
  group: "inputs",
} as const;
const CHAIN =
  "the versions: weight_v000001 … (slime, miles, stitch), v1 … (ModelExpress), delta-00000001 … (SkyRL), deltas and anchors (TRL), or org/name on the Hub";

export const CHAIN_INPUTS: readonly Flag[] = [
  flag({
    ...ARGUMENT,
    name: "chain",
    commands: ["chain-inspect", "chain-verify"],
    option: "chain",
    takes: "CHAIN",
    required: "give the chain",
    help: CHAIN,
  }),
  flag({
    ...CHECKPOINT,
    name: "path_diff",
    commands: ["chain-materialize", "chain-fold"],
    option: "chain",
    takes: "CHAIN",
    required: "give the chain",
    help: CHAIN,
  }),
  flag({
    ...CHECKPOINT,
    name: "path_raw",
    commands: ["chain-materialize"],
    option: "raw",
    takes: "BASE",
    help: `the model that the chain starts from: ${PLACE}; not needed where the chain has a full version to start from`,
  }),
  flag({
    ...CHECKPOINT,
    name: "path_raw",
    commands: ["chain-verify"],
    option: "raw",
    takes: "BASE",
    help: "the model that the chain starts from: with it, every checksum of every step is computed",
  }),
  flag({
    ...CHECKPOINT,
    name: "path_raw",
    commands: ["chain-fold"],
    option: "raw",
    takes: "BASE",
    help: "the model that the first step applies to: with it, every tensor's last checksum is computed; steps of one encoding can be folded without it",
  }),
  flag({
    ...CHECKPOINT,
    name: "path_raw",
    commands: ["chain-make"],
    option: "raw",
    takes: "BASE",
    required: "give the model before",
    help: `the chain's newest version, from which the new one was trained: ${PLACE}`,
  }),
  flag({
    ...CHECKPOINT,
    name: "path_tuned",
    commands: ["chain-make"],
    option: "tuned",
    takes: "TUNED",
    required: "give the new model",
    help: `the new model: ${PLACE}`,
  }),
  flag({
    ...CHECKPOINT,
    name: "path_diff",
    commands: ["chain-make"],
    option: "chain",
    takes: "CHAIN",
    required: "say where the chain is",
    help: "the directory of the chain: the version's folder is made in it",
  }),
  flag({
    name: "from",
    commands: ["chain-fold"],
    option: "from",
    takes: "N",
    schema: version,
    default: String(DEFAULTS.baseVersion),
    group: "inputs",
    help: "fold the steps after this version",
  }),
  flag({ ...TO, commands: ["chain-inspect"], help: "show the steps that lead to this version" }),
  flag({ ...TO, commands: ["chain-verify"], help: "check the steps that lead to this version" }),
  flag({ ...TO, commands: ["chain-materialize"], help: "the version to make" }),
  flag({ ...TO, commands: ["chain-fold"], help: "fold the steps up to this version" }),
  flag({ ...TO, commands: ["recover"], help: "of a chain: the version to make" }),
  flag({
    ...BASE_VERSION,
    commands: ["chain-inspect", "chain-verify"],
    help: "the version that the base holds: the steps after it count",
  }),
  flag({ ...BASE_VERSION, commands: ["chain-materialize"], help: "the version that BASE holds" }),
  flag({ ...BASE_VERSION, commands: ["recover"], help: "of a chain: the version that BASE holds" }),
  flag({
    name: "layout",
    commands: CHAINS,
    option: "layout",
    takes: "NAME",
    schema: oneOf(CHAIN_LAYOUTS),
    group: "inputs",
    help: `the layout of the chain, if its names do not show it: ${CHAIN_LAYOUTS.join(", ")}`,
  }),
  flag({
    name: "format",
    commands: CHAINS,
    option: "format",
    takes: "NAME",
    schema: oneOf(FIREWORKS_FORMATS),
    default: "what the payloads are",
    group: "inputs",
    help: `the format of Fireworks' payloads: ${FIREWORKS_FORMATS.join(", ")}`,
  }),
  flag({
    name: "max-steps",
    commands: CHAINS,
    option: "maxSteps",
    takes: "N",
    schema: version,
    default: String(DEFAULTS.maxSteps),
    group: "inputs",
    help: "the most steps that may lead to the version",
  }),
];
