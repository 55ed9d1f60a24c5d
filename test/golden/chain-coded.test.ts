/**
 * Steps of a chain as coded windows: made, applied, verified and folded in any mix with the trainers' encodings, on every Node. The models that
 * steps are made of are the expected values.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { chainFold } from "../../src/commands/chain/fold.js";
import { chainInspect } from "../../src/commands/chain/inspect.js";
import { chainMake } from "../../src/commands/chain/make.js";
import { chainMaterialize } from "../../src/commands/chain/materialize.js";
import { chainVerify } from "../../src/commands/chain/verify.js";
import { recover } from "../../src/commands/recover.js";
import { EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import { canEncode } from "../../src/formats/zstd/encoder.js";
import { digestTensors } from "../../src/run/digest.js";
import { decodersFor } from "../../src/run/pace.js";
import { writeStep } from "../support/chain-files.js";
import { vectorModels } from "../support/chain-models.js";
import { CHAINS, stateOf } from "../support/chains.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../support/checkpoints.js";
import { hashed } from "../support/kernels.js";
import { refuses } from "../support/refusal.js";

const quiet = { onNote: () => {}, onWarning: () => {} } as const;
const coded = { encoding: "exact-compressed", ...quiet } as const;
const BASE = join(CHAINS, "base");
const INDEX = "model.safetensors.index.json";
const SHARD = "model-00000-of-00001.safetensors";

type Digests = Readonly<Record<string, string>>;

async function digestsOf(options: Parameters<typeof chainMaterialize>[0]): Promise<Digests> {
  const { tensors } = await chainMaterialize({ ...quiet, ...options });
  return Object.fromEntries(tensors.map(({ name, sha256 }) => [name, sha256]));
}

async function digestsIn(path: string): Promise<Digests> {
  return Object.fromEntries(await digestTensors(await openCheckpoint(path), {}));
}

/** A tensor of each unit, longer than a window where that is not large; some elements of each step change. */
const SPECS = [
  ["wide", "BF16", 1_100_003, 2],
  ["single", "F32", 540_000, 4],
  ["halves", "F64", 300_001, 8],
  ["bytes", "U8", 600_001, 1],
  ["eighth", "F8_E4M3", 1000, 1],
  ["counts", "I64", 77, 8],
  ["none", "BF16", 0, 2],
] as const;

function bytesOf(step: number): ReadonlyMap<string, Uint8Array> {
  return new Map(
    SPECS.map(([name, , elements, width], which) => {
      const units = hashed(11 + which, Math.ceil((elements * width) / 2) + 1);
      const bytes = new Uint8Array(Uint16Array.from(units, (bits) => bits & 0xbfff).buffer, 0, elements * width);
      for (let before = 1; before <= step; before++) {
        for (let i = 0; i < elements; i += 97 + which) {
          const at = ((i * (before + 3)) % elements) * width;
          bytes[at] = (bytes[at] ?? 0) + before;
        }
      }
      return [name, bytes];
    }),
  );
}

function modelOf(step: number): Uint8Array {
  const bytes = bytesOf(step);
  return safetensors(
    ...SPECS.map(
      ([name, dtype, elements]): TensorSpec => [name, dtype, [elements], bytes.get(name) ?? new Uint8Array()],
    ),
  );
}

async function writeModels(folder: string, steps: number): Promise<readonly string[]> {
  const models: string[] = [];
  for (let step = 0; step <= steps; step++) {
    models.push(await writeFiles(join(folder, `model-${step}`), { "model.safetensors": modelOf(step) }));
  }
  return models;
}

