/** The verdict that follows from the findings. */
import { type Finding, isByRule } from "../../finding.js";
import type { Verdict } from "./options.js";

const LEVELS = ["error", "warning", "note"] as const;

/** Errors first, then warnings, then notes; within a level in the order in which they were found. */
export function inOrder(findings: readonly Finding[]): readonly Finding[] {
  return LEVELS.flatMap((level) => findings.filter((finding) => finding.level === level));
}

export function verdictOn(findings: readonly Finding[]): { readonly verdict: Verdict; readonly sound: boolean } {
  const verdict = findings.some(({ level }) => level === "error")
    ? "failed"
    : findings.some(({ code }) => code === "not-compared")
      ? "unproven"
      : "sound";
  return { verdict, sound: verdict === "sound" };
}

/** Digests prove that the checkpoint is unchanged. Then no rule about its architecture may call it damaged. */
export function withoutDoubt(findings: readonly Finding[]): readonly Finding[] {
  const proven = !findings.some(({ check, level }) => check === "digests" && level === "error");
  return findings.map((finding) =>
    proven && finding.level === "error" && isByRule(finding) ? { ...finding, level: "warning" } : finding,
  );
}
