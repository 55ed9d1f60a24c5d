/** chain fold: what several steps do together, to the byte that the vectors say; what does not fold is refused before anything is written. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { chainFold } from "../../src/commands/chain/fold.js";
import { chainMaterialize } from "../../src/commands/chain/materialize.js";
import { UPDATED_PIECE } from "../../src/engine/io/memory.js";
import { EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import { canEncode } from "../../src/formats/zstd/encoder.js";
import { FRAME_HEADER } from "../../src/formats/zstd/walk.js";
import { decodersFor } from "../../src/run/pace.js";
import { writeStep } from "../support/chain-files.js";
import { type State, writeModel, writeTrlSteps } from "../support/chain-layouts.js";
import { CHAINS, optionsOf, stateOf, VECTORS } from "../support/chains.js";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";
import { payloadsOf } from "../support/payloads.js";
import { refuses } from "../support/refusal.js";

const quiet = { onNote: () => {}, onWarning: () => {} } as const;
const skip = canEncode() ? false : "this Node cannot write zstd";
const folds = VECTORS.cases.filter(({ fold }) => fold !== undefined);

test("there are vectors to fold", () => {
  assert.deepEqual(
    folds.map(({ name }) => name),
    ["xor-xxh3", "overwrite-blake3", "mixed", "big-xor", "big-overwrite"],
  );
});

/** Every checksum with every encoding shows on small tensors; how large ones are cut hangs on the encoding alone. */
const TARGETS = (["xor", "overwrite"] as const).flatMap((to) =>
  (["xxh3-128", "blake3", "adler32"] as const).map((checksum) => [to, checksum] as const),
);
const TWO_TARGETS = [
  ["xor", "blake3"],
  ["overwrite", "adler32"],
] as const;

for (const vector of folds) {
  const { name, fold, expect } = vector;
  const range = { from: Number(fold?.from), to: Number(fold?.to) };
  const encoding = fold?.encoding ?? null;
  const state = stateOf(expect.versions?.[range.to] ?? "");

  test(
    `${name}: folds to the payloads that numpy computes${fold?.needs_base === true ? ", with the base" : ", without the base"}`,
    { skip },
    () =>
      withFolder(async (folder) => {
        const { raw = null, chain } = await optionsOf(vector, folder);
        for (const threads of [0, 2]) {
          const output = join(folder, `out-${threads}`);
          const base = fold?.needs_base === true ? raw : null;
          const { output: version } = await chainFold({
            chain,
            ...range,
            output,
            raw: base,
            encoding,
            threads,
            ...quiet,
          });
          assert.deepEqual(payloadsOf(version), fold?.payload_sha256);
          // As a chain of its own it gives the version that it was folded to.
          const report = await chainMaterialize({
            chain: output,
            raw,
            to: range.to,
            baseVersion: range.from,
            ...quiet,
          });
          assert.deepEqual(Object.fromEntries(report.tensors.map((one) => [one.name, one.sha256])), state);
          assert.deepEqual(readdirSync(version).sort(), [
            "model-00000-of-00001.safetensors",
            "model.safetensors.index.json",
            "weight-diff.json",
          ]);
        }
      }),
  );

  test(`${name}: into each encoding, with the base`, { skip }, () =>
    withFolder(async (folder) => {
      const { raw = null, chain } = await optionsOf(vector, folder);
      for (const [to, checksum] of name.startsWith("big-") ? TWO_TARGETS : TARGETS) {
        const output = join(folder, to, checksum);
        await chainFold({ chain, ...range, output, raw, encoding: to, checksum, ...quiet });
        const report = await chainMaterialize({ chain: output, raw, baseVersion: range.from, ...quiet });
        assert.deepEqual(Object.fromEntries(report.tensors.map((one) => [one.name, one.sha256])), state);
        assert.deepEqual(report.chain.algorithms, [checksum]);
        assert.equal(report.chain.steps[0]?.encoding, to);
      }
    }),
  );
}

