/**
 * weight-diff.json: what was made from what, with a digest for every tensor (DESIGN 7). The same inputs give the same bytes:
 * no path, time, host or thread count is in it. It ends with the digest of its own canonical form.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { decodeText } from "./checkpoint/checkpoint.js";
import { openFileSource } from "./checkpoint/file-source.js";
import { WeightDiffError } from "./errors.js";
import { DTYPES } from "./formats/dtype.js";
import { parseJson } from "./formats/json.js";

const SCHEMA = 1;
/** A tensor takes some 250 bytes. */
const MAX_BYTES = 100_000_000;
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const bytes = z.number().int().nonnegative();

/** A weight file: its length, and sha256 of the bytes that describe its tensors. */
const file = z.object({ file: z.string(), size: bytes, header: sha256 });
const source = z.object({ repo: z.string().nullable(), commit: z.string().nullable(), files: z.array(file) });

const manifestSchema = z.object({
  schema: z.literal(SCHEMA),
  tool: z.string(),
  operation: z.enum(["recover"]),
  scheme: z.string(),
  /** Of the float tensors, as config.json spells it. */
  dtype: z.string(),
  raw: source,
  diff: source,
  /** sha256 of each tensor's contiguous little-endian bytes. Lists, not objects: a tensor may be called "__proto__". */
  tensors: z.array(z.object({ name: z.string(), dtype: z.enum(DTYPES), shape: z.array(bytes), sha256 })),
  files: z.array(file),
  /** F32 totals of the float32 values; null stands for NaN or an infinity. */
  sums: z.object({ without_inv_freq: z.number().nullable(), with_inv_freq: z.number().nullable() }),
});

export type Manifest = z.infer<typeof manifestSchema>;
export const MANIFEST_SCHEMA = SCHEMA;

/** The file's text: keys as given, then `digest`. */
export function writeManifest(manifest: Manifest): string {
  return `${JSON.stringify({ ...manifest, digest: digestOf(manifest) }, null, 2)}\n`;
}

/** @throws {WeightDiffError} NOT_FOUND, LIMIT, FORMAT_INVALID if it is not a manifest, CHECK_FAILED if its own digest does not fit. */
export async function readManifest(path: string): Promise<Manifest> {
  const source = await openFileSource(path);
  let text: string;
  try {
    if (source.size > MAX_BYTES) {
      throw new WeightDiffError(
        "LIMIT",
        `${path}: ${source.size} bytes, at most ${MAX_BYTES} are read`,
        "this is no manifest",
      );
    }
    text = decodeText(await source.readAt(0, source.size), path);
  } finally {
    await source.close();
  }
  const value = parseJson(text, path);
  const parsed = manifestSchema.extend({ digest: sha256 }).safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `${path}: not a manifest of this tool: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`,
      "it may be from a newer version: update weight-diff",
    );
  }
  const { digest, ...manifest } = parsed.data;
  if (digest !== digestOf(manifest)) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `${path}: damaged or edited: its own digest does not fit`,
      "get the file again",
    );
  }
  return manifest;
}

/** sha256 over the canonical form: keys sorted by UTF-16 units at every level, no white space. */
export function digestOf(value: unknown): string {
  return createHash("sha256").update(canonical(value)).digest("hex");
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join(",")}]`;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
