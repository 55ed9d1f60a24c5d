/** What a family's script is with a flag. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { familyNamed } from "../../../src/scheme/families.js";
import { type Variant, variantOf } from "../../../src/scheme/family.js";

for (const [name, flag, variant] of [
  ["knowlm", "is_fp16", "knowlm-fp16"],
  ["knowlm-fp16", "is_fp16", "knowlm-fp16"],
  ["fastchat", "low_cpu_mem", "fastchat-low-mem"],
  ["ziya-low-mem", "low_cpu_mem", "ziya-low-mem"],
  ["knowlm", "low_cpu_mem", null],
  ["fastchat-v0", "low_cpu_mem", null],
  ["knowlm-fp16", "low_cpu_mem", null],
] as const satisfies readonly (readonly [string, Variant, string | null])[]) {
  test(`${name} with --${flag} is ${variant ?? "nothing that its script knows"}`, () => {
    assert.equal(variantOf(familyNamed(name), flag)?.scheme.name ?? null, variant);
  });
}

test("a variant keeps script, words and command line, and has repositories of its own", () => {
  const plain = familyNamed("fastchat");
  const variant = variantOf(plain, "low_cpu_mem");
  assert.equal(variant?.who, `${plain.who}, with --low_cpu_mem`);
  assert.deepEqual([variant?.script, variant?.line, variant?.repos], [plain.script, plain.line, []]);
  assert.deepEqual(familyNamed("knowlm-fp16").repos, ["zhixi-13b-diff-fp16"]);
});
