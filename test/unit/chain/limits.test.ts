/** What a chain may ask of its reader at most. */
import assert from "node:assert/strict";
import { mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openChain } from "../../../src/chain/open.js";
import { pathTo } from "../../../src/chain/path.js";
import { chainMaterialize } from "../../../src/commands/chain/materialize.js";
import { rawFrame } from "../../support/chain-files.js";
import { placeIn, type State, TRAINERS, writeModel, writeSteps } from "../../support/chain-layouts.js";
import { safetensorsWith, withFolder, writeFiles } from "../../support/checkpoints.js";
import { refusalOf } from "../../support/refusal.js";

const STATES: readonly State[] = [0, 1, 2, 3].map((step) => ({ a: Uint8Array.of(step, 7) }));
const quiet = { onNote: () => {}, onWarning: () => {}, threads: 0 } as const;

for (const trainer of TRAINERS) {
  test(`${trainer}: so many steps lead there as are allowed, and not one more`, () =>
    withFolder(async (folder) => {
      await writeSteps(trainer, folder, STATES);
      const chain = await openChain(folder, null);
      const way = (maxSteps: number) => pathTo(chain, { to: null, base: 0, maxSteps });
      assert.equal((await way(3)).steps.length, 3);
      const error = await refusalOf(() => way(2));
      assert.equal(error.code, "LIMIT");
      assert.match(error.message, /more than 2 steps lead to version 0*3/);
      assert.deepEqual(
        error.advice.map((one) => "option" in one && one.option),
        ["maxSteps"],
      );
    }));

  test(`${trainer}: an index that no publisher writes is not read into memory`, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps(trainer, chain, STATES);
      const raw = await writeModel(join(folder, "base"), STATES[0] as State);
      const { folder: place, last } = placeIn(trainer, 3);
      truncateSync(join(chain, place, last), 26_000_000);
      const error = await refusalOf(() => chainMaterialize({ chain, raw, ...quiet, to: 3 }));
      assert.equal(error.why, "incomplete");
      assert.match(error.message, /cannot be read: 26000000 bytes, at most 25000000 are read/);
      assert.equal((await chainMaterialize({ chain, raw, ...quiet, to: 2 })).outcome, "checked");
    }));
}

test("positions that wrapped at 4 GiB are told as that", () =>
  withFolder(async (folder) => {
    const bytes = 2 ** 32 + 64;
    const header = Buffer.from(JSON.stringify({ a: { dtype: "U8", shape: [bytes], data_offsets: [0, bytes] } }));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    mkdirSync(join(folder, "base"));
    const base = join(folder, "base/model.safetensors");
    const file = openSync(base, "w");
    writeSync(file, Buffer.concat([length, header]));
    truncateSync(base, 8 + header.length + bytes);
    const frame = rawFrame(Buffer.concat([new Uint8Array(Uint32Array.of(2, 20, 12).buffer), Uint8Array.of(1, 2)]));
    const place = join(folder, "chain/weight_v000001");
    await writeFiles(place, {
      "model-00000-of-00001.safetensors": safetensorsWith({ a: "0".repeat(32) }, ["a", "U8", [frame.length], frame]),
    });
    const metadata = {
      ...{ version: "000001", base_version: "000000", delta_encoding: "overwrite" },
      ...{ compression_format: "zstd", checksum_format: "xxh3-128" },
    };
    writeFileSync(
      join(place, "model.safetensors.index.json"),
      JSON.stringify({ metadata, weight_map: { a: "model-00000-of-00001.safetensors" } }),
    );
    const error = await refusalOf(() =>
      chainMaterialize({ chain: join(folder, "chain"), raw: join(folder, "base"), ...quiet }),
    );
    assert.equal(error.why, "positions-order");
    assert.match(
      error.message,
      /"a": overwrite positions do not rise \(20, then 12\): tensors over 4 GiB wrap in this encoding/,
    );
    assert.equal(error.hint, "ask its publisher for xor");
  }));
