/** What verify found: one sentence each, about a file, a tensor, or the whole. */

/** "error" is damage, and ends in exit code 3; "warning" is odd and may be right; "note" is to be known. */
export type Level = "error" | "warning" | "note";
/** Which of verify's checks found it. */
export type Check = "structure" | "values" | "digests" | "recovered" | "sum" | "compare";

export interface Finding {
  readonly level: Level;
  readonly check: Check;
  /** Bare name of the file; null for the checkpoint as a whole. */
  readonly file: string | null;
  readonly tensor: string | null;
  /** Lower case, no full stop; names neither file nor tensor again. */
  readonly message: string;
}

/** Takes findings of one check. */
export type Report = (
  level: Level,
  message: string,
  where?: { readonly file?: string; readonly tensor?: string },
) => void;

/** A collector for each check, into one list. */
export function reporter(findings: Finding[], check: Check): Report {
  return (level, message, { file, tensor } = {}) => {
    findings.push({ level, check, file: file ?? null, tensor: tensor ?? null, message });
  };
}
