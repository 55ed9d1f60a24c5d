/** The notes about pairing: everything that it did except pairing equal names. */
import { quote } from "../formats/quote.js";
import { sideName } from "./mismatch.js";
import type { DriverRole, Step, StepKind } from "./pair.js";

type Words = (steps: readonly Step[], side: string) => readonly string[];

const each =
  (words: (step: Step, side: string) => string): Words =>
  (steps, side) =>
    steps.map((step) => words(step, side));

const together =
  (words: (some: string, are: string, side: string) => string, what = "tensor"): Words =>
  (steps, side) => [words(listed(steps, what), steps.length === 1 ? "is" : "are", side)];

/** In the order in which the user reads them. */
const WORDS: Readonly<Record<StepKind, Words>> = {
  tied: each(({ name, raw }) => `${quote(name)} is not in the base: its ${quote(raw ?? "")} stands for it (tied)`),
  "met twice": each(({ name, raw }, side) =>
    side === sideName("tuned")
      ? `${quote(name)} has two names in the model: the base's is taken off twice (${raw}), as the scripts do, whose recover adds it twice`
      : `${quote(name)} has two names in the model: the script meets it under both and adds the base's twice (${raw})`,
  ),
  "base met twice": each(
    ({ name, raw }, side) =>
      `${quote(name)} has two names in the base: the script meets it under both and adds the ${side}'s twice (${raw})`,
  ),
  "met in the base": each(
    ({ name, raw }, side) =>
      `${quote(name)} of the ${side} is not in the result: the base has ${quote(raw ?? "")} for both`,
  ),
  "buffer of the base": together(
    (some, are) => `${some}, which models compute, ${are} in the base only: not needed`,
    "buffer",
  ),
  "buffer of the driver": together(
    (some, are, side) => `${some}, which models compute, ${are} in the ${side} only: not written`,
    "buffer",
  ),
  "buffer unlike the base's": together(
    (some, are, side) => `${some}, which models compute, ${are} not stored alike in base and ${side}: not written`,
    "buffer",
  ),
  unused: together(
    (some, are) =>
      `${some} ${are} in the base only, and left out: transformers does not load such tensors in this model`,
  ),
  "head of the base": together(
    (some, are, side) => `${some} ${are} of the base's head, which the ${side} does not have: left out`,
  ),
  "of another shape": each(
    ({ name, raw, driver }, side) =>
      `${quote(name)} is ${raw} in the base and ${driver} in the ${side}: taken as it is`,
  ),
  kept: together((some, _, side) => `${some} of the ${side} have no counterpart in the base, and are kept as they are`),
  dropped: together((some, _, side) => `${some} are in the ${side} only, and left out as by the script`),
  copied: together((some) => `${some} are in the base only, and copied from it`),
};

/** The notes for these steps, one kind after the other. */
export function stepNotes(steps: readonly Step[], role: DriverRole): readonly string[] {
  return Object.entries(WORDS).flatMap(([kind, words]) => {
    const some = steps.filter((step) => step.kind === kind);
    return some.length === 0 ? [] : words(some, sideName(role));
  });
}

/** How many tensors there are, and the first three. */
function listed(steps: readonly Step[], what: string): string {
  const first = steps.slice(0, 3).map(({ name }) => quote(name));
  const more = steps.length > 3 ? ", …" : "";
  return `${steps.length} ${what}${steps.length === 1 ? "" : "s"} (${first.join(", ")}${more})`;
}
