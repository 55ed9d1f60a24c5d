/**
 * The signed statement: in-toto (v1) with the predicate of OpenSSF Model Signing 1.0, which lists every file with its digest. Verifiers
 * ignore other fields (model-signing 1.1.1, _signing/signing.py). The field `weight_diff` is one of those: it has the digests of the
 * tensors that a diff recovers.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import { WeightDiffError } from "../../errors.js";
import { readValue } from "../../formats/json.js";
import { JsonScanner } from "../../formats/json-scanner.js";

const STATEMENT = "https://in-toto.io/Statement/v1";
const PREDICATE = "https://model_signing/signature/v1.0";
/** What to do about a signature of a kind that is not checked here. */
export const OTHER_VERIFIER = "verify it with model-signing (pip install model-signing)";
const HEX = /^[0-9a-f]{64}$/;
/** Enough for 160,000 tensors with three values each. */
const MAX_VALUES = 2_000_000;

export interface Digested {
  readonly name: string;
  /** sha256 (hex) of its bytes. */
  readonly sha256: string;
}

export interface Statement {
  /** The signer's name for the model. It has no meaning here. */
  readonly name: string;
  readonly files: readonly Digested[];
  /** The tensors that the diff recovers; null if the statement lists none. */
  readonly recovers: readonly Digested[] | null;
}

const resource = z.object({ name: z.string(), algorithm: z.string(), digest: z.string() });
const statementSchema = z.object({
  _type: z.literal(STATEMENT),
  predicateType: z.literal(PREDICATE),
  subject: z.array(z.object({ name: z.string(), digest: z.object({ sha256: z.string() }) })).length(1),
  predicate: z.object({
    serialization: z.object({ method: z.string(), hash_type: z.string() }),
    resources: z.array(resource),
    weight_diff: z.object({ recovers: z.array(z.tuple([z.string(), z.string().regex(HEX)])) }).optional(),
  }),
});

/** The digest of all digests, in order. Other documents name the set of files by it. */
function rootOf(files: readonly Digested[]): string {
  const hash = createHash("sha256");
  for (const { sha256 } of files) {
    hash.update(sha256, "hex");
  }
  return hash.digest("hex");
}

/** @param ignored paths that are not signed, for those who verify. */
export function writeStatement({ name, files, recovers }: Statement, ignored: readonly string[]): Uint8Array {
  return Buffer.from(
    JSON.stringify({
      _type: STATEMENT,
      subject: [{ name, digest: { sha256: rootOf(files) } }],
      predicateType: PREDICATE,
      predicate: {
        serialization: { method: "files", hash_type: "sha256", allow_symlinks: false, ignore_paths: ignored },
        resources: files.map((file) => ({ name: file.name, algorithm: "sha256", digest: file.sha256 })),
        ...(recovers === null
          ? {}
          : { weight_diff: { recovers: recovers.map((tensor) => [tensor.name, tensor.sha256]) } }),
      },
    }),
  );
}

/** @throws {WeightDiffError} FORMAT_INVALID; FORMAT_UNSUPPORTED for digests of another kind. */
export function readStatement(payload: Uint8Array, where: string): Statement {
  const scanner = new JsonScanner(payload, where);
  const value = readValue(scanner, where, MAX_VALUES);
  scanner.end();
  const { data } = statementSchema.safeParse(value);
  if (data === undefined) {
    throw new WeightDiffError("FORMAT_INVALID", "the signature does not list the files of a model", undefined, {
      at: { file: where },
    });
  }
  const { serialization, resources, weight_diff: more } = data.predicate;
  if (serialization.method !== "files" || serialization.hash_type !== "sha256") {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `signs ${serialization.method} by ${serialization.hash_type}: only files signed by sha256 can be checked`,
      OTHER_VERIFIER,
      { at: { file: where } },
    );
  }
  const files = resources.map(({ name, digest }) => ({ name, sha256: digest }));
  const [subject] = data.subject;
  const whole =
    resources.every(({ algorithm, digest }) => algorithm === "sha256" && HEX.test(digest)) &&
    new Set(files.map(({ name }) => name)).size === files.length &&
    subject?.digest.sha256 === rootOf(files);
  if (!whole) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      "the signed statement contradicts itself: its digest of the whole does not fit the digests of the files",
      undefined,
      {
        at: { file: where },
      },
    );
  }
  const recovers = more?.recovers.map(([name, sha256]) => ({ name, sha256 })) ?? null;
  return { name: subject?.name ?? "", files, recovers };
}
