/**
 * Chooses a scheme by dtypes, shapes and values if nothing else tells. All float32 with at most one new row is open-instruct. Other dtypes
 * and shapes choose nothing: a script may load a diff in another dtype than it was saved in, and a scheme that fits only because it leaves
 * a tensor unchanged has no evidence for that. Values choose if they show which tensors are the model's own, and only one result is left.
 */
import type { Checkpoint, StoredTensor } from "../../checkpoint/checkpoint.js";
import { type Dtype, dtypeName, isFloatDtype } from "../../formats/dtype.js";
import { quote } from "../../formats/quote.js";
import { INV_FREQ } from "../../plan/pair.js";
import { isSummed, type Scheme } from "../../scheme/axes.js";
import { ALL_FAMILIES, familyNamed } from "../../scheme/families.js";
import type { Family } from "../../scheme/family.js";
import { areText } from "../../scheme/recognise.js";
import { mayBeOwn } from "../own-tensors.js";
import { candidatesHere, refuseUnpaired, undecided } from "./candidates.js";
import { chosen, type Evidence, type SchemeChoice } from "./choice.js";

/** @throws {WeightDiffError} MISMATCH if the two do not fit under any scheme; SCHEME_UNKNOWN. */
export function byDtypes(evidence: Evidence): SchemeChoice {
  const { diff, newRows } = evidence;
  const foreign = weightsOf(diff).find((tensor) => tensor.dtype !== "F32");
  const usual = familyNamed("open-instruct");
  if (foreign === undefined && newRows <= 1 && !isContradicted(usual.scheme, evidence)) {
    const rows = newRows <= 0 ? "no vocabulary row is" : "one vocabulary row is";
    return chosen(
      usual,
      evidence.raw === null
        ? "every float tensor is F32; if at most one vocabulary row is new to the base"
        : `every float tensor of the diff is F32 and ${rows} new`,
    );
  }
  const dtype = dtypeOf(diff);
  const possible = ALL_FAMILIES.filter((family) => isPossible(family, dtype)).sort(
    (a, b) => unlikeliness(a, dtype) - unlikeliness(b, dtype),
  );
  const own = evidence.own.filter(({ kind }) => kind === "own");
  refuseUnpaired(
    evidence,
    own.map(({ name }) => name),
  );
  const here = candidatesHere(
    possible.filter(({ scheme }) => !isContradicted(scheme, evidence)),
    evidence,
  );
  const [left] = here;
  if (left !== undefined && here.length === 1 && own.length > 0 && isShown(left.family.scheme, evidence)) {
    const { name } = left.family.scheme;
    const others = left.others.map(({ scheme }) => scheme.name);
    const rows = newRows > 0 ? ` and has ${newRows} new vocabulary ${newRows === 1 ? "row" : "rows"}` : "";
    const same = others.length === 0 ? "" : ` (${others.join(", ")} would give the same bits here)`;
    return chosen(
      left.family,
      `the diff is ${dtype ?? "of several dtypes"}${rows}, and its ${areText(own)} the model's own, as ${name} makes them${same}`,
    );
  }
  throw undecided(
    evidence,
    why(foreign, evidence),
    here.length > 0 ? here : candidatesHere(possible, { ...evidence, raw: null }),
    dtype === null ? null : dtypeName(dtype),
  );
}

function weightsOf({ stateDict }: Checkpoint): readonly StoredTensor[] {
  return [...stateDict].flatMap(([name, tensor]) =>
    isFloatDtype(tensor.dtype) && !INV_FREQ.test(name) ? [tensor] : [],
  );
}

/** The dtype of all float weights, without buffers. Null if they have several dtypes, or if there are none. */
export function dtypeOf(diff: Checkpoint): Dtype | null {
  const [first, ...more] = new Set(weightsOf(diff).map(({ dtype }) => dtype));
  return first === undefined || more.length > 0 ? null : first;
}

/** Could the script be meant for a diff of this dtype? No script drops half the bits of a float32 diff on purpose. */
export function isPossible({ scheme, byMarkOnly }: Family, dtype: Dtype | null): boolean {
  const { operation, arithmetic, output } = scheme;
  const own = arithmetic === "stored" ? output : arithmetic;
  const fits =
    arithmetic === "stored" ? own === "stored" || dtype === null || own === dtype : dtype !== "F32" || own === "F32";
  return operation === "add" && byMarkOnly !== true && fits;
}

/**
 * The likeliest script computes in the diff's dtype. Next come scripts that keep the files' own dtypes, then those with a wider dtype, then
 * the rest.
 */
function unlikeliness({ scheme, variant }: Family, dtype: Dtype | null): number {
  const { arithmetic } = scheme;
  const rank = dtype === null || arithmetic === dtype ? 0 : ["stored", "F32"].indexOf(arithmetic) + 1 || 3;
  // Among equally likely scripts, one with a flag comes last.
  return 2 * rank + (variant === undefined ? 0 : 1);
}

/** If the scheme leaves some of embeddings, head and last norm unchanged: do the values show that these are the model's own? */
export function isShown(scheme: Scheme, { diff, raw, own }: Evidence): boolean {
  return [...diff.stateDict.keys()]
    .filter((name) => mayBeOwn(name) && raw?.stateDict.has(name) === true && !isSummed(scheme, name))
    .every((name) => own.some((tensor) => tensor.name === name && tensor.kind === "own"));
}

/** Does the scheme add a tensor that is the model's own, or leave a difference unchanged? */
export function isContradicted(scheme: Scheme, { own }: Evidence): boolean {
  return own.some(({ name, kind }) => isSummed(scheme, name) !== (kind === "difference"));
}

function why(foreign: StoredTensor | undefined, { own, newRows }: Evidence): string {
  if (foreign !== undefined) {
    return `tensor ${quote(foreign.name)} in ${foreign.shard.file} is ${foreign.dtype}: a diff that is not all F32 can be of several schemes, which give different bits`;
  }
  return newRows > 1
    ? `has ${newRows} vocabulary rows more than the base: some scripts add the base's mean row to them, others take them as they are`
    : `its ${areText(own.filter(({ kind }) => kind === "own"))} the model's own: several scripts leave embeddings alone, and give different bits`;
}
