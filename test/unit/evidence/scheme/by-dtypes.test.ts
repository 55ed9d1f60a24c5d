/** What dtypes and counts of rows choose, and what is said where they choose nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Evidence, SchemeChoice } from "../../../../src/evidence/scheme/choice.js";
import { chooseScheme } from "../../../../src/evidence/scheme/choose.js";
import type { Dtype } from "../../../../src/formats/dtype.js";
import { FAMILIES } from "../../../../src/scheme/families.js";
import { imagine } from "../../../support/checkpoints.js";
import { hintOf, undecided } from "../../../support/refusal.js";

const diffOf = (...dtypes: readonly Dtype[]) =>
  imagine(
    "some/diff",
    dtypes.map((dtype, index) => ({ name: `t${index}`, dtype, shape: [1] })),
  );

/** What is chosen for a diff that is looked at by itself. */
const choose = (diff: Evidence["diff"], newRows: number, more: Partial<Evidence> = {}): SchemeChoice =>
  chooseScheme({
    diff,
    newRows,
    raw: null,
    config: null,
    files: [],
    tokens: [],
    own: [],
    said: { rawTied: null, diffTied: null },
    line: null,
    ...more,
  });

test("takes open-instruct for a diff that is all F32, with no or one new row", () => {
  const raw = diffOf("F16", "F16");
  for (const [rows, words] of [
    [0, "no vocabulary row is new"],
    [1, "one vocabulary row is new"],
  ] as const) {
    const { scheme, reason } = choose(diffOf("F32", "F32"), rows, { raw });
    assert.deepEqual([scheme.name, reason], ["open-instruct", `every float tensor of the diff is F32 and ${words}`]);
    const alone = choose(diffOf("F32", "F32"), rows);
    assert.deepEqual(
      [alone.scheme.name, alone.reason],
      ["open-instruct", "every float tensor is F32; if at most one vocabulary row is new to the base"],
    );
  }
});

test("does not mind integers and booleans beside F32", () => {
  assert.equal(choose(diffOf("F32", "I64", "BOOL"), 0).scheme.name, "open-instruct");
});

for (const dtype of ["F16", "BF16", "F64"] as const) {
  test(`cannot decide for a diff that holds ${dtype}, and names tensor and candidates`, () => {
    const error = undecided(() => choose(diffOf("F32", dtype), 0));
    assert.match(error.message, new RegExp(`^some/diff: tensor "t1" in pytorch_model-1\\.bin is ${dtype}: `));
    for (const { scheme } of FAMILIES.filter(
      (family) => family.scheme.operation === "add" && family.byMarkOnly !== true,
    )) {
      assert.ok(hintOf(error).includes(`--scheme ${scheme.name} `), hintOf(error));
    }
  });
}

test("cannot decide for two new rows, and says why it matters", () => {
  assert.match(undecided(() => choose(diffOf("F32"), 2)).message, /^some\/diff: has 2 vocabulary rows more/);
});

test("knows the Alpaca diff by the name of its repository or directory, whatever its dtypes and rows", () => {
  const tensors = [{ name: "a", dtype: "F16", shape: [1] }] as const;
  const byRepo = imagine("x", tensors, { repo: "tatsu-lab/alpaca-7b-wdiff" });
  const byFolder = imagine("x", tensors, { directory: "/models/alpaca-7b-wdiff/" });
  for (const diff of [byRepo, byFolder]) {
    const { scheme, reason } = choose(diff, 5);
    assert.deepEqual([scheme.name, reason], ["alpaca", "the diff is alpaca-7b-wdiff"]);
  }
});
