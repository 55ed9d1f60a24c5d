/**
 * weight-diff.json: what was made from what, with a digest for every tensor (docs/formats.md 1.3). The same inputs give the same bytes:
 * no path, time, host or thread count is in it. It ends with the digest of its own canonical form.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { decodeText, openFileSource } from "../files/file-source.js";
import { DTYPES } from "../formats/dtype.js";
import { parseJson } from "../formats/json.js";
import type { Plan } from "../plan/plan.js";
import { VERSION } from "../version.js";

const SCHEMA = 1;
/** A tensor takes some 250 bytes. */
const MAX_BYTES = 100_000_000;
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const bytes = z.number().int().nonnegative();

/*
 * The keys of each object stand in the order in which they are written, and no other key may be there: with the digest over the
 * values, that makes every byte of the text count.
 */

/** A weight file: its length, sha256 of the bytes that describe its tensors, and of the whole file where that was taken. */
const file = z.strictObject({ file: z.string(), size: bytes, header: sha256, sha256: sha256.optional() });
const source = z.strictObject({ repo: z.string().nullable(), commit: z.string().nullable(), files: z.array(file) });
/** A tensor's contiguous little-endian bytes. Lists, not objects: a tensor may be called "__proto__". */
const contents = { dtype: z.enum(DTYPES), shape: z.array(bytes), sha256 };
const tensor = z.strictObject({ name: z.string(), ...contents });
/** F32 totals of the float32 values; null stands for NaN or an infinity. */
const sums = z.strictObject({ without_inv_freq: z.number().nullable(), with_inv_freq: z.number().nullable() });
const head = { schema: z.literal(SCHEMA), tool: z.string() };

const recoverSchema = z.strictObject({
  ...head,
  operation: z.literal("recover"),
  scheme: z.string(),
  /** Of the float tensors, as config.json spells it. */
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
  encoding: z.enum(["additive", "exact"]),
  raw: source,
  tuned: source,
  tensors: z.array(
    z.strictObject({
      name: z.string(),
      ...contents,
      raw: z.strictObject(contents).nullable(),
      tuned: z.strictObject(contents),
      /** Of what recover writes by default: F32 for an additive diff, the tuned dtype for an exact one. */
      recovered: sha256,
      /** Elements that do not come back bit for bit: in F32, or once rounded to a tuned F16 or BF16. */
      inexact: bytes,
    }),
  ),
  files: z.array(file),
  /** Config, tokenizer, licences: what lies beside the weights. */
  side_files: z.array(z.strictObject({ file: z.string(), size: bytes, sha256 })),
  sums: sums.optional(),
});

/** `raw` is what was converted. */
const convertSchema = z.strictObject({
  ...head,
  scheme: z.string(),
  operation: z.literal("convert"),
  dtype: z.string(),
  raw: source,
  tensors: z.array(tensor),
  files: z.array(file),
});

/** Whole files XORed with a base's: nothing is known of tensors, everything of files. */
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

/** As they stand in a file. */
const writtenSchema = z.discriminatedUnion("operation", [
  recoverSchema.extend({ digest: sha256 }),
  makeDiffSchema.extend({ digest: sha256 }),
  convertSchema.extend({ digest: sha256 }),
]);
const writtenXorSchema = xorSchema.extend({ digest: sha256 });

export type Manifest = RecoverManifest | ConvertManifest | MakeDiffManifest;
export type RecoverManifest = z.infer<typeof recoverSchema>;
export type ConvertManifest = z.infer<typeof convertSchema>;
export type MakeDiffManifest = z.infer<typeof makeDiffSchema>;
export type XorManifest = z.infer<typeof xorSchema>;

/** Where an input came from: repository and commit where known, every weight file, with its digest where the Hub lists one. */
export function sourceOf({ repo, commit, shards }: Checkpoint): Manifest["raw"] {
  const files = shards.map(({ file, size, header, hub }) => {
    const sha256 = hub?.sha256 ?? null;
    return { file, size, header: header.digest, ...(sha256 === null ? {} : { sha256 }) };
  });
  return { repo, commit, files };
}

/** The output's weight files. */
export function filesOf(plan: Plan): RecoverManifest["files"] {
  return plan.shards.map(({ file, size, header }) => ({
    file,
    size,
    header: createHash("sha256").update(header).digest("hex"),
  }));
}

type Body<M> = M extends unknown ? Omit<M, "schema" | "tool"> : never;

