/** What verify found: one sentence each, about a file, a tensor, or the whole. */

/** "error" is damage, and ends in exit code 3; "warning" is odd and may be right; "note" is to be known. */
export type Level = "error" | "warning" | "note";
/** Which of verify's checks found it. */
export type Check = "structure" | "values" | "digests" | "recovered" | "sum" | "compare";

/**
 * What was found, where more than the check must be known: "architecture" - names and shapes are not what config.json makes them;
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
 * Does it follow from what is known of the architecture, not from these files alone? Digests that fit, or the user's word, prove
 * such a rule wrong.
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

/** A collector for each check, into one list. */
export function reporter(findings: Finding[], check: Check): AddFinding {
  return (level, message, { file, tensor, code } = {}) => {
    findings.push({ level, check, code: code ?? check, file: file ?? null, tensor: tensor ?? null, message });
  };
}
