/** What a caller asks of a run, what a command's recipe adds, and how a run ends. */
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

/** Options of every run that writes an output. */
export interface RunRequest extends RunOptions {
  /** "new" (the default) refuses an existing output, "resume" continues or verifies it, "force" replaces it. */
  readonly mode?: OutputMode;
  /** Plan and check, but read and write no tensors. */
  readonly dryRun?: boolean;
  /** Called with every note for the user, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with every warning. The run goes on. */
  readonly onWarning?: Say;
}

/** Options of a run that can be divided among machines (docs/several-machines.md). */
export interface DividedRequest extends RunRequest {
  /** Make only this part of the output. Other runs, here or on other machines, make the rest; finalize puts all parts together. */
  readonly part?: PartNumber | null;
  /** For a dry run: how many parts to cut the plan into. */
  readonly parts?: number | null;
}

/** Further options of recover and make-diff. */
export interface MakingOptions extends DividedRequest {
  /** Bytes of tensor data in one output file. The default is 5 GB, the limit of transformers when these diffs were made. */
  readonly maxShardSize?: number;
  /** What to do with rotary_emb.inv_freq buffers: "drop" by default, since models recompute them. */
  readonly invFreq?: "drop" | "keep";
  /** The rule for vocabulary rows that the base lacks; null takes the rule of the scheme. */
  readonly rows?: NewRows | null;
  /** Guards to switch off (docs/checks.md). */
  readonly ignore?: readonly Guard[];
  /** For the output "-": the file for its manifest, which must not exist yet. Null writes no manifest. */
  readonly manifestOut?: string | null;
}

/** The part of a report that describes the output. */
export interface MakingReport extends RunFigures {
  readonly output: string | null;
  readonly files: readonly { readonly file: string; readonly size: number }[];
  /** The number of rows that the base lacks, for each embedding that has such rows. */
  readonly newRows: ReadonlyMap<string, number>;
  /** How many records of torch's files were read with a CRC-32, which was checked, and how many have none. */
  readonly records: RecordCount;
  /** The plan as data; only after a dry run. */
  readonly work?: PlannedWork;
  /** Only if a part was made. */
  readonly part?: PartReport;
}

/** A part that is finished. */
export interface PartReport extends PartNumber {
  /** The files that this part made. They stay where they are until finalize. */
  readonly files: readonly { readonly file: string; readonly size: number }[];
  readonly tensors: number;
}

/** What one command asks of the run. `F`: the type of what is known of an output that is already finished. `R`: the type of the report. */
export interface Recipe<F, R> {
  /** When the command began, in milliseconds of performance.now(). */
  readonly started: number;
  readonly plan: RunPlan;
  /** The output directory as the user wrote it; null writes nothing. */
  readonly output: string | null;
  /** The folders of the inputs, which the output must not overlap. */
  readonly sources: readonly InputPlace[];
  /** How many bytes will be written, and how many it would be in the smallest dtype that the user may choose. */
  readonly needs: { readonly bytes: number; readonly least: number };
  /** The checkpoints whose small files are copied; null if none are. */
  readonly side: SideSources | null;
  /** The options that change the bytes, by name. A run can only be continued with the same values. */
  readonly identity: PlanIdentity;
  /** The options of the call, for a part to keep; null if the command cannot be divided. */
  readonly asked: (() => Promise<AskedRun>) | null;
  /** Tells the user about the small files. */
  tell?(destination: Destination): void;
  /** Refuses inputs by checks that take long. A dry run leaves them out. */
  prove?(): Promise<void>;
  /** Judges a result as soon as it exists. @throws {WeightDiffError} to end the run. */
  judge?(job: Job, result: TensorResult): void;
  /** Verifies the finished output at `path`: is it complete, and is it what this recipe makes? */
  verify(path: string, threads: EarlyOption): Promise<{ readonly finished: F; readonly bytesRead: number }>;
  /** Should the run take the sha256 of each file as it grows (RunResult.files)? */
  readonly digestFiles?: boolean;
  /** Refuses results that are not what they must be. A part calls it with its own results. */
  check?(run: RunResult): void;
  /** What to do to files once all their tensors are made. @returns sha256 (hex) of each whole file by name, where the manifest needs it. */
  close?(run: RunResult, output: Staging, shards: readonly number[]): Promise<ReadonlyMap<string, string>>;
  /**
   * Composes the small files and the manifest once all tensors are made. May still refuse the result.
   * @param closed what `close` returned.
   */
  compose(
    run: RunResult,
    output: OutputDirectory | null,
    destination: Destination | null,
    closed: ReadonlyMap<string, string>,
  ): Promise<Composed>;
  /** Makes the report. */
  conclude(end: End<F>): R;
}

export interface Composed {
  readonly extras: readonly ExtraFile[];
  /** The text of the manifest, in pieces. @param written the extra files, as written. */
  readonly manifest: (written: readonly WrittenFile[]) => Iterable<string>;
}

/**
 * How a run ended. "planned": a dry run. "verified": the output was already finished. "checked": nothing was to be written. "part": one
 * part of several is finished.
 */
export type End<F> = { readonly output: string | null; readonly figures: RunFigures } & (
  | { readonly outcome: "planned"; readonly work: PlannedWork }
  | { readonly outcome: "verified"; readonly finished: F }
  | { readonly outcome: "part"; readonly part: PartReport }
  | { readonly outcome: "made" | "checked"; readonly run: RunResult }
);

/** The parts to put together, in place of a run. */
export interface Gathering {
  readonly asked: AskedRun;
  /** The number of parts. */
  readonly count: number;
}