test("chains of other layouts fold into slime's", { skip }, () =>
  withFolder(async (folder) => {
    for (const name of [
      "stitch-root",
      "modelexpress-to-2",
      "skyrl",
      "fireworks-zstd",
      "fireworks-zlib",
      "fireworks-arc3",
    ]) {
      const vector = VECTORS.cases.find((one) => one.name === name);
      assert.ok(vector !== undefined);
      const { tuned: _, ...options } = await optionsOf(vector, folder);
      const output = join(folder, name);
      await chainFold({ ...options, output, ...quiet });
      const report = await chainMaterialize({ chain: output, raw: options.raw ?? null, ...quiet });
      const state = stateOf(vector.expect.versions?.[vector.expect.to ?? ""] ?? "");
      assert.deepEqual(Object.fromEntries(report.tensors.map((one) => [one.name, one.sha256])), state, name);
    }
  }),
);

test("a fold warns of tensors that had no checksum before the folded step states one", { skip }, () =>
  withFolder(async (folder) => {
    const warnings: string[] = [];
    const onWarning = (text: string): void => void warnings.push(text);
    const { encoding } = await chainFold({ chain: join(CHAINS, "good/trl-b"), output: folder, ...quiet, onWarning });
    assert.equal(encoding, "xor");
    assert.match(warnings.join("\n"), /the chain states no checksum of \d+ of \d+ tensors/);
  }),
);

test("a fold that needs the base is refused without it", { skip }, () =>
  withFolder(async (folder) => {
    const output = join(folder, "out");
    const fold =
      (chain: string, more: object = {}) =>
      () =>
        chainFold({ chain: join(CHAINS, "good", chain), output, ...more, ...quiet });
    await refuses(
      fold("mixed"),
      "USAGE",
      /steps 000001 \(xor\) and 000002 \(overwrite\) and 000004 \(xor_sparse\) fold into xor only with the base/,
    );
    await refuses(fold("xor-xxh3", { encoding: "overwrite" }), "USAGE", /fold into overwrite only with the base/);
    await refuses(fold("overwrite-blake3", { encoding: "xor" }), "USAGE", /fold into xor only with the base/);
    await refuses(
      fold("xor-xxh3", { checksum: "blake3" }),
      "USAGE",
      /checksums of xxh3-128 become blake3 only with the base/,
    );
    await refuses(fold("no-content-size"), "USAGE", /the size of tensor ".*" is in none of its frames/);
    await refuses(fold("reset", { to: 3 }), "USAGE", /version 000003 is a full one/);
    await refuses(fold("xor-xxh3", { from: 4, to: 4 }), "MISMATCH", /already is version 000004/);
    assert.deepEqual(readdirSync(folder), []);
  }),
);

test("a sha256 over the whole model is computed before anything is written, and the base is told by it", { skip }, () =>
  withFolder(async (folder) => {
    const states = [0, 1, 2].map(
      (step): State => ({
        a: Uint8Array.from({ length: 600 }, (_, i) => (i % 7 === 0 ? i + step : i) & 255),
        b: Uint8Array.of(step, 1, 2, 3),
      }),
    );
    const chain = join(folder, "chain");
    await writeTrlSteps(chain, states);
    const raw = await writeModel(join(folder, "base"), states[0] as State);
    const made = join(folder, "made");
    await chainFold({ chain, raw, output: made, ...quiet });
    const { tensors } = await chainMaterialize({ chain: made, raw, ...quiet });
    const digests = Object.entries(states[2] as State).map(([name, bytes]) => [
      name,
      createHash("sha256").update(bytes).digest("hex"),
    ]);
    assert.deepEqual(Object.fromEntries(tensors.map((one) => [one.name, one.sha256])), Object.fromEntries(digests));

    const output = join(folder, "out");
    const fold = (base: string) => chainFold({ chain, raw: base, output, ...quiet }).catch((thrown: unknown) => thrown);
    // Elements are replaced, so that only the sha256 tells which bytes the first step met.
    const wrong = await fold(await writeModel(join(folder, "wrong"), { ...states[0], a: new Uint8Array(600) }));
    assert.ok(wrong instanceof WeightDiffError && wrong.why === "checksum", String(wrong));
    assert.match(wrong.message, /the model has the sha256 [0-9a-f]{64}, expected [0-9a-f]{64}/);
    assert.ok(!existsSync(output));
  }),
);

test("a full version in the range is where the fold begins", { skip }, () =>
  withFolder(async (folder) => {
    const { output, baseVersion } = await chainFold({ chain: join(CHAINS, "good/reset"), output: folder, ...quiet });
    assert.equal(baseVersion, "000003");
    assert.match(readFileSync(join(output, "model.safetensors.index.json"), "utf8"), /"base_version": "000003"/);
  }),
);

