/** Flags for the Hub, in every command that may read from it. */
import { type CommandName, type Flag, flag } from "./flag.js";
import { text } from "./values.js";

export const READERS = [
  "recover",
  "make-diff",
  "convert",
  "finalize",
  "xor",
  "verify",
  "inspect",
  "chain-inspect",
  "chain-verify",
  "chain-materialize",
  "chain-fold",
  "chain-make",
  "report",
  "try",
  "push",
] as const satisfies readonly CommandName[];

export const HUB: readonly Flag[] = [
  flag({
    name: "no-cache",
    commands: READERS,
    option: "hub.cache",
    sets: null,
    group: "hub",
    help: "read from the Hub as bytes are needed: nothing is put into its cache",
  }),
  flag({
    name: "offline",
    commands: READERS,
    option: "hub.offline",
    sets: true,
    group: "hub",
    help: "only what is in the Hub's cache, as with HF_HUB_OFFLINE=1",
  }),
  flag({
    name: "token-file",
    commands: READERS,
    option: "hub.tokenFile",
    takes: "FILE",
    schema: text,
    default: "HF_TOKEN, else what hf auth login wrote",
    group: "hub",
    help: "a file with the token for the Hub",
  }),
];
