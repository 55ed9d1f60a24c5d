/** The options of verify, and its report. */
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
  /** The path of a manifest that is kept elsewhere. Null takes the one beside the weights, if there is one. */
  readonly manifest?: string | null;
  /** The base, to verify a diff: the model is recovered without being written, and compared with the manifest. */
  readonly raw?: string | null;
  /** Another checkpoint that should hold the same model. */
  readonly against?: string | null;
  /** Report an error if there are no digests to compare with. */
  readonly requireDigests?: boolean;
  /** The name of a published sum, for example "alpaca-7b". Null takes the one that was published for this repository, if any. */
  readonly known?: string | null;
  /** A file with the publisher's public key (PEM, EC). Every file must match its signature. */
  readonly verifyKey?: string | null;
  /** The naive sum that the model should have (docs/arithmetic.md 7). */
  readonly expectSum?: number | null;
}

/** "failed": the findings have an error. "unproven": a check was asked for, but there was nothing to compare with. */
export type Verdict = "sound" | "unproven" | "failed";

export interface VerifyReport {
  readonly path: string;
  /** A diff or a full model, and the evidence. */
  readonly identity: Identity;
  /** The manifest with the digests; null if there is none, or if it was not used. */
  readonly manifest: string | null;
  /** All findings, errors first. */
  readonly findings: readonly Finding[];
  /** The number of weight files and of tensors. */
  readonly files: number;
  readonly tensors: number;
  /** Were the bytes of tensors read, or only the structure? */
  readonly read: boolean;
  /** Is it an encoded payload? Then whole files were compared with their digests, since it has no tensors. */
  readonly whole: boolean;
  readonly sums: NaiveSums | null;
  readonly sumCheck: SumCheck | null;
  /** What was recovered with the base; null if none was given. */
  readonly recovered: RecoveredTensors | null;
  /** How the other checkpoint compares; null if none was given. */
  readonly comparison: CheckpointComparison | null;
  /** The key of the signature, and how many files it covers, if asked for. The findings tell what is wrong with it. */
  readonly signature?: Pick<SignatureCheck, "key" | "files">;
  readonly verdict: Verdict;
  /** Is the verdict "sound"? */
  readonly sound: boolean;
  readonly bytesRead: number;
  readonly seconds: number;
}
