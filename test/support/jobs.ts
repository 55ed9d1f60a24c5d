/** The sides of a planned job. */
import assert from "node:assert/strict";
import type { StoredOperand, TensorJob, Term } from "../../src/engine/job/job.js";
import type { Plan } from "../../src/plan/plan.js";

/** What the plan tells its user, without the advice. */
export function noteTexts({ notes }: Plan): readonly string[] {
  return notes.map(([text]) => text);
}

const isRaw = ({ inputs }: Plan, { operand }: Term): boolean =>
  operand.kind === "inv-freq" || inputs[operand.input]?.role === "raw";

/** The terms of the base, in their order; what the script adds into is one of them where it is the base's. */
export function rawTerms(made: Plan, { start, terms }: TensorJob): readonly Term[] {
  return [start, ...terms].filter((term) => isRaw(made, term));
}

export function rawTerm(made: Plan, job: TensorJob): Term | null {
  return rawTerms(made, job)[0] ?? null;
}

/** The name of the base's tensor; null where it is computed, or where there is none. */
export function rawName(made: Plan, job: TensorJob): string | null {
  const operand = rawTerm(made, job)?.operand;
  return operand?.kind === "stored" ? operand.name : null;
}

/** What the state dict that drives has. */
export function driverOperand(made: Plan, { name, start, terms }: TensorJob): StoredOperand {
  const term = [start, ...terms].find((each) => !isRaw(made, each));
  assert.equal(term?.operand.kind, "stored", name);
  return term.operand;
}
