/**
 * Pairs that transformers itself wrote, or wrapped by torch, whose names differ: each fine-tuned model becomes a diff with the values
 * that weight_diff.py would give, comes back bit for bit, and is loaded whole by transformers. names.py makes and loads them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { readElements } from "../../src/checkpoint/elements.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { GUARDS } from "../../src/evidence/guard-names.js";
import { elementCount, torchName } from "../../src/formats/dtype.js";
import { ROOT } from "../support/fixtures.js";

const SCRIPT = join(ROOT, "test", "conformance", "names.py");
const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with torch and transformers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

interface Case {
  readonly name: string;
  /** By name: dtype and sha256. */
  readonly diff: Readonly<Record<string, readonly [string, string]>>;
  readonly tuned: Readonly<Record<string, readonly [string, string]>>;
}

const folder = mkdtempSync(join(tmpdir(), "weight-diff-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: readonly string[]): void {
  assert.ok(python !== undefined, absent);
  const { status, stdout, stderr, error } = spawnSync(python, [SCRIPT, ...args], { encoding: "utf8" });
  assert.equal(status, 0, `${error?.message ?? ""}\n${stdout}\n${stderr}`);
}

/** As names.py lists them. */
async function listed(path: string): Promise<Record<string, readonly [string, string]>> {
  const { stateDict } = await openCheckpoint(path);
  const tensors = [...stateDict].map(async ([name, tensor]): Promise<[string, readonly [string, string]]> => {
    const [bytes = new Uint8Array()] = await readElements([
      { tensor, first: 0, count: elementCount(tensor.shape) ?? 0 },
    ]);
    return [name, [torchName(tensor.dtype) ?? tensor.dtype, createHash("sha256").update(bytes).digest("hex")]];
  });
  return Object.fromEntries(await Promise.all(tensors));
}

test("names of every family, version and wrapper meet as from_pretrained has them meet", { skip }, async (t) => {
  run("make", folder);
  const cases = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as readonly Case[];
  assert.ok(cases.length > 60);
  for (const { name, diff: expected, tuned: model } of cases) {
    await t.test(name, async () => {
      const at = (part: string): string => join(folder, name, part);
      const [raw, tuned] = [at("base"), at("tuned")];
      await makeDiff({ raw, tuned, diff: at("additive"), ignore: GUARDS });
      assert.deepEqual(await listed(at("additive")), expected);
      await makeDiff({ raw, tuned, diff: at("exact"), encoding: "exact", ignore: GUARDS });
      await recover({ raw, diff: at("exact"), tuned: at("recovered") });
      assert.deepEqual(await listed(at("recovered")), model);
      // What an additive diff gives back is the fine-tuned model too, in float32 but for its own tensors.
      const { tensors } = await recover({ raw, diff: at("additive") });
      assert.deepEqual(tensors.map((tensor) => tensor.name).sort(), Object.keys(model).sort());
    });
  }
  await t.test("transformers loads every one whole", () =>
    run("check", ...cases.map(({ name }) => join(folder, name))),
  );
});
