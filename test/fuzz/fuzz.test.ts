/** Half a minute of the standing attack, from a seed that is fixed, so that a failure is everybody's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "./fuzz.js";
import { mutate, random } from "./mutate.js";
import { TARGETS } from "./targets.js";

test("any bytes give a result or a WeightDiffError, in every reader", async () => {
  const { inputs, targets } = await fuzz({ seed: 20_230_613, count: 1_000_000, seconds: 30 });
  for (const [name, { inputs: tried, read }] of targets) {
    assert.ok(tried > 0, `${name}: ${inputs} inputs, none of them its own`);
    // A tokenizer file that cannot be read is told in the result.
    assert.ok(read < tried || name === "tokenizer", `${name}: nothing was refused`);
  }
});

test("the honest inputs that the attack starts from are read", async () => {
  const refused: string[] = [];
  for (const { name, seeds, read } of TARGETS.filter((one) => one.name !== "weight-file")) {
    const outcomes = await Promise.allSettled(seeds.map(async (seed) => read(seed)));
    if (
      name !== "torch-zip" &&
      name !== "torch-legacy" &&
      name !== "pickle" &&
      outcomes.some(({ status }) => status === "rejected")
    ) {
      refused.push(`${name}: ${outcomes.find((one) => one.status === "rejected")?.reason}`);
    }
    assert.ok(name === "pickle" || outcomes.some(({ status }) => status === "fulfilled"), name);
  }
  assert.deepEqual(refused, []);
});

test("the same seed makes the same inputs", () => {
  const of = (seed: number): string =>
    Buffer.from(mutate(Buffer.from("a seed of 123 bytes"), Buffer.from("other"), random(seed))).toString("hex");
  assert.equal(of(7), of(7));
  assert.notEqual(of(7), of(8));
});