test("a fold that begins with a full version reads the head of each frame once", { skip }, () =>
  withFolder(async (folder) => {
    const handle = await open(import.meta.filename);
    const files: { read: (...args: unknown[]) => unknown } = Object.getPrototypeOf(handle);
    await handle.close();
    const { read } = files;
    let heads = 0;
    files.read = function (...args) {
      heads += args[2] === FRAME_HEADER ? 1 : 0;
      return read.apply(this, args);
    };
    try {
      // Version 4 changes one tensor of version 3, which is a full one.
      await chainFold({ chain: join(CHAINS, "good/reset"), output: folder, ...quiet });
    } finally {
      files.read = read;
    }
    assert.equal(heads, 1);
  }),
);

test("where the frames do not state their size, the full version that the fold begins with tells it", { skip }, () =>
  withFolder(async (folder) => {
    const [chain, unsized] = [join(folder, "chain"), join(CHAINS, "good/no-content-size")];
    const full = join(chain, "weight_v000001");
    await chainMaterialize({ chain: unsized, raw: join(CHAINS, "base"), tuned: full, to: 1, ...quiet });
    cpSync(join(unsized, "weight_v000002"), join(chain, "weight_v000002"), { recursive: true });
    const output = join(folder, "out");
    const { baseVersion } = await chainFold({ chain, output, encoding: "xor", ...quiet });
    assert.equal(baseVersion, "000001");
    const { tensors } = await chainMaterialize({ chain: output, raw: full, baseVersion: 1, ...quiet });
    assert.deepEqual(Object.fromEntries(tensors.map((one) => [one.name, one.sha256])), stateOf("A2"));
  }),
);

test(
  "with renumber, the folded version has the number after the first, for readers that look for the next number",
  { skip },
  () =>
    withFolder(async (folder) => {
      const chain = join(CHAINS, "good/xor-xxh3");
      const report = await chainFold({ chain, from: 1, to: 4, output: folder, renumber: true, ...quiet });
      assert.equal(report.output, join(folder, "weight_v000002"));
      assert.equal(
        readFileSync(join(report.output, "model.safetensors.index.json"), "utf8").slice(0, 154),
        '{"metadata": {"version": "000002", "base_version": "000001", "delta_encoding": "xor", "compression_format": "zstd", "checksum_format": "xxh3-128"}, "weigh',
      );
    }),
);

test("another base than the steps are made on is found, and nothing is written", { skip }, () =>
  withFolder(async (folder) => {
    const chain = join(CHAINS, "good/xor-xxh3");
    for (const [raw, why, exit] of [
      ["base-wrong", "wrong-base", 4],
      ["base-at-v2", "already-applied", 4],
      ["base-ulp", "checksum", 3],
    ] as const) {
      const error = await chainFold({ chain, raw: join(CHAINS, raw), output: join(folder, "out"), ...quiet }).catch(
        (thrown) => thrown,
      );
      assert.ok(error instanceof WeightDiffError && error.why === why, `${raw}: ${error}`);
      assert.equal(EXIT_CODES[error.code], exit);
      assert.deepEqual(readdirSync(folder), []);
    }
  }),
);

for (const vector of VECTORS.cases.filter(({ layout, expect }) => layout === "slime" && expect.to === undefined)) {
  const { name, expect, base } = vector;
  test(
    `refuses to fold ${name}`,
    { skip: skip || (base === "base-at-v2" || base === "base-wrong" ? "the base is at fault" : false) },
    () =>
      withFolder(async (folder) => {
        const { raw = null, chain } = await optionsOf(vector, folder);
        const error = await chainFold({ chain, raw, output: join(folder, "out"), ...quiet }).catch((thrown) => thrown);
        assert.ok(error instanceof WeightDiffError, String(error));
        assert.ok(expect.exit.includes(EXIT_CODES[error.code]), `${error.code}: ${error.message}`);
        assert.ok(expect.why?.includes(error.why ?? ""), `${error.why}: ${error.message}`);
        assert.deepEqual(readdirSync(folder), []);
      }),
  );
}

