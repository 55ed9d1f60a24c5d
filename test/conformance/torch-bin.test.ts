/**
 * Files written by real torch (1.13.1 in fixtures/torch-bin, 2.13 in fixtures/torch-2), each beside the dump of what torch
 * reads in it: read exactly so, or refused in the way stated here.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import type { ErrorCode, WeightDiffError } from "../../src/errors.js";
import { dtypeFromTorch } from "../../src/formats/dtype.js";
import { readWeightFile } from "../../src/formats/weight-file.js";
import { FIXTURES } from "../support/fixtures.js";
import { gather } from "../support/gather.js";
import { memorySource } from "../support/memory-source.js";
import { refuses } from "../support/refusal.js";

interface Dump {
  readonly ok: boolean;
  readonly note: string;
  readonly tensors?: readonly {
    readonly path: readonly (string | number)[];
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly nbytes: number;
    readonly sha256: string;
  }[];
}

/** Every file that is refused: those that must be, and those with foreign content that a strict reader may refuse. */
const REFUSALS: Readonly<Record<string, ErrorCode>> = {
  "torch-2/complex128": "FORMAT_UNSUPPORTED",
  "torch-2/conj": "FORMAT_UNSUPPORTED",
  "torch-2/dtensor": "FORMAT_UNSUPPORTED",
  "torch-2/dtensor_legacy": "FORMAT_UNSUPPORTED",
  "torch-2/expanded": "LIMIT",
  "torch-2/neg": "FORMAT_UNSUPPORTED",
  "torch-2/subclass": "PICKLE_GLOBAL",
  "torch-bin/t113_empty_file": "NOT_WEIGHTS",
  "torch-bin/t113_evil_deep": "FORMAT_UNSUPPORTED",
  "torch-bin/t113_evil_eval": "PICKLE_GLOBAL",
  "torch-bin/t113_evil_eval_legacy": "PICKLE_GLOBAL",
  "torch-bin/t113_evil_getattr": "PICKLE_GLOBAL",
  "torch-bin/t113_evil_getattr_legacy": "PICKLE_GLOBAL",
  "torch-bin/t113_evil_neg_offset": "FORMAT_INVALID",
  "torch-bin/t113_evil_os_system": "PICKLE_GLOBAL",
  "torch-bin/t113_evil_os_system_legacy": "PICKLE_GLOBAL",
  "torch-bin/t113_evil_prefix": "PICKLE_GLOBAL",
  "torch-bin/t113_evil_stack_underflow": "FORMAT_INVALID",
  "torch-bin/t113_evil_subprocess": "PICKLE_GLOBAL",
  "torch-bin/t113_evil_subprocess_legacy": "PICKLE_GLOBAL",
  "torch-bin/t113_git_lfs_pointer": "NOT_WEIGHTS",
  "torch-bin/t113_html_error": "NOT_WEIGHTS",
  "torch-bin/t113_namespace": "PICKLE_GLOBAL",
  "torch-bin/t113_namespace_legacy": "PICKLE_GLOBAL",
  "torch-bin/t113_numpy_inside": "PICKLE_GLOBAL",
  "torch-bin/t113_numpy_inside_legacy": "PICKLE_GLOBAL",
  "torch-bin/t113_quantized": "FORMAT_UNSUPPORTED",
  "torch-bin/t113_sparse": "FORMAT_UNSUPPORTED",
  "torch-bin/t113_truncated_legacy_1byte": "TRUNCATED",
  "torch-bin/t113_truncated_legacy_30": "TRUNCATED",
  "torch-bin/t113_truncated_legacy_70": "TRUNCATED",
  "torch-bin/t113_truncated_zip_1byte": "TRUNCATED",
  "torch-bin/t113_truncated_zip_30": "TRUNCATED",
  "torch-bin/t113_truncated_zip_70": "TRUNCATED",
  "torch-bin/t113_zip_deflated": "FORMAT_UNSUPPORTED",
  "torch-bin/t113_zip_duplicate_entry": "FORMAT_INVALID",
  "torch-bin/t113_zip_missing_storage": "FORMAT_INVALID",
  "torch-bin/t113_zip_no_version": "FORMAT_INVALID",
  "torch-bin/t113_zip_not_torch": "FORMAT_UNSUPPORTED",
  "torch-bin/t113_zip_short_storage": "FORMAT_INVALID",
};
/** Read without complaint; whoever streams the record finds the damage. */
const BAD_CRC = "torch-bin/t113_zip_bad_crc";

