/**
 * Every pair under fixtures/rows, bases with more rows than their tokenizer has tokens, or fewer, or as many: each recovered tensor is
 * sha256 for sha256 what the unmodified scripts made of the same files. Rows that a script draws at random are not compared.
 * Of `make-*`, fine-tuned models, the additive diff is what the scripts were given, and our recover makes of it what they made.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compareCheckpoints } from "../../src/check/compare.js";
import { openCheckpoint, type StoredTensor } from "../../src/checkpoint/checkpoint.js";
import { readElements } from "../../src/checkpoint/elements.js";
import { makeDiff } from "../../src/commands/make-diff.js";
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

interface ExpectedOfTuned {
  readonly diff: readonly Tensor[];
  readonly scripts: Readonly<Record<string, { readonly error?: string; readonly tensors?: readonly Tensor[] }>>;
}

const folders = readdirSync(join(FIXTURES, "rows"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const cases = folders.filter((name) => !name.startsWith("make-"));

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

for (const name of folders.filter((each) => each.startsWith("make-"))) {
  test(`${name}: the scripts and recover make the same of the additive diff, or its card says that they do not`, async () => {
    const expected: ExpectedOfTuned = read(name);
    const [raw, tuned] = ["base", "tuned"].map((side) => join(FIXTURES, "rows", name, side)) as [string, string];
    await withFolder(async (scratch) => {
      const [diff, ours] = [join(scratch, "diff"), join(scratch, "ours")];
      const { inexact } = await makeDiff({ raw, tuned, diff });
      assert.deepEqual(await tensorsOf(diff, expected.diff), expected.diff, "what the scripts were given");
      await recover({ raw, diff, tuned: ours });
      const card = readFileSync(join(diff, "README.md"), "utf8");
      for (const [script, { tensors, error }] of Object.entries(expected.scripts)) {
        if (tensors !== undefined) {
          assert.deepEqual(await tensorsOf(ours, tensors), tensors, script);
          assert.match(card, /^The `recover` of .* gives the same tensors\.$/m);
        } else {
          assert.match(error ?? "", /^RuntimeError: The size of tensor/);
          assert.match(card, /so they refuse it\.$/m);
        }
      }
      assert.equal(Object.keys(expected.scripts).length, 2);
      const [model, again] = [await openCheckpoint(tuned), await openCheckpoint(ours)];
      const { verdict } = await compareCheckpoints(again, model, {});
      // It is the fine-tuned model to the last bit of a float32, but for the elements that make-diff counted.
      assert.equal(verdict === "identical", inexact.size === 0, verdict);
      const wide = [...model.stateDict.values()].some(({ dtype }) => dtype === "F32");
      assert.ok(wide || verdict !== "different");
    });
  });
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(join(FIXTURES, "rows", name, "expect.json"), "utf8")) as T;
}

function expectedOf(name: string): Expected {
  return read(name);
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
