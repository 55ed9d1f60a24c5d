/** Chains of more steps than decoders may be open: the same bytes, whatever the threads; and which step is at fault. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { chainMaterialize } from "../../../../src/commands/chain/materialize.js";
import { chainVerify } from "../../../../src/commands/chain/verify.js";
import { WeightDiffError } from "../../../../src/errors.js";
import { writeStep } from "../../../support/chain-files.js";
import { safetensors, withFolder, writeFiles } from "../../../support/checkpoints.js";

const STEPS = 70;
const BYTES = 200_003;

/** The tensor before the first step and after each: some bytes of every window change. */
function states(): readonly Uint8Array[] {
  const all = [Uint8Array.from({ length: BYTES }, (_, i) => (i * 31) & 255)];
  for (let step = 1; step <= STEPS; step++) {
    const next = Uint8Array.from(all[step - 1] ?? []);
    for (let i = 0; i < 40; i++) {
      const at = (Math.imul(i * STEPS + step, 2654435761) >>> 0) % BYTES;
      next[at] = (next[at] ?? 0) ^ (1 + ((i + step) % 255));
    }
    all.push(next);
  }
  return all;
}

async function writeChain(folder: string, all: readonly Uint8Array[], wrong: ReadonlySet<number>): Promise<void> {
  await writeFiles(`${folder}/base`, {
    "model.safetensors": safetensors(
      ["w", "U8", [BYTES], all[0] as Uint8Array],
      ["small", "U8", [3], Uint8Array.of(1, 2, 3)],
    ),
  });
  for (let version = 1; version <= STEPS; version++) {
    await writeStep(`${folder}/chain`, {
      version,
      encoding: version % 3 === 0 ? "overwrite" : "xor",
      tensors: {
        w: [all[version - 1] as Uint8Array, all[version] as Uint8Array],
        ...(version === 1 ? { small: [Uint8Array.of(1, 2, 3), Uint8Array.of(9, 2, 3)] as const } : {}),
      },
      ...(wrong.has(version) ? { sums: { w: "0".repeat(32) } } : {}),
    });
  }
}

test("seventy steps give the last state, on one thread and on several, in windows small and large", () =>
  withFolder(async (folder) => {
    const all = states();
    await writeChain(folder, all, new Set());
    const expected = createHash("sha256")
      .update(all[STEPS] as Uint8Array)
      .digest("hex");
    for (const [threads, windowBytes] of [
      [0, 65_536],
      [2, 65_536],
      [0, 1 << 22],
    ] as const) {
      const options = { chain: `${folder}/chain`, raw: `${folder}/base`, threads, windowBytes };
      const { tensors, chain } = await chainMaterialize({ ...options, tuned: null });
      assert.equal(tensors.find(({ name }) => name === "w")?.sha256, expected);
      assert.deepEqual([chain.touched, chain.checked, chain.untaken], [2, 2, STEPS - 1]);
      const verified = await chainVerify(options);
      assert.deepEqual([verified.verdict, verified.sums], ["sound", STEPS + 1]);
    }
  }));

test("a wrong checksum in the middle is damage for verify only; a wrong last one is traced to the first step that is wrong", () =>
  withFolder(async (folder) => {
    await writeChain(folder, states(), new Set([20]));
    const options = { chain: `${folder}/chain`, raw: `${folder}/base`, threads: 0, windowBytes: 65_536 };
    const made = await chainMaterialize({ ...options, tuned: null });
    assert.equal(made.outcome, "checked");
    const verified = await chainVerify(options);
    assert.deepEqual(
      [verified.verdict, verified.findings.map(({ why, version, tensor }) => [why, version, tensor])],
      ["failed", [["checksum", "000020", "w"]]],
    );
    assert.match(verified.findings[0]?.hint ?? "", /^it fits after version 000019: what changes the tensor after that/);
    const error = await chainMaterialize({ ...options, tuned: `${folder}/out`, to: 20 }).catch(
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof WeightDiffError && error.code === "CHECK_FAILED", String(error));
    assert.deepEqual([error.why, error.at.version], ["checksum", "000020"]);
  }));

test("after the first wrong checksum of a tensor, verify's other findings about it say to mend that one first", () =>
  withFolder(async (folder) => {
    await writeChain(folder, states(), new Set([1, 20]));
    const options = { chain: `${folder}/chain`, raw: `${folder}/base`, threads: 0, windowBytes: 65_536 };
    const { findings } = await chainVerify(options);
    assert.deepEqual(
      findings.map(({ version, hint }) => [version, hint]),
      [
        [
          "000001",
          "fetch this version again, and those before it that change the tensor; if it still differs, give the base that the trainer started from",
        ],
        ["000020", "it already does not fit after version 000001: mend that first"],
      ],
    );
  }));

test("verify's findings about one version each have their own rule, place and remedy", () =>
  withFolder(async (folder) => {
    const step = { version: 1, encoding: "xor" } as const;
    const pair = [Uint8Array.of(1, 2), Uint8Array.of(3, 2)] as const;
    await writeStep(`${folder}/chain`, { ...step, tensors: { other: pair, w: pair } });
    await writeFiles(`${folder}/base`, { "model.safetensors": safetensors(["w", "BF16", [1], Uint8Array.of(1, 2)]) });
    const index = `${folder}/chain/weight_v000001/model.safetensors.index.json`;
    const text = await readFile(index, "utf8");
    await writeFile(index, text.replace('"xor"', '"new"').replace('"zstd"', '"lzma"'));
    const { findings } = await chainVerify({ chain: `${folder}/chain`, raw: `${folder}/base`, threads: 0 });
    assert.deepEqual(
      findings.map(({ why, version, file, hint }) => [why, version, file === null, hint === null]),
      [
        ["unknown-encoding", "000001", false, false],
        ["unknown-compression", "000001", false, false],
      ],
    );
  }));
