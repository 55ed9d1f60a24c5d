/**
 * What chain fold and chain make write, read by a program that shares no line with them: chains.py, with numpy, zstandard, xxhash and blake3. slime's
 * own reader, sglang's local_checkpoint.py, is a patch to sglang in slime's repository and in no package: "slime" on PyPI is an empty one, sglang 0.5.23
 * does not have it, and there is no "miles". ModelExpress's reader of the same files is in one: chain-packages.test.ts.
 * WEIGHT_DIFF_PYTHON names a Python with these packages; without it these are skipped, except in CI, where they fail.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PUBLISHED_CHECKSUMS } from "../../src/chain/update-index.js";
import { chainFold } from "../../src/commands/chain/fold.js";
import { chainMake } from "../../src/commands/chain/make.js";
import { chainMaterialize } from "../../src/commands/chain/materialize.js";
import { canEncode } from "../../src/formats/zstd/encoder.js";
import { CHAINS, optionsOf, stateOf, VECTORS } from "../support/chains.js";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES, ROOT } from "../support/fixtures.js";
import { hashed } from "../support/kernels.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const has = python !== undefined && spawnSync(python, ["-c", "import numpy, zstandard, xxhash, blake3"]).status === 0;
const skip = !canEncode()
  ? "this Node cannot write zstd"
  : !has && process.env.CI !== "true"
    ? "WEIGHT_DIFF_PYTHON names no Python with numpy, zstandard, xxhash and blake3"
    : false;
const quiet = { onNote: () => {}, onWarning: () => {} } as const;

/** Each encoding and each checksum; one says nothing of the other, and golden/chain-fold.test.ts has every pair. */
const PAIRS = [
  ...PUBLISHED_CHECKSUMS.map((checksum) => ["xor", checksum] as const),
  ["overwrite", "blake3"],
  ["exact-compressed", "adler32"],
] as const;
const LARGE_PAIRS = [
  ["xor", "xxh3-128"],
  ["overwrite", "xxh3-128"],
] as const;

/** The same model, in two shards and in three. */
const BASE = join(CHAINS, "base");
const RESHARDED = join(CHAINS, "base-resharded");

