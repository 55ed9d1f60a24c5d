/** What verify finds: one sentence for each finding, about a file, a tensor or the whole checkpoint. */

/** "error": damage, which gives exit code 3. "warning": unusual, but possibly right. "note": worth knowing. */
export type Level = "error" | "warning" | "note";
/** The check that made the finding. */
export type Check = "structure" | "values" | "digests" | "recovered" | "sum" | "compare" | "signature";

/**
 * What was found, where the check alone does not tell. "architecture": names or shapes are not those that config.json asks for.
 * "ungathered": a model was saved in pieces. "zeros": weights are all zero. "no-manifest": a manifest that is needed is missing.
 * "not-compared": a check was asked for, and there was nothing to compare with.
 */
type FindingCode = Check | "architecture" | "ungathered" | "zeros" | "no-manifest" | "not-compared";

export interface Finding {
  readonly level: Level;
  readonly check: Check;
  readonly code: FindingCode;
  /** Bare name of the file; null for the checkpoint as a whole. */
  readonly file: string | null;
  readonly tensor: string | null;
  /** In lower case, without a full stop. The sentence does not repeat the file and the tensor. */
  readonly message: string;
}

/**
 * Does the finding follow from what is known of the architecture, and not from these files alone? Digests that match outweigh such a
 * finding, and the user may overrule it.
 */
export function isByRule({ code }: Finding): boolean {
  return code === "architecture" || code === "zeros";
}

/** Adds one finding of a check. */
export type AddFinding = (
  level: Level,
  message: string,
  about?: { readonly file?: string; readonly tensor?: string; readonly code?: FindingCode },
) => void;

/** Gives a function that adds findings of one check to a list that all checks share. */
export function reporter(findings: Finding[], check: Check): AddFinding {
  return (level, message, { file, tensor, code } = {}) => {
    findings.push({ level, check, code: code ?? check, file: file ?? null, tensor: tensor ?? null, message });
  };
}
