/** Every model under fixtures/meta: read as it is, each tensor is what torch makes of the parts, sha256 for sha256. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/inspect.js";
import { FIXTURES } from "../fixtures.js";

const root = join(FIXTURES, "meta");
const cases = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());

test("there are one, two and eight parts, grouped heads, and a legacy file", () => {
  assert.deepEqual(cases.map(({ name }) => name).sort(), ["eight-parts", "grouped", "legacy", "one-part", "two-parts"]);
});

for (const { name } of cases) {
  const expected = JSON.parse(readFileSync(join(root, `${name}.json`), "utf8")) as { readonly tensors: unknown };
  for (const windowBytes of [65_536, 1 << 22]) {
    test(`${name}: every tensor is torch's, in windows of ${windowBytes} bytes`, async () => {
      const { tensors } = await inspect({ path: join(root, name), digest: true, windowBytes });
      assert.deepEqual(
        tensors.map(({ shard: _, ...tensor }) => tensor),
        expected.tensors,
      );
    });
  }
}
