/**
 * Chooses the encoding that a fold writes, and whether it needs the base. Several XORs of a byte are one XOR, and of several overwrites the last
 * one counts: neither needs the base. A mix of both needs it, since an update has one encoding. Coded windows need it too, since they are decoded
 * given the earlier tensor.
 */
import type { Version } from "../../../chain/chain.js";
import type { PublishedChecksum } from "../../../chain/update-index.js";
import { WeightDiffError } from "../../../errors.js";
import type { ChecksumName } from "../../../formats/checksum.js";
import { MOST_OVERWRITES, type StepEncoding, type UpdateEncoding } from "../../../formats/update.js";

interface FoldChoice {
  readonly encoding: UpdateEncoding;
  readonly checksum: PublishedChecksum;
  /** Why the fold needs the base; null if it does not. */
  readonly needs: string | null;
}

const XORS: ReadonlySet<StepEncoding> = new Set(["xor", "xor_sparse"]);

/** @param asked what the user wants; null takes the encoding and the checksum of the steps. */
export function chooseFold(
  steps: readonly Version[],
  asked: { readonly encoding: UpdateEncoding | null; readonly checksum: PublishedChecksum | null },
): FoldChoice {
  const used = new Map<StepEncoding, string>();
  for (const { id, payloads } of steps) {
    for (const { encoding } of payloads.values()) {
      used.set(encoding, used.get(encoding) ?? id);
    }
  }
  const encodings = [...used.keys()];
  const xors = encodings.every((encoding) => XORS.has(encoding));
  const overwrites = encodings.every((encoding) => encoding === "overwrite");
  const coded = encodings.length > 0 && encodings.every((one) => one === "exact-compressed");
  const encoding = asked.encoding ?? (overwrites && !xors ? "overwrite" : coded ? "exact-compressed" : "xor");
  const last = lastSums(steps);
  const stated = [...new Set([...last.values()])];
  const [first = null] = stated;
  const checksum = asked.checksum ?? (first === null || first === "sha256" ? "xxh3-128" : first);
  const named = [...used].map(([name, version]) => `${version} (${name})`).join(" and ");
  const needs = !(encoding === "xor" ? xors : encoding === "overwrite" && overwrites)
    ? `${used.size === 1 ? `steps of ${encodings[0]}` : `steps ${named}`} fold into ${encoding} only with the base`
    : stated.some((name) => name !== checksum)
      ? `checksums of ${stated.map((name) => name ?? "nothing").join(" and ")} become ${checksum} only with the base`
      : encoding === "overwrite" && steps.length > MOST_OVERWRITES
        ? `more than ${MOST_OVERWRITES} steps of overwrite fold only with the base`
        : null;
  return { encoding, checksum, needs };
}

/** The algorithm by tensor of the checksum that the last step to change the tensor states. */
function lastSums(steps: readonly Version[]): ReadonlyMap<string, ChecksumName | null> {
  return new Map(
    steps.flatMap(({ payloads }) => [...payloads].map(([name, { checksum }]) => [name, checksum?.algorithm ?? null])),
  );
}

/** @throws {WeightDiffError} USAGE: always. */
export function refuseWithoutBase(what: string): never {
  throw new WeightDiffError("USAGE", what, undefined, { advice: [{ to: "give it", option: "raw", value: "BASE" }] });
}
