/** What verify may be asked, and what it tells. */
import type { CheckpointComparison } from "../../check/compare.js";
import type { SignatureCheck } from "../../check/signature.js";
import type { Identity } from "../../evidence/identify.js";
import type { SchemeOptions } from "../../evidence/scheme.js";
import type { Finding } from "../../finding.js";
import type { RunOptions } from "../../run/run-plan.js";
import type { SumCheck } from "../../sums/judge.js";
import type { NaiveSums } from "../../sums/naive.js";
import type { RecoveredTensors } from "./recovered.js";

export interface VerifyOptions extends RunOptions, SchemeOptions {
  /** The diff or model: a directory, a weight file, a Hub cache folder, or the name of a repository; "-" reads a safetensors file from stdin. */
  readonly path: string;
  /** The path of a manifest that is kept elsewhere; null takes the one beside the weights, if there is one. */
  readonly manifest?: string | null;
  /** The base, where a diff is verified: the model is recovered without being written, and compared with the manifest. */
  readonly raw?: string | null;
  /** Another checkpoint that should hold the same model. */
  readonly against?: string | null;
  /** Report an error where there are no digests to compare with. */
  readonly requireDigests?: boolean;
  /** The name of a published sum, such as "alpaca-7b"; null takes the one that was published for this repository, if any. */
  readonly known?: string | null;
  /** A file with the publisher's public key (PEM, EC): every file must be as it was signed. */
  readonly verifyKey?: string | null;
  /** The naive sum that the model should have (docs/arithmetic.md 7). */
  readonly expectSum?: number | null;
}

/** "failed": there is an error among the findings. "unproven": there was nothing to compare with for a check that was asked for. */
export type Verdict = "sound" | "unproven" | "failed";

export interface VerifyReport {
  readonly path: string;
  /** A diff or a full model, and by what that is known. */
  readonly identity: Identity;
  /** The manifest that the digests come from; null if there is none, or if it was not used. */
  readonly manifest: string | null;
  /** Everything that was found, errors first. */
  readonly findings: readonly Finding[];
  /** How many weight files and tensors there are. */
  readonly files: number;
  readonly tensors: number;
  /** Were the tensors' bytes read, or the structure only? */
  readonly read: boolean;
  /** Is it an encoded payload? Then whole files were compared with their digests; there are no tensors to look at. */
  readonly whole: boolean;
  readonly sums: NaiveSums | null;
  readonly sumCheck: SumCheck | null;
  /** What was recovered with the base; null if none was given. */
  readonly recovered: RecoveredTensors | null;
  /** How the other checkpoint compares; null if none was given. */
  readonly comparison: CheckpointComparison | null;
  /** By whose key how many files are signed, if that was asked for; what is wrong with it is among the findings. */
  readonly signature?: Pick<SignatureCheck, "key" | "files">;
  readonly verdict: Verdict;
  /** Is the verdict "sound"? */
  readonly sound: boolean;
  readonly bytesRead: number;
  readonly seconds: number;
}
