/** chain make: the next version of a chain, which gives the new model to the byte; and what no update can say. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { chainFold } from "../../src/commands/chain/fold.js";
import { chainMake } from "../../src/commands/chain/make.js";
import { chainMaterialize } from "../../src/commands/chain/materialize.js";
import { chainVerify } from "../../src/commands/chain/verify.js";
import { EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import { canEncode } from "../../src/formats/zstd/encoder.js";
import { digestTensors } from "../../src/run/digest.js";
import { vectorModels } from "../support/chain-models.js";
import { CHAINS, stateOf } from "../support/chains.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { refuses } from "../support/refusal.js";

const quiet = { onNote: () => {}, onWarning: () => {} } as const;
const skip = canEncode() ? false : "this Node cannot write zstd";
const BASE = join(CHAINS, "base");

async function digestsOf(chain: string, raw: string, to: number): Promise<Readonly<Record<string, string>>> {
  const { tensors } = await chainMaterialize({ chain, raw, to, ...quiet });
  return Object.fromEntries(tensors.map(({ name, sha256 }) => [name, sha256]));
}

test("versions that are made one after the other give every model byte for byte", { skip }, () =>
  withFolder(async (folder) => {
    const all = await vectorModels(folder);
    // Each encoding, each checksum and each way to run once: none of them knows of the others.
    for (const [encoding, checksum, threads] of [
      ["xor", "xxh3-128", 0],
      ["overwrite", "blake3", 2],
      ["xor", "adler32", 1],
    ] as const) {
      const chain = join(folder, encoding, checksum);
      for (const [number, tuned] of all.entries()) {
        if (number > 0) {
          const raw = all[number - 1] ?? "";
          const report = await chainMake({ chain, raw, tuned, encoding, checksum, threads, ...quiet });
          assert.equal(report.output, join(chain, `weight_v00000${number}`));
          assert.equal(report.tensors, [0, 3, 5, 0, 4][number]);
        }
      }
      for (const to of [1, 2, 3, 4]) {
        assert.deepEqual(await digestsOf(chain, BASE, to), stateOf(`A${to}`), `${encoding} ${checksum} ${to}`);
      }
      const { verdict, findings } = await chainVerify({ chain, raw: BASE });
      assert.equal(verdict, "sound", JSON.stringify(findings));
    }
  }),
);

interface Header {
  readonly [name: string]: {
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly data_offsets: readonly [number, number];
  };
}

/** A line for each tensor of a file, as docs/chains.md has it. */
function describedIn(file: Buffer): readonly string[] {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__: _, ...tensors } = JSON.parse(file.toString("utf8", 8, start)) as Header;
  return Object.entries(tensors).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [begin, end],
      },
    ]) => {
      const sha256 = createHash("sha256")
        .update(file.subarray(start + begin, start + end))
        .digest("hex");
      return `${name}\t${dtype}\t[${shape.join(", ")}]\t${sha256}\n`;
    },
  );
}

test("the index has slime's form, on one line, and says on which model the update is made", { skip }, () =>
  withFolder(async (folder) => {
    const [, tuned = ""] = await vectorModels(folder);
    const { output } = await chainMake({ chain: join(folder, "chain"), raw: BASE, tuned, ...quiet });
    const lines: string[] = [];
    for (const name of readdirSync(BASE).filter((file) => file.endsWith(".safetensors"))) {
      lines.push(...describedIn(readFileSync(join(BASE, name))));
    }
    const base = createHash("sha256").update(lines.sort().join("")).digest("hex");
    const text = readFileSync(join(output, "model.safetensors.index.json"), "utf8");
    assert.ok(
      text.startsWith(
        `{"metadata": {"version": "000001", "base_version": "000000", "delta_encoding": "xor", "compression_format": "zstd", "checksum_format": "xxh3-128", "weight_diff_base_sha256": "${base}"}, "weight_map": {"`,
      ),
      text,
    );
    assert.deepEqual(readdirSync(output).sort(), [
      "model-00000-of-00001.safetensors",
      "model.safetensors.index.json",
      "weight-diff.json",
    ]);
  }),
);

