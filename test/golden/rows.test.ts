/**
 * Every pair under fixtures/rows, bases with more rows than their tokenizer has tokens, or fewer, or as many: each recovered tensor is
 * sha256 for sha256 what the unmodified scripts made of the same files. Rows that a script draws at random are not compared.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint, type StoredTensor } from "../../src/checkpoint/checkpoint.js";
import { readElements } from "../../src/checkpoint/elements.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";

interface Expected {
  readonly scheme: string;
  readonly tensors: readonly Tensor[];
}
interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of the first rows only, where the script drew the others. */
  readonly rows?: number;
  readonly sha256: string;
}

const cases = readdirSync(join(FIXTURES, "rows"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

test("there are pairs of every scheme whose script resizes the base", () => {
  const schemes = new Set(cases.map((name) => expectedOf(name).scheme));
  assert.deepEqual([...schemes].sort(), ["alpaca", "alpaca-farm", "fastchat-v0", "gisting", "landmark"]);
});

for (const name of cases) {
  const folder = join(FIXTURES, "rows", name);
  const { scheme, tensors } = expectedOf(name);
  // Random numbers are no fine-tune.
  const options: RecoverOptions = {
    raw: join(folder, "base"),
    diff: join(folder, "diff"),
    scheme,
    ignore: ["bit-census"],
  };
  for (const [what, more] of [
    ["at once", {}],
    [
      "in windows, threads and shards, as open-instruct where that is the same script",
      {
        windowBytes: 65_536,
        threads: 2,
        maxShardSize: 2000,
        directIo: "always",
        ...(scheme === "alpaca" ? { scheme: "open-instruct" } : {}),
      },
    ],
  ] as const satisfies readonly (readonly [string, Partial<RecoverOptions>])[]) {
    test(`${name}: every tensor is the script's, recovered ${what}`, async () => {
      await withFolder(async (scratch) => {
        const tuned = join(scratch, "tuned");
        await recover({ ...options, ...more, tuned });
        assert.deepEqual(await tensorsOf(tuned, tensors), tensors);
      });
    });
  }
}

function expectedOf(name: string): Expected {
  return JSON.parse(readFileSync(join(FIXTURES, "rows", name, "expect.json"), "utf8")) as Expected;
}

/** The tensors of a model, with as many rows in their digests as are wanted. */
async function tensorsOf(folder: string, wanted: readonly Tensor[]): Promise<readonly Tensor[]> {
  const { stateDict } = await openCheckpoint(folder);
  assert.deepEqual([...stateDict.keys()].sort(), wanted.map(({ name }) => name).sort());
  return Promise.all(
    wanted.map(async ({ name, rows }) => {
      const tensor = stateDict.get(name) as StoredTensor;
      const [first = 1, ...rest] = tensor.shape;
      const count = rest.reduce((product, size) => product * size, rows ?? first);
      const [bytes = new Uint8Array()] = await readElements([{ tensor, first: 0, count }]);
      const { dtype, shape } = tensor;
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      return { name, dtype, shape: [...shape], ...(rows === undefined ? {} : { rows }), sha256 };
    }),
  );
}