test("more steps than are open at a time fold in groups", { skip }, () =>
  withFolder(async (folder) => {
    const [steps, threads, bytes] = [18, 6, UPDATED_PIECE + 40_001];
    assert.ok(decodersFor(threads) < steps);
    const first = Uint8Array.from({ length: bytes }, (_, i) => Math.imul(i, 2_654_435_761) >>> 24);
    const large = [first];
    const small = [Uint8Array.of(0, 0)];
    for (let step = 1; step <= steps; step++) {
      const next = Uint8Array.from(large.at(-1) ?? []);
      for (let i = 0; i < 40; i++) {
        const at = (Math.imul(step * 40 + i, 2_654_435_761) >>> 1) % bytes;
        next[at] = (next[at] ?? 0) + step;
      }
      large.push(next);
      small.push(Uint8Array.of(step, 7));
    }
    const raw = await writeFiles(join(folder, "base"), {
      "model.safetensors": safetensors(["large", "U8", [bytes], first], ["small", "U8", [2], Uint8Array.of(0, 0)]),
    });
    const digest = (data: Uint8Array = new Uint8Array()): string => createHash("sha256").update(data).digest("hex");
    const last = { large: digest(large[steps]), small: digest(small[steps]) };
    for (const encoding of ["xor", "overwrite"] as const) {
      const chain = join(folder, encoding);
      for (let version = 1; version <= steps; version++) {
        const pairOf = (states: readonly Uint8Array[]): readonly [Uint8Array, Uint8Array] => [
          states[version - 1] ?? new Uint8Array(),
          states[version] ?? new Uint8Array(),
        ];
        await writeStep(chain, { version, encoding, tensors: { large: pairOf(large), small: pairOf(small) } });
      }
      for (const [name, options] of Object.entries({
        free: { raw: null },
        based: { raw, encoding: "xor" as const },
        places: { raw, encoding: "overwrite" as const },
      })) {
        const output = join(folder, `${encoding}-${name}`);
        const fold = () => chainFold({ chain, output, ...options, threads, ...quiet });
        if (encoding === "overwrite" && name === "free") {
          await refuses(fold, "USAGE", /more than 16 steps of overwrite/);
          // Two decoders of each step are open in every thread: of 64 in all.
          const some = await chainFold({ chain, to: 16, output: join(folder, "some"), threads, ...quiet });
          assert.equal(some.threads, 2);
          continue;
        }
        await fold();
        const { tensors } = await chainMaterialize({ chain: output, raw, ...quiet });
        assert.deepEqual(Object.fromEntries(tensors.map((one) => [one.name, one.sha256])), last, `${encoding} ${name}`);
      }
    }
  }),
);

test("a fold that was interrupted is made by the next run, and one that is finished is proved", { skip }, () =>
  withFolder(async (folder) => {
    const vector = folds.find(({ name }) => name === "big-xor");
    assert.ok(vector !== undefined);
    const { chain, raw = null } = await optionsOf(vector, folder);
    const output = join(folder, "out");
    const whole = await chainFold({ chain, raw, output: join(folder, "whole"), ...quiet });
    const stop = new AbortController();
    const onProgress = (): void => stop.abort(new WeightDiffError("INTERRUPTED", "interrupted"));
    const fold = { chain, raw, output, threads: 0, ...quiet } as const;
    await refuses(() => chainFold({ ...fold, signal: stop.signal, onProgress }), "INTERRUPTED", /interrupted/);
    assert.deepEqual(readdirSync(join(output, "weight_v000002")), [".weight-diff"]);
    const report = await chainFold({ ...fold, mode: "resume" });
    for (const file of ["model-00000-of-00001.safetensors", "model.safetensors.index.json", "weight-diff.json"]) {
      assert.ok(readFileSync(join(report.output, file)).equals(readFileSync(join(whole.output, file))), file);
    }
    assert.equal((await chainFold({ ...fold, mode: "resume" })).outcome, "verified");
    await refuses(() => chainFold(fold), "OUTPUT_REFUSED", /is not empty/);
    const other = { ...fold, mode: "resume", checksum: "blake3" } as const;
    await refuses(() => chainFold(other), "OUTPUT_REFUSED", /another checksum/);
  }),
);

test(
  "on a Node without zstd, a fold is refused before anything else",
  { skip: canEncode() && "this Node has it" },
  () =>
    refuses(
      () => chainFold({ chain: "nowhere", output: "out", encoding: "xor" }),
      "USAGE",
      /has no zstd to write with/,
    ),
);