function applied(base: string, chain: string, version: number, baseVersion = 0): unknown {
  const args = [join(ROOT, "test/conformance/chains.py"), base, chain, String(version), String(baseVersion)];
  const { stdout, stderr, status } = spawnSync(python ?? "python3", args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

for (const vector of VECTORS.cases.filter(({ fold }) => fold !== undefined)) {
  test(`an engine in numpy reads what is folded from ${vector.name}`, { skip }, () =>
    withFolder(async (folder) => {
      const { raw, chain } = await optionsOf(vector, folder);
      const [from, to] = [Number(vector.fold?.from), Number(vector.fold?.to)];
      const state = stateOf(vector.expect.versions?.[to] ?? "");
      // All of them for the smaller ones, whose base is committed in other shards as well.
      const small = raw === BASE;
      for (const [encoding, checksum] of small ? PAIRS : LARGE_PAIRS) {
        const output = join(folder, encoding, checksum);
        const base = small ? RESHARDED : (raw ?? null);
        await chainFold({ chain, from, to, output, raw: base, encoding, checksum, maxShardSize: 2000, ...quiet });
        assert.deepEqual(applied(raw ?? "", output, to, from), state, `${encoding} ${checksum}`);
      }
      if (vector.fold?.needs_base !== true) {
        const output = join(folder, "free");
        await chainFold({ chain, from, to, output, renumber: true, ...quiet });
        assert.deepEqual(applied(raw ?? "", output, from + 1, from), state);
      }
    }),
  );
}

test("an engine in numpy reads every version that is made", { skip }, () =>
  withFolder(async (folder) => {
    const models = [RESHARDED];
    for (let to = 1; to <= 4; to++) {
      const tuned = join(folder, `model-${to}`);
      await chainMaterialize({ chain: join(CHAINS, "good/xor-xxh3"), raw: BASE, tuned, to, ...quiet });
      models.push(tuned);
    }
    for (const [encoding, checksum] of PAIRS) {
      const chain = join(folder, encoding, checksum);
      for (let version = 1; version <= 4; version++) {
        const pair = { raw: models[version - 1] ?? "", tuned: models[version] ?? "" };
        await chainMake({ chain, ...pair, encoding, checksum, maxShardSize: 2000, ...quiet });
      }
      // It checks every version's checksums on the way. The base's shards are its reader's affair: one encoding shows it.
      for (const base of encoding === "overwrite" ? [BASE, RESHARDED] : [RESHARDED]) {
        assert.deepEqual(applied(base, chain, 4), stateOf("A4"), `${encoding} ${checksum}`);
      }
      assert.deepEqual(applied(BASE, chain, 2), stateOf("A2"), `${encoding} ${checksum}`);
    }
  }),
);

test("chain make makes the committed coded step to the byte, whatever Node and machine", () =>
  withFolder(async (folder) => {
    const [raw, tuned, chain] = [join(CHAINS, "base"), join(folder, "tuned"), join(folder, "chain")];
    await chainMaterialize({ chain: join(CHAINS, "good/xor-xxh3"), raw, tuned, to: 2, ...quiet });
    const { output } = await chainMake({ chain, raw, tuned, encoding: "exact-compressed", ...quiet });
    for (const file of ["model.safetensors.index.json", "model-00000-of-00001.safetensors"]) {
      const committed = join(FIXTURES, "coded/chain/weight_v000001", file);
      assert.ok(readFileSync(join(output, file)).equals(readFileSync(committed)), file);
    }
  }));

test("coded steps are read by a program that was written from docs/formats.md, in a mix with others", { skip }, () =>
  withFolder(async (folder) => {
    const base = join(CHAINS, "base");
    assert.deepEqual(applied(base, join(FIXTURES, "coded/chain"), 1), stateOf("A2"));
    const chain = join(folder, "chain");
    let before = base;
    for (const [version, encoding] of ["exact-compressed", "xor", "exact-compressed", "overwrite"].entries()) {
      const tuned = join(folder, `model-${version + 1}`);
      await chainMaterialize({ chain: join(CHAINS, "good/xor-xxh3"), raw: base, tuned, to: version + 1, ...quiet });
      await chainMake({ chain, raw: before, tuned, encoding: encoding as "xor", ...quiet });
      before = tuned;
    }
    assert.deepEqual(applied(base, chain, 4), stateOf("A4"));
    const elements = 1_200_000;
    const noise = hashed(8, elements);
    const weights = Uint16Array.from(hashed(7, elements), (bits) => (bits & 0x807f) | (0x3c00 - (bits & 0x300)));
    const near = weights.map((bits, i) => bits + ((noise[i] ?? 0) % 100 === 0 ? 1 + ((noise[i] ?? 0) & 1) : 0));
    const [raw, tuned] = await Promise.all(
      [weights, near].map((units, i) =>
        writeFiles(join(folder, `wide-${i}`), {
          "model.safetensors": safetensors(["w", "BF16", [1200, 1000], new Uint8Array(units.buffer)]),
        }),
      ),
    );
    await chainMake({
      chain: join(folder, "wide"),
      raw: raw ?? "",
      tuned: tuned ?? "",
      encoding: "exact-compressed",
      ...quiet,
    });
    const { tensors } = await chainMaterialize({ chain: join(folder, "wide"), raw: raw ?? "", ...quiet });
    assert.deepEqual(applied(raw ?? "", join(folder, "wide"), 1), { w: tensors[0]?.sha256 });
  }),
);

test("names of every kind are the same to it", { skip }, () =>
  withFolder(async (folder) => {
    const names = ["__proto__", "", "a/b", "\u{1f600}", '\u00e9"\\\n', "z".repeat(300)];
    const write = (name: string, by: number): Promise<string> =>
      writeFiles(join(folder, name), {
        "model.safetensors": safetensors(
          ...names.map((one, i) => [one, "U8", [5], Uint8Array.of(i, by, 3, 4, by)] as const),
        ),
      });
    const [raw, tuned] = [await write("raw", 0), await write("tuned", 7)];
    const chain = join(folder, "chain");
    await chainMake({ chain, raw, tuned, ...quiet });
    const { tensors } = await chainMaterialize({ chain, raw, ...quiet });
    assert.equal(tensors.length, names.length);
    const expected = Object.fromEntries(tensors.map(({ name, sha256 }) => [name, sha256]));
    assert.deepEqual(
      JSON.stringify(Object.entries(applied(raw, chain, 1) as object).sort()),
      JSON.stringify(Object.entries(expected).sort()),
    );
  }),
);
