/** Parts and finalize: whatever the number of parts, and in whatever order they are made, every file is that of one run. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type ConvertOptions, convert } from "../../src/commands/convert.js";
import { finalize } from "../../src/commands/finalize.js";
import { type MakeDiffOptions, makeDiff } from "../../src/commands/make-diff.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { xor } from "../../src/commands/xor.js";
import { refuseWrongOptions } from "../../src/library/options.js";
import type { PartNumber } from "../../src/output/part-names.js";
import type { RunFigures } from "../../src/run/run-plan.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { hashed } from "../support/kernels.js";
import { META } from "../support/meta.js";
import { type Matrix, treeOf, writePair } from "../support/models.js";
import { refuses } from "../support/refusal.js";
import { BASE, lay, payloadOf, TUNED } from "../support/xor-payloads.js";

/** Makes the output, or one part of it. */
type Make = (output: string, part: PartNumber | null) => Promise<RunFigures>;

const SMALL = { threads: 0, windowBytes: 1 << 16, maxShardSize: 16_000 } as const;
const COUNTS = [1, 2, 3, 7, 64];
/** WEIGHT_DIFF_PARTS=all tries every number with every case. */
const ALL = process.env.WEIGHT_DIFF_PARTS === "all";

const MATRICES: readonly Matrix[] = [
  { name: "model.embed_tokens.weight", rows: 33, columns: 64, newRows: 1 },
  { name: "model.layers.0.mlp.up_proj.weight", rows: 32, columns: 64 },
  { name: "model.layers.0.mlp.bias", rows: 1, columns: 3 },
  { name: "model.layers.1.mlp.up_proj.weight", rows: 64, columns: 48 },
  { name: "model.layers.1.mlp.empty", rows: 0, columns: 8 },
];

const recovering =
  (options: RecoverOptions): Make =>
  (tuned, part) =>
    recover({ ...SMALL, ...options, tuned, part });
const making =
  (options: MakeDiffOptions): Make =>
  (diff, part) =>
    makeDiff({ ...SMALL, ...options, diff, part });
const converting =
  (options: Omit<ConvertOptions, "output">): Make =>
  (output, part) =>
    convert({ ...SMALL, ...options, output, part });

function scheme(name: string, more: Partial<RecoverOptions> = {}): Make {
  const folder = join(FIXTURES, "schemes");
  const { base } = JSON.parse(readFileSync(join(folder, name, "expected.json"), "utf8")) as { readonly base: string };
  return recovering({ raw: join(folder, base), diff: join(folder, name, "diff"), scheme: name, ...more });
}

/** What is made, from inputs that are committed or written into `folder`. */
async function makers(folder: string): Promise<Readonly<Record<string, Make>>> {
  const { raw, diff: tuned } = await writePair(join(folder, "pair"), MATRICES);
  const published = { additive: "additive", exact: "exact", compressed: "compressed" };
  for (const encoding of Object.keys(published)) {
    const asked = encoding === "compressed" ? { compress: true } : { encoding: encoding as "additive" | "exact" };
    await making({ raw, tuned, ...asked })(join(folder, encoding), null);
  }
  return {
    "recover, open-instruct: a mean row": scheme("open-instruct"),
    "recover, llava": scheme("llava"),
    "recover into float16, buffers kept": scheme("open-instruct", { dtype: "F16", invFreq: "keep" }),
    "recover, a base in torch's files": recovering({
      raw: join(FIXTURES, "demo", "base"),
      diff: join(FIXTURES, "demo", "diff"),
    }),
    "recover, additive, with the diff's manifest": recovering({ raw, diff: join(folder, "additive") }),
    "recover, exact": recovering({ raw, diff: join(folder, "exact") }),
    "recover, compressed": recovering({ raw, diff: join(folder, "compressed") }),
    "make-diff": making({ raw, tuned, encoding: "additive", baseModel: "a/b" }),
    "make-diff, exact": making({ raw, tuned, encoding: "exact" }),
    "make-diff, compressed": making({ raw, tuned, compress: true }),
    convert: converting({ source: join(META, "two-parts") }),
    "convert into bfloat16": converting({ source: join(META, "two-parts"), dtype: "BF16" }),
  };
}

/** All parts in an order of their own, then finalize. @returns the bytes that they read and wrote. */
async function divided(make: Make, out: string, count: number, seed: number): Promise<number> {
  let bytes = 0;
  const order = [...hashed(seed, count)].map((key, index) => ({ key, index })).sort((a, b) => a.key - b.key);
  for (const { index } of order) {
    bytes += bytesOf(await make(out, { index, count }));
  }
  const { command, ...found } = await finalize({ path: out, threads: 0 }, refuseWrongOptions);
  assert.ok(command !== null && "report" in found);
  return bytes + bytesOf(found.report);
}

const bytesOf = ({ bytesRead, bytesWritten }: RunFigures): number => bytesRead + bytesWritten;

test("every number of parts gives the files of one run", async (t) => {
  await withFolder(async (folder) => {
    const all = Object.entries(await makers(folder));
    for (const [which, [name, make]] of all.entries()) {
      await t.test(name, async () => {
        const whole = join(folder, "whole");
        const one = bytesOf(await make(whole, null));
        const expected = await treeOf(whole);
        // Every number is tried with some cases, and every case with two numbers.
        const counts = ALL ? COUNTS : [COUNTS[which % 4] ?? 1, COUNTS[(which + 2) % 4] ?? 1];
        for (const count of which % 9 === 0 ? [...new Set([...counts, 64])] : counts) {
          const out = join(folder, "out");
          const bytes = await divided(make, out, count, which * 100 + count);
          assert.ok(bytes <= 1.05 * one, `${count} parts move ${bytes} bytes, one run ${one}`);
          assert.deepEqual(await treeOf(out), expected, `${count} parts`);
          const again = await finalize({ path: out, threads: 0 }, refuseWrongOptions);
          assert.equal(again.command, null, "there is nothing left to put together");
          assert.deepEqual(await treeOf(out), expected, `${count} parts, finalized twice`);
          await rm(out, { recursive: true });
        }
        await rm(whole, { recursive: true });
      });
    }
  });
});

test("the XOR of whole files cannot be divided into parts, and the refusal says so", async () => {
  await withFolder(async (folder) => {
    const places = await lay(join(folder, "xor"), BASE, payloadOf(TUNED, BASE));
    const part = { index: 0, count: 2 };
    const out = join(folder, "out");
    await refuses(
      () => recover({ raw: places.base, diff: places.payload, tuned: out, scheme: "oa-xor", part }),
      "USAGE",
      /cannot be divided into parts/,
    );
    await xor({ raw: places.base, payload: places.payload, output: out, threads: 0 });
  });
});