/** The file's text: who wrote it, the keys as given, then `digest`. Those who make one give them as the schemas do. */
export function writeManifest(body: Body<Manifest | XorManifest>): string {
  const manifest = { schema: SCHEMA, tool: `weight-diff ${VERSION}`, ...body };
  return `${JSON.stringify({ ...manifest, digest: digestOf(manifest) }, null, 2)}\n`;
}

/** @throws {WeightDiffError} NOT_FOUND, LIMIT, FORMAT_INVALID if it is not a manifest, CHECK_FAILED if its own digest does not fit. */
export async function readManifest(path: string): Promise<Manifest> {
  return parseManifest(await readManifestText(path), path);
}

/** @throws {WeightDiffError} NOT_FOUND, LIMIT, FORMAT_INVALID if it is not UTF-8, IO. */
export async function readManifestText(path: string): Promise<string> {
  const source = await openFileSource(path);
  try {
    if (source.size > MAX_BYTES) {
      throw new WeightDiffError("LIMIT", `${source.size} bytes, at most ${MAX_BYTES} are read`, "this is no manifest", {
        at: { file: path },
      });
    }
    return decodeText(await source.readAt(0, source.size), path);
  } finally {
    await source.close();
  }
}

/** @throws {WeightDiffError} FORMAT_INVALID if it is not a manifest of tensors, CHECK_FAILED if its own digest does not fit. */
export function parseManifest(text: string, path: string): Manifest {
  const json = parseJson(text, path);
  if (isOfXor(json)) {
    undamaged(json, writtenXorSchema, path);
    throw new WeightDiffError("FORMAT_INVALID", "is the manifest of whole files that xor made", undefined, {
      at: { file: path },
    });
  }
  return undamaged(json, writtenSchema, path);
}

/**
 * The manifest of files that were XORed; null if the text is something else.
 * @throws {WeightDiffError} FORMAT_INVALID if it is not JSON, or not what xor writes; CHECK_FAILED if its own digest does not fit.
 */
export function parseXorManifest(text: string, path: string): XorManifest | null {
  const json = parseJson(text, path);
  return isOfXor(json) ? undamaged(json, writtenXorSchema, path) : null;
}

function isOfXor(json: unknown): boolean {
  return typeof json === "object" && json !== null && "operation" in json && json.operation === "xor";
}

/** The values of a manifest whose keys are the schema's and whose digest fits, without the digest. */
function undamaged<T extends { readonly digest: string }>(
  json: unknown,
  schema: z.ZodType<T>,
  path: string,
): WithoutDigest<T> {
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `not a manifest of this tool: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`,
      "it may be from a newer version: update weight-diff",
      { at: { file: path } },
    );
  }
  const { digest, ...manifest } = parsed.data;
  if (digest !== digestOf(manifest)) {
    throw new WeightDiffError("CHECK_FAILED", "damaged or edited: its own digest does not fit", "get the file again", {
      at: { file: path },
    });
  }
  return manifest as unknown as WithoutDigest<T>;
}

type WithoutDigest<T> = T extends unknown ? Omit<T, "digest"> : never;

/**
 * Is it byte for byte what `writeManifest` wrote? The digest is over the values; it sees neither white space nor order.
 * @param manifest read from the text: its keys are in the schemas' order.
 */
export function isVerbatim(text: string, manifest: Manifest | XorManifest): boolean {
  return text === writeManifest(manifest);
}

/** sha256 over the canonical form: keys sorted by UTF-16 units at every level, no white space. */
export function digestOf(value: unknown): string {
  const hash = createHash("sha256");
  let pending = "";
  writeCanonical(value, (text) => {
    pending += text;
    if (pending.length > PIECE) {
      hash.update(pending);
      pending = "";
    }
  });
  return hash.update(pending).digest("hex");
}

/** UTF-16 units digested at once: as one text, the manifest of 160,000 tensors takes a hundred megabytes. */
const PIECE = 1 << 16;

function writeCanonical(value: unknown, write: (text: string) => void): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      write(index === 0 ? "[" : ",");
      writeCanonical(item, write);
    }
    write(value.length === 0 ? "[]" : "]");
  } else if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    for (const [index, [key, item]] of entries.entries()) {
      write(`${index === 0 ? "{" : ","}${JSON.stringify(key)}:`);
      writeCanonical(item, write);
    }
    write(entries.length === 0 ? "{}" : "}");
  } else {
    write(JSON.stringify(value) ?? "null");
  }
}
