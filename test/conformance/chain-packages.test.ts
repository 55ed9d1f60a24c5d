/**
 * Publishers' own packages, as PyPI has them (chain_packages.py): what ModelExpress and Fireworks write is read here, and ModelExpress's receiver, which
 * reads the same files as slime's, reads what chain make and chain fold write. WEIGHT_DIFF_CHAINS names a folder that has them:
 * pip install --target FOLDER --no-deps -r test/conformance/chains-requirements.txt. Without it, or WEIGHT_DIFF_PYTHON, these are skipped.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainFold } from "../../src/commands/chain/fold.js";
import { chainMake } from "../../src/commands/chain/make.js";
import { chainMaterialize } from "../../src/commands/chain/materialize.js";
import { chainVerify } from "../../src/commands/chain/verify.js";
import { WeightDiffError } from "../../src/errors.js";
import { canEncode } from "../../src/formats/zstd/encoder.js";
import { vectorModels } from "../support/chain-models.js";
import { CHAINS, stateOf } from "../support/chains.js";
import { withFolder } from "../support/checkpoints.js";
import { ROOT } from "../support/fixtures.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const packages = process.env.WEIGHT_DIFF_CHAINS;
const imports = "import torch, safetensors, zstandard, fireworks_delta_compression, modelexpress_rl.inference.receiver";
const skip =
  python === undefined || packages === undefined || run(["-c", imports]).status !== 0
    ? "WEIGHT_DIFF_CHAINS names no folder with the publishers' packages"
    : false;
const writes = canEncode() ? skip : "this Node cannot write zstd";
const quiet = { onNote: () => {}, onWarning: () => {}, threads: 0 } as const;
const BASE = join(CHAINS, "base");

function run(args: readonly string[]) {
  const env = { ...process.env, PYTHONPATH: packages };
  return spawnSync(python ?? "python3", args, { encoding: "utf8", env });
}

function ask(...args: readonly string[]): string {
  const { stdout, stderr, status } = run([join(ROOT, "test/conformance/chain_packages.py"), ...args]);
  assert.equal(status, 0, stderr);
  return stdout;
}

/** What ModelExpress's receiver makes of each: [base, chain, the versions' folders in order]. */
function applied(jobs: readonly (readonly [string, string, readonly string[]])[]): readonly unknown[] {
  return JSON.parse(ask("mx-apply", JSON.stringify(jobs)));
}

async function digestsOf(chain: string, raw: string | null, to: number | null = null) {
  const { tensors } = await chainMaterialize({ chain, raw, to, ...quiet });
  return Object.fromEntries(tensors.map(({ name, sha256 }) => [name, sha256]));
}

test("what ModelExpress publishes is every version to the byte, and its own receiver agrees", { skip }, () =>
  withFolder(async (folder) => {
    const [base = "", one = "", two = "", three = "", four = ""] = await vectorModels(folder);
    for (const [name, third] of [
      ["updates", three],
      ["full", `full:${three}`],
    ] as const) {
      const chain = join(folder, name);
      ask("mx-publish", chain, base, one, two, third, four);
      for (const to of [1, 2, 3, 4]) {
        assert.deepEqual(await digestsOf(chain, base, to), stateOf(`A${to}`), `${name} ${to}`);
      }
      const folders = name === "full" ? ["v3", "v4"] : ["v1", "v2", "v3", "v4"];
      assert.deepEqual(applied([[base, chain, folders]]), [stateOf("A4")]);
      const { verdict, findings } = await chainVerify({ chain, raw: base, ...quiet });
      assert.equal(verdict, "sound", JSON.stringify(findings));
    }
  }),
);

test(
  "what chain make and chain fold write with xor and adler32, ModelExpress's receiver applies",
  { skip: writes },
  () =>
    withFolder(async (folder) => {
      const all = await vectorModels(folder);
      const chain = join(folder, "chain");
      for (let version = 1; version <= 4; version++) {
        const pair = { raw: all[version - 1] ?? "", tuned: all[version] ?? "" };
        await chainMake({ chain, ...pair, checksum: "adler32", maxShardSize: 2000, ...quiet });
      }
      const steps = [1, 2, 3, 4].map((version) => `weight_v00000${version}`);
      const jobs = [BASE, join(CHAINS, "base-resharded")].flatMap((base) =>
        [1, 2, 3, 4].map((to) => ({ job: [base, chain, steps.slice(0, to)] as const, label: `A${to}` })),
      );
      for (const [name, options] of [
        ["free", { chain }],
        ["renumbered", { chain, renumber: true }],
        ["of a mix", { chain: join(CHAINS, "good/mixed"), raw: BASE, encoding: "xor", checksum: "adler32" }],
        ["of SkyRL's", { chain: join(CHAINS, "good/skyrl"), raw: BASE, checksum: "adler32" }],
      ] as const) {
        const output = join(folder, name);
        const { version } = await chainFold({ ...options, output, ...quiet });
        const label = name === "of SkyRL's" ? "A2" : "A4";
        jobs.push({ job: [BASE, output, [`weight_v${version}`]], label });
      }
      const found = applied(jobs.map(({ job }) => job));
      jobs.forEach(({ job, label }, index) => {
        assert.deepEqual(found[index], stateOf(label), job.join(" "));
      });
    }),
);

test("what Fireworks uploads is the model, or is refused for its pickle", { skip }, () =>
  withFolder(async (folder) => {
    const [base = "", , tuned = ""] = await vectorModels(folder);
    const formats = ["arc_v1", "arc_v2", "xor_one_to_one_zlib", "xor_one_to_one_zstd", "arc_v3"];
    const theirs: readonly unknown[] = JSON.parse(ask("fw", base, tuned, folder, ...formats));
    for (const [index, format] of formats.entries()) {
      const upload = join(folder, format);
      assert.deepEqual(theirs[index], stateOf("A2"), format);
      const pickled = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].some((file) =>
        readFileSync(join(upload, file)).includes("ARC3_ENVELOPE\0"),
      );
      if (pickled) {
        // Which way arc_v3 takes for a tensor is decided by the clock.
        assert.equal(format, "arc_v3");
        const error = await digestsOf(upload, base).catch((thrown: unknown) => thrown);
        assert.ok(error instanceof WeightDiffError && error.why === "pickle", String(error));
      } else {
        assert.deepEqual(await digestsOf(upload, base), stateOf("A2"), format);
      }
    }
  }),
);