test("models in torch's files are compared without a conversion", { skip }, () =>
  withFolder(async (folder) => {
    for (const name of ["recover/zip-sharded", "recover/views", "odd/big-endian"]) {
      const raw = join(FIXTURES, name, "base");
      const full = await chainMake({ chain: join(folder, name, "full"), raw, tuned: raw, full: true, ...quiet });
      for (const file of readdirSync(full.output).filter((one) => one.endsWith(".safetensors"))) {
        const bytes = readFileSync(join(full.output, file));
        for (let at = 8 + Number(bytes.readBigUInt64LE(0)) + 5; at < bytes.length; at += 97) {
          bytes[at] = (bytes[at] ?? 0) ^ 1;
        }
        writeFileSync(join(full.output, file), bytes);
      }
      for (const encoding of ["xor", "overwrite"] as const) {
        const chain = join(folder, name, encoding);
        await chainMake({ chain, raw, tuned: full.output, encoding, ...quiet });
        const wanted = await digestTensors(await openCheckpoint(full.output), {});
        assert.deepEqual(await digestsOf(chain, raw, 1), Object.fromEntries(wanted), `${name} ${encoding}`);
      }
    }
  }),
);

test("a full version is the new model itself, and later versions go on from it", { skip }, () =>
  withFolder(async (folder) => {
    const [, first = "", second = ""] = await vectorModels(folder);
    const chain = join(folder, "chain");
    await chainMake({ chain, raw: BASE, tuned: first, ...quiet });
    const full = await chainMake({ chain, raw: first, tuned: second, full: true, ...quiet });
    assert.deepEqual([full.version, full.encoding, full.tensors], ["000002", null, 9]);
    const next = await chainMake({ chain, raw: second, tuned: BASE, ...quiet });
    assert.equal(next.baseVersion, "000002");
    const report = await chainMaterialize({ chain, ...quiet });
    assert.equal(report.chain.start, "000002");
    assert.deepEqual(Object.fromEntries(report.tensors.map(({ name, sha256 }) => [name, sha256])), stateOf("A0"));
  }),
);

test("an update on another model than the newest version is refused, and nothing is written", { skip }, () =>
  withFolder(async (folder) => {
    const [, first = "", second = ""] = await vectorModels(folder);
    const chain = join(folder, "chain");
    await chainMake({ chain, raw: BASE, tuned: first, ...quiet });
    for (const raw of [BASE, second, join(CHAINS, "base-wrong")]) {
      const error = await chainMake({ chain, raw, tuned: join(folder, "model-3"), ...quiet }).catch((thrown) => thrown);
      assert.ok(error instanceof WeightDiffError && error.why === "wrong-base", `${raw}: ${error}`);
      assert.equal(EXIT_CODES[error.code], 4);
      assert.deepEqual(readdirSync(chain), ["weight_v000001"]);
    }
  }),
);

test(
  "the model before is compared with the checksums of every version, and with a full version's own tensors",
  { skip },
  () =>
    withFolder(async (folder) => {
      const all = await vectorModels(folder);
      const [base = "", first = "", second = "", third = "", fourth = ""] = all;
      for (const made of all.slice(1)) {
        rmSync(join(made, "weight-diff.json")); // it would tell the version
      }
      const refused = async (chain: string, raw: string, tuned: string): Promise<void> => {
        const error = await chainMake({ chain, raw, tuned, ...quiet }).catch((thrown) => thrown);
        assert.ok(error instanceof WeightDiffError && error.why === "wrong-base", `${raw}: ${error}`);
      };
      // Version 3 changes nothing: what the model before must be, versions 1 and 2 say.
      const chain = join(folder, "chain");
      for (const [raw, tuned] of [
        [base, first],
        [first, second],
        [second, third],
      ] as const) {
        await chainMake({ chain, raw, tuned, ...quiet });
      }
      await refused(chain, base, fourth);
      await refused(chain, first, fourth);
      await chainMake({ chain, raw: second, tuned: fourth, ...quiet });
      for (const manifest of [true, false]) {
        const full = join(folder, `full-${manifest}`);
        const { output } = await chainMake({ chain: full, raw: base, tuned: second, full: true, ...quiet });
        if (!manifest) {
          rmSync(join(output, "weight-diff.json"));
        }
        await refused(full, first, fourth);
        await chainMake({ chain: full, raw: second, tuned: fourth, ...quiet });
        await refused(full, second, first);
        const { verdict } = await chainVerify({ chain: full });
        assert.equal(verdict, "sound");
      }
    }),
);

