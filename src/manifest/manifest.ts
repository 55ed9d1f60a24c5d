/**
 * weight-diff.json states what was made from what, with a digest of every tensor (docs/formats.md 1.3). It has no path, time, host or
 * thread count, so equal inputs give equal bytes. Its last key is the digest of its own canonical form.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { DTYPES } from "../formats/dtype.js";
import type { Plan } from "../plan/plan.js";

export const SCHEMA = 1;
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const bytes = z.number().int().nonnegative();

/**
 * The keys of each object are in the order in which they are written, and other keys are refused. Together with the digest of the values,
 * this makes every byte of the text count.
 */

/** A weight file: its size in bytes, the sha256 of its header, and the sha256 of the whole file where that was taken. */
const file = z.strictObject({ file: z.string(), size: bytes, header: sha256, sha256: sha256.optional() });
const source = z.strictObject({ repo: z.string().nullable(), commit: z.string().nullable(), files: z.array(file) });
/**
 * The sha256 is of the tensor's contiguous little-endian bytes. These are lists and not objects, since a tensor may be called "__proto__".
 */
const contents = { dtype: z.enum(DTYPES), shape: z.array(bytes), sha256 };
const tensor = z.strictObject({ name: z.string(), ...contents });
/** F32 totals of the float32 values; null stands for NaN or an infinity. */
const sums = z.strictObject({ without_inv_freq: z.number().nullable(), with_inv_freq: z.number().nullable() });
const head = { schema: z.literal(SCHEMA), tool: z.string() };

const recoverSchema = z.strictObject({
  ...head,
  operation: z.literal("recover"),
  scheme: z.string(),
  /** The dtype of the float tensors, spelled as in config.json. */
  dtype: z.string(),
  raw: source,
  diff: source,
  tensors: z.array(tensor),
  files: z.array(file),
  sums,
});

const makeDiffSchema = z.strictObject({
  ...head,
  operation: z.literal("make-diff"),
  scheme: z.string(),
  encoding: z.enum(["additive", "exact", "compressed"]),
  raw: source,
  tuned: source,
  tensors: z.array(
    z.strictObject({
      name: z.string(),
      ...contents,
      raw: z.strictObject(contents).nullable(),
      tuned: z.strictObject(contents),
      /** The sha256 of what recover writes by default: F32 for an additive diff, the tuned dtype for an exact one. */
      recovered: sha256,
      /** The number of elements that recover does not restore bit for bit: compared in F32, or in the tuned F16 or BF16 after rounding. */
      inexact: bytes,
    }),
  ),
  files: z.array(file),
  /** The files beside the weights: config, tokenizer, licences. */
  side_files: z.array(z.strictObject({ file: z.string(), size: bytes, sha256 })),
  sums: sums.optional(),
});

/** `raw` is the checkpoint that was converted. */
const convertSchema = z.strictObject({
  ...head,
  scheme: z.string(),
  operation: z.literal("convert"),
  dtype: z.string(),
  raw: source,
  tensors: z.array(tensor),
  files: z.array(file),
});

/** The steps of a chain, and the version before the first one. */
const chain = z.strictObject({
  layout: z.string(),
  repo: z.string().nullable(),
  commit: z.string().nullable(),
  /** The version that was made, and the version that `raw` is. */
  version: z.string(),
  base_version: z.string(),
  steps: z.array(
    z.strictObject({
      version: z.string(),
      base_version: z.string(),
      encoding: z.string().nullable(),
      checksum: z.string().nullable(),
      /** sha256 of the index or manifest; null where the layout has none. */
      index: sha256.nullable(),
      files: z.array(file),
    }),
  ),
});

/** A version of a chain of updates. `raw` is what the first step was applied to: the base, or a full version. */
const materializeSchema = z.strictObject({
  ...head,
  operation: z.literal("materialize"),
  scheme: z.string(),
  raw: source,
  chain,
  tensors: z.array(tensor),
  files: z.array(file),
});
/** An update of a chain that was folded from others or made from two models. The tensors are payloads as stored. */
const updateSchema = z.strictObject({
  ...head,
  operation: z.literal("update"),
  version: z.string(),
  base_version: z.string(),
  encoding: z.string(),
  checksum: z.string(),
  /** The model before the update; null where the update was folded without it. */
  raw: source.nullable(),
  /** The model after the update; null where it was folded. */
  tuned: source.nullable(),
  /** The updates that it was folded from. */
  chain: chain.nullable(),
  tensors: z.array(tensor),
  files: z.array(file.extend({ sha256 })),
});

/** Whole files XORed with those of a base. The manifest lists files, not tensors. */
const inputFiles = z.strictObject({
  repo: z.string().nullable(),
  commit: z.string().nullable(),
  files: z.array(z.strictObject({ file: z.string(), size: bytes, sha256: sha256.optional() })),
});
const xorSchema = z.strictObject({
  ...head,
  operation: z.literal("xor"),
  direction: z.enum(["decode", "encode"]),
  scheme: z.string(),
  raw: inputFiles,
  diff: inputFiles,
  files: z.array(z.strictObject({ file: z.string(), size: bytes, sha256 })),
});

/** The schemas of what stands in a file, by operation. */
export const WRITTEN = {
  recover: recoverSchema.extend({ digest: sha256 }),
  "make-diff": makeDiffSchema.extend({ digest: sha256 }),
  convert: convertSchema.extend({ digest: sha256 }),
  materialize: materializeSchema.extend({ digest: sha256 }),
  update: updateSchema.extend({ digest: sha256 }),
  xor: xorSchema.extend({ digest: sha256 }),
} as const;

export type Manifest = RecoverManifest | ConvertManifest | MakeDiffManifest | MaterializeManifest;
type RecoverManifest = z.infer<typeof recoverSchema>;
export type ConvertManifest = z.infer<typeof convertSchema>;
export type MakeDiffManifest = z.infer<typeof makeDiffSchema>;
export type MaterializeManifest = z.infer<typeof materializeSchema>;
export type UpdateManifest = z.infer<typeof updateSchema>;
export type XorManifest = z.infer<typeof xorSchema>;

/** Where an input came from: repository and commit where known, and every weight file, with its digest where the Hub lists one. */
export function sourceOf({ repo, commit, shards }: Checkpoint): Manifest["raw"] {
  const files = shards.map(({ file, size, header, hub }) => {
    const sha256 = hub?.sha256 ?? null;
    return { file, size, header: header.digest, ...(sha256 === null ? {} : { sha256 }) };
  });
  return { repo, commit, files };
}

/** The weight files of the output. @param streamed sha256 (hex) of the file that was written to a stream. */
export function filesOf(plan: Plan, streamed: string | null = null): RecoverManifest["files"] {
  return plan.shards.map(({ file, size, most, header }) => ({
    file,
    size: size ?? most,
    header: createHash("sha256").update(header).digest("hex"),
    ...(streamed === null ? {} : { sha256: streamed }),
  }));
}
