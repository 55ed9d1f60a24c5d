/** ModelExpress's full versions: what their receivers refuse is refused here; and what a wrong sum of one means is said as it is. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { chainMaterialize } from "../../../src/commands/chain/materialize.js";
import { chainVerify } from "../../../src/commands/chain/verify.js";
import { EXIT_CODES, WeightDiffError } from "../../../src/errors.js";
import { loadChecksums } from "../../../src/formats/checksum.js";
import { type State, writeModel, writeUpdate } from "../../support/chain-layouts.js";
import { safetensorsWith, withFolder, writeFiles } from "../../support/checkpoints.js";

const BASE: State = { a: Uint8Array.of(1, 2), "lm_head.weight": Uint8Array.of(3, 4), z: Uint8Array.of(5, 6, 7, 8) };
const FULL: State = { ...BASE, a: Uint8Array.of(9, 9), z: Uint8Array.of(8, 8, 8, 8) };

interface Odd {
  readonly state?: State;
  /** Of the index: what it says of its checksums. */
  readonly format?: string;
  readonly sums?: Readonly<Record<string, string>>;
  readonly prefix?: string;
}

/** v1 is an update, v2 the full version. */
async function chainWith(folder: string, { state = FULL, format, sums, prefix = "" }: Odd): Promise<string> {
  const chain = join(folder, "chain");
  await writeUpdate("modelexpress", chain, { version: 1, before: BASE, after: { ...BASE, a: Uint8Array.of(0, 1) } });
  const create = await loadChecksums(["adler32"]);
  const own = Object.fromEntries(
    Object.entries(state).map(([name, bytes]) => {
      const checksum = create("adler32");
      checksum.update(bytes);
      return [prefix + name, checksum.digest()];
    }),
  );
  const file = "model-00001-of-00001.safetensors";
  const tensors = Object.entries(state).map(([name, bytes]) => [name, "BF16", [bytes.length / 2], bytes] as const);
  const metadata = { total_size: 8, ...(format === undefined ? {} : { checksum_format: format }) };
  await writeFiles(join(chain, "v2"), {
    [file]: safetensorsWith(sums ?? own, ...tensors),
    "model.safetensors.index.json": JSON.stringify({
      metadata,
      weight_map: Object.fromEntries(tensors.map(([name]) => [name, file])),
    }),
  });
  return chain;
}

async function base(folder: string, tied: boolean): Promise<string> {
  const raw = await writeModel(join(folder, "base"), BASE);
  return writeFiles(raw, { "config.json": JSON.stringify({ model_type: "llama", tie_word_embeddings: tied }) });
}

const { z: _, ...LESS } = FULL;
const { "lm_head.weight": __, ...HEADLESS } = FULL;

for (const [what, odd, why, exit] of [
  ["lacks a tensor of the base", { state: LESS }, "incomplete", 4],
  ["lacks the head, which is not tied", { state: HEADLESS }, "incomplete", 4],
  ["has a tensor that the base has not", { state: { ...FULL, more: Uint8Array.of(1, 1) } }, "unknown-tensor", 4],
  ["has a tensor in another shape", { state: { ...FULL, z: Uint8Array.of(1, 1) } }, "dtype", 4],
  ["names a checksum that is not known", { format: "crc32" }, "unknown-checksum", 4],
  ["names its checksum, and lacks them", { format: "adler32", sums: { a: "00000001" } }, "no-checksum", 4],
  ["has another checksum than it states", { sums: { a: "00000001" } }, "checksum", 3],
  [
    "has another checksum than it states, and names it",
    { format: "adler32", sums: { ...Object.fromEntries(Object.keys(FULL).map((name) => [name, "00000001"])) } },
    "checksum",
    3,
  ],
] as const) {
  test(`a full version that ${what} is refused`, () =>
    withFolder(async (folder) => {
      const options = { chain: await chainWith(folder, odd), raw: await base(folder, false), threads: 0 } as const;
      const error = await chainMaterialize({ ...options, tuned: join(folder, "out") }).catch(
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof WeightDiffError, String(error));
      assert.deepEqual([error.why, EXIT_CODES[error.code], error.at.version], [why, exit, "2"], error.message);
      if (why === "checksum") {
        assert.match(error.hint ?? "", /^the full version is damaged, or of another run: fetch it again$/);
      }
      const { verdict, findings } = await chainVerify(options);
      assert.deepEqual([verdict, findings[0]?.why], ["failed", why]);
    }));
}

test("a full version is taken with checksums in any of its publishers' ways, without them, and without a tied head", () =>
  withFolder(async (folder) => {
    for (const [odd, tied, algorithms] of [
      [{ format: "adler32" }, false, ["adler32"]],
      [{ prefix: "mx.adler32:" }, false, ["adler32"]],
      [{ sums: { format: "pt" } }, false, []],
      [{ state: HEADLESS, format: "adler32" }, true, ["adler32"]],
    ] as const) {
      const chain = await chainWith(folder, odd);
      const notes: string[] = [];
      const report = await chainMaterialize({
        chain,
        raw: await base(folder, tied),
        threads: 0,
        onNote: (text) => void notes.push(text),
      });
      assert.deepEqual([report.chain.start, report.chain.algorithms], ["2", algorithms]);
      assert.match(notes.join("\n"), /no weights are read of the base/);
      assert.equal((await chainMaterialize({ chain, threads: 0 })).outcome, "checked");
    }
  }));