test("changes that an update cannot express are listed tensor by tensor", { skip }, () =>
  withFolder(async (folder) => {
    const write = (name: string, ...tensors: readonly TensorSpec[]) =>
      writeFiles(join(folder, name), { "model.safetensors": safetensors(...tensors) });
    const raw = await write("raw", ["a", "F32", [2]], ["b", "F32", [2]], ["c", "F32", [2]]);
    const tuned = await write("tuned", ["a", "F32", [3]], ["b", "BF16", [2]], ["d", "F32", [2]]);
    const error = await chainMake({ chain: join(folder, "chain"), raw, tuned, ...quiet }).catch((thrown) => thrown);
    assert.ok(error instanceof WeightDiffError && error.code === "MISMATCH", String(error));
    assert.deepEqual(error.problems, [
      '"a" is F32 [2] before, and F32 [3] in the new model',
      '"b" is F32 [2] before, and BF16 [2] in the new model',
      '"c" is not in the new model',
      '"d" is new in the new model',
    ]);
    await refuses(
      () => chainMake({ chain: join(folder, "chain"), raw, tuned: raw, ...quiet }),
      "USAGE",
      /the same files/,
    );
  }),
);

test("a repository or a page is refused as a place to write to", { skip }, () =>
  withFolder(async (folder) => {
    const [, tuned = ""] = await vectorModels(folder);
    const raw = BASE;
    for (const place of ["hf://org/chain", "https://huggingface.co/org/chain"]) {
      await refuses(
        () => chainMake({ chain: place, raw, tuned, ...quiet }),
        "USAGE",
        /is not a directory on this machine/,
      );
      const chain = join(CHAINS, "good/xor-xxh3");
      await refuses(() => chainFold({ chain, output: place, ...quiet }), "USAGE", /is not a directory on this machine/);
      await refuses(() => chainMaterialize({ chain, raw, tuned: place, ...quiet }), "USAGE", /is not a directory/);
    }
  }),
);

test("numbers go on from the newest complete version, and an unfinished one is told", { skip }, () =>
  withFolder(async (folder) => {
    const [, first = "", second = ""] = await vectorModels(folder);
    const chain = join(folder, "chain");
    const begun = await chainMake({ chain, raw: BASE, tuned: first, version: 7, ...quiet });
    assert.deepEqual([begun.version, begun.baseVersion], ["000007", "000006"]);
    await refuses(
      () => chainMake({ chain, raw: first, tuned: second, version: 3, ...quiet }),
      "FORMAT_INVALID",
      /version 000007 is there already/,
    );
    mkdirSync(join(chain, "weight_v000008"));
    writeFileSync(join(chain, "weight_v000008/model-00000-of-00001.safetensors.tmp"), "half");
    await refuses(
      () => chainMake({ chain, raw: first, tuned: second, ...quiet }),
      "OUTPUT_REFUSED",
      /weight_v000008 has no index/,
    );
  }),
);

test("an interrupted version is made by the next run", { skip }, () =>
  withFolder(async (folder) => {
    const [, first = ""] = await vectorModels(folder);
    const chain = join(folder, "chain");
    const stop = new AbortController();
    const onProgress = (): void => stop.abort(new WeightDiffError("INTERRUPTED", "interrupted"));
    const make = { chain, raw: BASE, tuned: first, threads: 0, ...quiet } as const;
    await refuses(() => chainMake({ ...make, signal: stop.signal, onProgress }), "INTERRUPTED", /interrupted/);
    await refuses(() => chainMake(make), "OUTPUT_REFUSED", /weight_v000001 has no index/);
    assert.equal((await chainMake({ ...make, mode: "resume" })).version, "000001");
    assert.equal((await chainMake({ ...make, mode: "resume" })).outcome, "verified");
    assert.deepEqual(await digestsOf(chain, BASE, 1), stateOf("A1"));
  }),
);
