/** Flags that say what is checked. */
import { GUARDS } from "../../evidence/guard-names.js";
import { type Flag, flag } from "./flag.js";
import { fireBool, number, oneOf, someOf, text } from "./values.js";

export const CHECKS: readonly Flag[] = [
  flag({
    name: "ignore",
    commands: ["recover", "make-diff"],
    option: "ignore",
    takes: "GUARD,…",
    schema: someOf(GUARDS),
    group: "checks",
    help: `switch guards off, separated by commas: ${GUARDS.join(", ")}`,
  }),
  flag({
    name: "ignore",
    commands: ["xor"],
    option: "ignore",
    takes: "GUARD,…",
    schema: someOf(GUARDS),
    group: "checks",
    help: "switch guards off, separated by commas: swapped, wrong-base",
  }),
  flag({
    name: "require",
    commands: ["verify"],
    option: "requireDigests",
    takes: "digests",
    schema: oneOf(["digests"]).transform(() => true),
    group: "checks",
    help: "fail if there are no digests to check against",
  }),
  flag({
    name: "known",
    commands: ["verify"],
    option: "known",
    takes: "NAME",
    schema: text,
    group: "checks",
    help: "hold the sum of all weights against a published one, as alpaca-7b",
  }),
  flag({
    name: "expect-sum",
    commands: ["recover"],
    option: "expectSum",
    takes: "NUMBER",
    schema: number,
    group: "checks",
    help: "hold the naive sum of the recovered weights against this number",
  }),
  flag({
    name: "expect-sum",
    commands: ["verify"],
    option: "expectSum",
    takes: "NUMBER",
    schema: number,
    group: "checks",
    help: "hold the sum of all weights against this number",
  }),
  flag({
    name: "check_integrity_naively",
    commands: ["recover"],
    option: "expectSum",
    takes: "BOOL",
    bare: true,
    schema: fireBool("known" as const),
    group: "checks",
    help: "hold the naive sum against the published one, if the diff is known to have one",
  }),
  flag({
    name: "digest",
    commands: ["inspect"],
    option: "digest",
    sets: true,
    group: "checks",
    help: "read every byte and show each tensor's sha256, and know published files by theirs",
  }),
];