const CASES = ["torch-bin", "torch-2"].flatMap((folder) =>
  readdirSync(`${FIXTURES}${folder}`)
    .filter((file) => file.endsWith(".bin"))
    .map((file) => `${folder}/${file.slice(0, -4)}`),
);
const load = (name: string): { readonly bytes: Buffer; readonly dump: Dump } => ({
  bytes: readFileSync(`${FIXTURES}${name}.bin`),
  dump: JSON.parse(readFileSync(`${FIXTURES}${name}.bin.json`, "utf8")),
});
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

for (const name of CASES) {
  const { bytes, dump } = load(name);
  const refusal = REFUSALS[name];
  const source = memorySource(bytes, `${name}.bin`);
  if (refusal !== undefined) {
    test(`refuses ${name}: ${dump.note}`, async () => {
      await refuses(() => readWeightFile(source), refusal, new RegExp(`^${name}\\.bin: `));
    });
  } else if (name !== BAD_CRC) {
    test(`reads ${name}: ${dump.note}`, async () => {
      const { tensors } = await readWeightFile(source);
      assert.deepEqual(
        tensors.map((tensor) => ({
          path: tensor.path,
          name: tensor.name,
          dtype: tensor.dtype,
          shape: tensor.shape,
          sha256: sha256(gather(bytes, tensor)),
        })),
        dump.tensors?.map(({ path, dtype, shape, sha256: digest }) => ({
          path: path.map(String),
          name: path.join("."),
          dtype: dtypeFromTorch(dtype),
          shape,
          sha256: digest,
        })),
      );
      for (const { record } of tensors) {
        if (record !== undefined && record.crc32 !== null) {
          assert.equal(crc32(bytes.subarray(record.range.begin, record.range.end)), record.crc32, record.name);
        }
      }
    });
  }
}

test("reads a file with a flipped bit and gives the sum that betrays it", async () => {
  const { bytes } = load(BAD_CRC);
  const { tensors } = await readWeightFile(memorySource(bytes));
  const wrong = tensors.filter(
    ({ record }) => record && crc32(bytes.subarray(record.range.begin, record.range.end)) !== record.crc32,
  );
  assert.equal(wrong.length, 1);
});

test("a sharded DTensor is called so, with the way to a whole one", async () => {
  for (const name of ["torch-2/dtensor", "torch-2/dtensor_legacy"]) {
    await assert.rejects(
      () => readWeightFile(memorySource(load(name).bytes)),
      (error: WeightDiffError) =>
        error.fact === "holds a sharded DTensor (FSDP2)" && /full_tensor\(\)/.test(error.hint ?? ""),
    );
  }
});

test("knows every file: none is left out or listed in vain", () => {
  const unknown = Object.keys(REFUSALS).filter((name) => !CASES.includes(name));
  assert.deepEqual(unknown, []);
  const notOk = CASES.filter((name) => !load(name).dump.ok && REFUSALS[name] === undefined && name !== BAD_CRC);
  assert.deepEqual(notOk, []);
  assert.ok(CASES.length >= 85);
});

test("has no sum to check where torch wrote none", async () => {
  const { tensors } = await readWeightFile(memorySource(load("torch-2/no_crc").bytes));
  assert.deepEqual(
    tensors.map(({ record }) => record?.crc32),
    [null, 0],
  );
});
