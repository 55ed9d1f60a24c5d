/** What a run is asked for, what a command's recipe gives it, and how it ends. */
import type { Say } from "../advice.js";
import type { Job } from "../engine/job/job.js";
import type { TensorResult } from "../engine/job/result.js";
import type { Guard } from "../evidence/guard-names.js";
import type { OutputMode } from "../output/choose-mode.js";
import type { OutputDirectory } from "../output/directory.js";
import type { AskedRun, PlanIdentity } from "../output/journal-text.js";
import type { PartNumber } from "../output/part-names.js";
import type { ExtraFile, Staging, WrittenFile } from "../output/staging.js";
import type { RecordCount } from "../plan/operands.js";
import type { RunPlan } from "../plan/plan.js";
import type { InputPlace } from "../run/preflight.js";
import type { EarlyOption, RunFigures, RunOptions, RunResult } from "../run/run-plan.js";
import type { NewRows } from "../scheme/axes.js";
import type { Destination, SideSources } from "./destination.js";
import type { PlannedWork } from "./work.js";

/** Options of every run that makes something. */
export interface RunRequest extends RunOptions {
  /** "new" (the default) refuses an output that is there, "resume" continues or verifies it, "force" replaces it. */
  readonly mode?: OutputMode;
  /** Plan and check, then stop. */
  readonly dryRun?: boolean;
  /** Called with every sentence a user should read, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with what may be wrong; the run goes on. */
  readonly onWarning?: Say;
}

/** Options of a run that can be divided among machines (docs/several-machines.md). */
export interface DividedRequest extends RunRequest {
  /** Make only this part of the output; others make the rest, wherever they are, and finalize puts them together. */
  readonly part?: PartNumber | null;
  /** Of a dry run: how many parts the plan is to be cut into. */
  readonly parts?: number | null;
}

/** Further options of recover and make-diff. */
export interface MakingOptions extends DividedRequest {
  /** Bytes of tensor data in one output file; 5 GB by default, as transformers had it. */
  readonly maxShardSize?: number;
  /** What to do with rotary_emb.inv_freq buffers: "drop" by default, since models recompute them. */
  readonly invFreq?: "drop" | "keep";
  /** The rule for vocabulary rows that the base lacks; null takes the scheme's. */
  readonly rows?: NewRows | null;
  /** Guards to switch off (docs/checks.md). */
  readonly ignore?: readonly Guard[];
  /** Where the output is "-": a file for its manifest, which must not be there yet; null writes none. */
  readonly manifestOut?: string | null;
}

/** What every report says of the output. */
export interface MakingReport extends RunFigures {
  readonly output: string | null;
  readonly files: readonly { readonly file: string; readonly size: number }[];
  /** For each embedding with rows that the base lacks: how many. */
  readonly newRows: ReadonlyMap<string, number>;
  /** How many records of torch's files were read with a CRC-32, which was checked, and how many state none. */
  readonly records: RecordCount;
  /** The plan as data; only of a dry run. */
  readonly work?: PlannedWork;
  /** Only where a part was made. */
  readonly part?: PartReport;
}

/** A part that is finished. */
export interface PartReport extends PartNumber {
  /** What it made, and left to be put together with the others. */
  readonly files: readonly { readonly file: string; readonly size: number }[];
  readonly tensors: number;
}

/** What one command asks of the run. `F`: what is known of an output that is finished already. `R`: the report. */
export interface Recipe<F, R> {
  /** When the command began, by performance.now(). */
  readonly started: number;
  readonly plan: RunPlan;
  /** The output directory as the user wrote it; null writes nothing. */
  readonly output: string | null;
  /** The folders of the inputs, which the output must not overlap. */
  readonly sources: readonly InputPlace[];
  /** How many bytes will be written, and how many it would be in the smallest dtype that can be asked for. */
  readonly needs: { readonly bytes: number; readonly least: number };
  /** The checkpoints whose small files are copied; null if none are. */
  readonly side: SideSources | null;
  /** The options that change the bytes, by name. A run can only be continued with the same ones. */
  readonly identity: PlanIdentity;
  /** The call, as a part keeps it; null for what cannot be divided. */
  readonly asked: (() => Promise<AskedRun>) | null;
  /** Tells the user of what lies beside the weights. */
  tell?(destination: Destination): void;
  /** Refuses inputs by checks that take long; left out in a dry run. */
  prove?(): Promise<void>;
  /** Judges every result as soon as it is there. @throws {WeightDiffError} to end the run. */
  judge?(job: Job, result: TensorResult): void;
  /** The finished output at `path`: is it what this recipe makes, and whole? */
  verify(path: string, threads: EarlyOption): Promise<{ readonly finished: F; readonly bytesRead: number }>;
  /** Is the sha256 of each file wanted, as it is when its tensors are made (RunResult.files)? */
  readonly digestFiles?: boolean;
  /** Refuses results that are not what they must be; called with those of a part. */
  check?(run: RunResult): void;
  /** What is to be done to files once all their tensors are made. @returns sha256 (hex) of each whole file by name, where the manifest wants it. */
  close?(run: RunResult, output: Staging, shards: readonly number[]): Promise<ReadonlyMap<string, string>>;
  /** Composes the small files and the manifest once all tensors are made. It may still refuse the result. @param closed as `close` gave it. */
  compose(
    run: RunResult,
    output: OutputDirectory | null,
    destination: Destination | null,
    closed: ReadonlyMap<string, string>,
  ): Promise<Composed>;
  /** The report. */
  conclude(end: End<F>): R;
}

export interface Composed {
  readonly extras: readonly ExtraFile[];
  /** The manifest's text, in pieces. @param written the extras, as they were written. */
  readonly manifest: (written: readonly WrittenFile[]) => Iterable<string>;
}

/**
 * How a run ended. "planned": a dry run. "verified": the output was finished already. "checked": nothing was to be written. "part":
 * one part of several is finished.
 */
export type End<F> = { readonly output: string | null; readonly figures: RunFigures } & (
  | { readonly outcome: "planned"; readonly work: PlannedWork }
  | { readonly outcome: "verified"; readonly finished: F }
  | { readonly outcome: "part"; readonly part: PartReport }
  | { readonly outcome: "made" | "checked"; readonly run: RunResult }
);

/** Parts that are to be put together, in place of a run. */
export interface Gathering {
  readonly asked: AskedRun;
  /** How many there are. */
  readonly count: number;
}
