/** Is a checkpoint a diff or a full model? Its maker's mark tells, or its manifest. Otherwise its norm weights do. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { WeightDiffError } from "../errors.js";
import type { Manifest } from "../manifest/manifest.js";
import { ENCODING_KEY } from "../plan/exact.js";
import { censusNorms, hasDiffNorms, hasFullNorms, type NormCensus, normText } from "./not-a-diff.js";

export interface Identity {
  /** Null if nothing tells. */
  readonly kind: "diff" | "full" | null;
  /** The evidence, in words. */
  readonly reason: string;
}

/** The words for make-diff's mark of a diff; null if no file has it. */
export function markOf({ shards }: Checkpoint): string | null {
  const marked = shards.find(({ header }) => header.metadata.has(ENCODING_KEY));
  return marked === undefined ? null : `${marked.file} is marked as one in its metadata`;
}

/**
 * Refuses a step of a chain of updates where weights must be. Its payloads have the names of the tensors that they change.
 * @throws {WeightDiffError} NOT_A_MODEL.
 */
export function refuseStep({ path, stepIndex }: Checkpoint, role: string | null = null): void {
  if (stepIndex !== undefined) {
    const options = { raw: "BASE", chain: "CHAIN", to: "N", tuned: "OUT" };
    throw new WeightDiffError(
      "NOT_A_MODEL",
      `${role === null ? "" : `${role} `}${path}: not a model but one step of a chain of updates: ${stepIndex} has a delta_encoding`,
      undefined,
      { advice: [{ to: "make the model of its version", command: "chain-materialize", options }] },
    );
  }
}

/** Reads norm weights only if nothing else tells. @throws {WeightDiffError} IO. */
export async function identify(
  checkpoint: Checkpoint,
  config: ModelConfig | null,
  manifest: Manifest | null,
): Promise<Identity> {
  const mark = markOf(checkpoint);
  if (mark !== null) {
    return { kind: "diff", reason: mark };
  }
  if (manifest !== null) {
    const made = manifest.operation === "make-diff";
    return { kind: made ? "diff" : "full", reason: `weight-diff.json says that ${manifest.operation} made it` };
  }
  let norms: NormCensus | null;
  try {
    norms = await censusNorms(checkpoint, config);
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "TRUNCATED") {
      return { kind: null, reason: "its norm weights cannot be read" };
    }
    throw error;
  }
  if (norms !== null && hasFullNorms(norms, null)) {
    return { kind: "full", reason: normText(norms) };
  }
  if (norms !== null && hasDiffNorms(norms)) {
    return {
      kind: "diff",
      reason: `its ${norms.count} norm weights scatter around 0 with a mean size of ${norms.magnitude.toPrecision(3)}: a full model's lie on one side, far from it`,
    };
  }
  return {
    kind: null,
    reason:
      norms === null
        ? "none of its tensors has the name of a norm to judge by"
        : `${normText(norms)}: this fits neither a diff nor a model for certain`,
  };
}