test("coded versions give every model of the vectors byte for byte", () =>
  withFolder(async (folder) => {
    const models = await vectorModels(folder);
    for (const [checksum, threads] of [
      ["xxh3-128", 0],
      ["adler32", 2],
    ] as const) {
      const chain = join(folder, checksum);
      const notes: string[] = [];
      for (let version = 1; version <= 4; version++) {
        const pair = { raw: models[version - 1] ?? "", tuned: models[version] ?? "" };
        const onNote = (text: string): void => void notes.push(text);
        const { tensors } = await chainMake({ chain, ...pair, ...coded, checksum, threads, onNote });
        assert.equal(tensors, [0, 3, 5, 0, 4][version]);
      }
      assert.match(notes.join("\n"), /the trainers' readers do not know exact-compressed/);
      for (let to = 1; to <= 4; to++) {
        assert.deepEqual(await digestsOf({ chain, raw: BASE, to }), stateOf(`A${to}`), `${checksum} ${to}`);
      }
      const { verdict, findings, sums } = await chainVerify({ chain, raw: BASE });
      assert.deepEqual([verdict, findings, sums], ["sound", [], 12]);
      assert.equal((await chainVerify({ chain })).verdict, "sound");
      const { versions } = await chainInspect({ chain });
      assert.deepEqual(
        versions.map(({ encoding, tensors, fault }) => [encoding, tensors, fault]),
        [3, 5, 0, 4].map((count) => ["exact-compressed", count, null]),
      );
    }
    const recovered = await recover({ raw: BASE, diff: join(folder, "adler32"), to: 2, ...quiet });
    assert.deepEqual(Object.fromEntries(recovered.tensors.map(({ name, sha256 }) => [name, sha256])), stateOf("A2"));
  }));

test("tensors of several windows and every kind of unit, in a mix of encodings, whatever windows and threads; and folded", () =>
  withFolder(async (folder) => {
    const models = await writeModels(folder, 4);
    const [raw = "", , , third = "", last = ""] = models;
    const chain = join(folder, "chain");
    for (const [version, encoding] of [
      [1, "exact-compressed"],
      [2, "xor"],
      [3, "exact-compressed"],
      [4, "overwrite"],
    ] as const) {
      if (encoding === "exact-compressed") {
        await chainMake({ chain, raw: models[version - 1] ?? "", tuned: models[version] ?? "", ...coded });
      } else {
        const [before, after] = [bytesOf(version - 1), bytesOf(version)];
        const names = SPECS.map(([name]) => name).filter((name) => after.get(name)?.length !== 0);
        const tensors = names.map((name) => [name, [before.get(name), after.get(name)]] as const);
        await writeStep(chain, {
          version,
          encoding,
          tensors: Object.fromEntries(tensors) as Parameters<typeof writeStep>[1]["tensors"],
        });
      }
    }
    const wanted = await digestsIn(last);
    for (const [windowBytes, threads] of [
      [65_536, 0],
      [1 << 22, 2],
    ] as const) {
      assert.deepEqual(await digestsOf({ chain, raw, windowBytes, threads }), wanted);
    }
    assert.equal((await chainVerify({ chain, raw })).verdict, "sound");
    assert.deepEqual(await digestsOf({ chain, raw: third, baseVersion: 3 }), wanted);
    await refuses(
      () => chainFold({ chain, output: join(folder, "free"), ...coded }),
      "USAGE",
      /fold into exact-compressed only with the base/,
    );
    for (const encoding of ["exact-compressed", ...(canEncode() ? (["xor", "overwrite"] as const) : [])] as const) {
      const output = join(folder, encoding);
      await chainFold({ chain, raw, output, ...quiet, encoding, threads: 2 });
      assert.deepEqual(await digestsOf({ chain: output, raw }), wanted, encoding);
    }
  }));

test("coded steps fold into a coded one, also when there are more than are open at a time", () =>
  withFolder(async (folder) => {
    const units = 600_000;
    const [steps, threads] = [12, 8];
    assert.ok(decodersFor(threads) < steps);
    const chain = join(folder, "chain");
    const paths: string[] = [];
    for (let step = 0; step <= steps; step++) {
      const own = hashed(3, units).map((bits, i) => (i % 5003 < step ? bits + step : bits) & 0xbfff);
      paths.push(
        await writeFiles(join(folder, `m${step}`), {
          "model.safetensors": safetensors(["w", "BF16", [units], new Uint8Array(Uint16Array.from(own).buffer)]),
        }),
      );
      if (step > 0) {
        await chainMake({ chain, raw: paths[step - 1] ?? "", tuned: paths[step] ?? "", ...coded, threads: 0 });
      }
    }
    const [raw = ""] = paths;
    const wanted = await digestsIn(paths[steps] ?? "");
    assert.deepEqual(await digestsOf({ chain, raw, windowBytes: 65_536, threads }), wanted);
    const output = join(folder, "folded");
    assert.equal((await chainFold({ chain, raw, output, threads, ...quiet })).encoding, "exact-compressed");
    assert.deepEqual(await digestsOf({ chain: output, raw }), wanted);
  }));

test("the index has the coder's version and each tensor's dtype and shape; another version is refused by name", () =>
  withFolder(async (folder) => {
    const [, tuned = ""] = await vectorModels(folder);
    const chain = join(folder, "chain");
    const { output } = await chainMake({ chain, raw: BASE, tuned, ...coded });
    const index = join(output, INDEX);
    const text = readFileSync(index, "utf8");
    const { metadata } = JSON.parse(text) as { readonly metadata: Readonly<Record<string, string>> };
    assert.equal(metadata.delta_encoding, "exact-compressed");
    assert.equal(metadata.compression_format, "coded");
    assert.equal(metadata.weight_diff_codec, "1");
    const list = JSON.parse(metadata.weight_diff_coded ?? "") as readonly (readonly unknown[])[];
    assert.equal(list.length, 3);
    const refusals = [
      [
        /"weight_diff_codec": "1"/,
        '"weight_diff_codec": "2"',
        "unknown-compression",
        /codec "2" is not known: expected "1"/,
      ],
      [/"weight_diff_codec": "1", /, "", "unknown-compression", /\(missing\) is not known/],
      [/"coded"/, '"zstd"', "unknown-compression", /compression_format "zstd" is not known: expected "coded"/],
      [/"exact-compressed"/, '"exact"', "unknown-encoding", /delta_encoding "exact" is not known/],
      [/"weight_diff_coded": "\[/, '"weight_diff_coded": "[[],', "incomplete", /is not a list/],
      [/"weight_diff_coded": "\[\[\\"/, '"weight_diff_coded": "[[\\"x', "index-tensor", /is not in the index's/],
      [/BF16/, "F32", "dtype", /is F32 .* for the publisher, and BF16/],
      [/BF16/, "F3", "incomplete", /is not a list/],
    ] as const;
    for (const [from, to, why, words] of refusals) {
      assert.match(text, from);
      writeFileSync(index, text.replace(from, to));
      const error = await chainMaterialize({ chain, raw: BASE, ...quiet }).catch((thrown) => thrown);
      assert.ok(error instanceof WeightDiffError && error.why === why, `${why}: ${error}`);
      assert.match(error.message, words);
      assert.equal(EXIT_CODES[error.code], 4);
    }
  }));

test("every byte of a coded payload that is changed is found, with the base and without", () =>
  withFolder(async (folder) => {
    const [raw = "", tuned = ""] = await writeModels(folder, 1);
    const chain = join(folder, "chain");
    const { output } = await chainMake({ chain, raw, tuned, ...coded });
    const whole = readFileSync(join(output, SHARD));
    const start = 8 + Number(whole.readBigUInt64LE(0));
    const step = Math.ceil((whole.length - start) / 12);
    for (let at = whole.length - 1; at >= start; at -= step) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x40;
      writeFileSync(join(output, SHARD), damaged);
      const error = await chainMaterialize({ chain, raw, threads: 0, ...quiet }).catch((thrown) => thrown);
      assert.ok(error instanceof WeightDiffError && error.why === "frame", `${at}: ${error}`);
      assert.ok(error.at.version === "000001" && error.at.tensor !== undefined, JSON.stringify(error.at));
      const { verdict, findings } = await chainVerify({ chain });
      assert.deepEqual([verdict, findings[0]?.why, findings[0]?.tensor], ["failed", "frame", error.at.tensor]);
    }
  }));

test("a chain that is not there yet is a directory, and no repository", () =>
  withFolder(async (folder) => {
    const [raw = "", tuned = ""] = await writeModels(folder, 1);
    const here = process.cwd();
    process.chdir(folder);
    try {
      const { output } = await chainMake({ chain: "runs/chain", raw, tuned, ...coded, hub: { offline: true } });
      assert.ok(output.endsWith("runs/chain/weight_v000001"), output);
    } finally {
      process.chdir(here);
    }
  }));

test("an interrupted coded version is made by the next run, to the same bytes", () =>
  withFolder(async (folder) => {
    const [raw = "", tuned = ""] = await writeModels(folder, 1);
    const whole = await chainMake({ chain: join(folder, "whole"), raw, tuned, ...coded });
    const chain = join(folder, "chain");
    const stop = new AbortController();
    const onProgress = (): void => stop.abort(new WeightDiffError("INTERRUPTED", "interrupted"));
    const make = { chain, raw, tuned, threads: 0, ...coded } as const;
    await refuses(() => chainMake({ ...make, signal: stop.signal, onProgress }), "INTERRUPTED", /interrupted/);
    const report = await chainMake({ ...make, mode: "resume" });
    assert.equal((await chainMake({ ...make, mode: "resume" })).outcome, "verified");
    assert.deepEqual(readdirSync(report.output).sort(), readdirSync(whole.output).sort());
    for (const file of readdirSync(whole.output)) {
      assert.ok(readFileSync(join(report.output, file)).equals(readFileSync(join(whole.output, file))), file);
    }
  }));
