/** What verify finds: one sentence each, about a file, a tensor, or the whole checkpoint. */

/** "error": damage, which ends in exit code 3. "warning": odd, and perhaps right. "note": worth knowing. */
export type Level = "error" | "warning" | "note";
/** The check that found it. */
export type Check = "structure" | "values" | "digests" | "recovered" | "sum" | "compare" | "signature";

/**
 * What was found, where the check alone does not tell: "architecture" - names or shapes are not those that config.json asks for;
 * "ungathered" - a model saved in pieces; "zeros" - weights that are all zero; "no-manifest" - the manifest that must be there is
 * not; "not-compared" - a check was asked for and there was nothing to compare with.
 */
export type FindingCode = Check | "architecture" | "ungathered" | "zeros" | "no-manifest" | "not-compared";

export interface Finding {
  readonly level: Level;
  readonly check: Check;
  readonly code: FindingCode;
  /** Bare name of the file; null for the checkpoint as a whole. */
  readonly file: string | null;
  readonly tensor: string | null;
  /** Lower case, no full stop; names neither file nor tensor again. */
  readonly message: string;
}

/**
 * Does the finding rest on what is known of the architecture, and not on these files alone? Such a rule gives way where digests fit,
 * or where the user says so.
 */
export function isByRule({ code }: Finding): boolean {
  return code === "architecture" || code === "zeros";
}

/** Adds a finding of one check. */
export type AddFinding = (
  level: Level,
  message: string,
  about?: { readonly file?: string; readonly tensor?: string; readonly code?: FindingCode },
) => void;

/** Collects the findings of one check into a list that all checks share. */
export function reporter(findings: Finding[], check: Check): AddFinding {
  return (level, message, { file, tensor, code } = {}) => {
    findings.push({ level, check, code: code ?? check, file: file ?? null, tensor: tensor ?? null, message });
  };
}
