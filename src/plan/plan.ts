/**
 * Two checkpoints, a scheme and options -> everything that will be read, computed and written. Pure: reads no bytes, no clock, no disk.
 * pairing.ts decides which tensors go together; this file turns pairs into jobs and files with all offsets (docs/architecture.md).
 */
import type { Note } from "../advice.js";
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { CodedOperand, ComputeDtype, Job, Operand, StoredOperand, TensorJob, Term } from "../engine/job/job.js";
import { isFloatDtype } from "../formats/dtype.js";
import { rangeLength } from "../formats/tensor-info.js";
import type { HubFile } from "../hub/place.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";
import type { NewRows } from "../scheme/axes.js";
import { layOut, outputBytes, type PlanShard } from "./layout.js";
import { rowsOf } from "./new-rows.js";
import { anyOperand, countRecords, type PlacedRecord, type RecordCount, recordJobs, recordsOf } from "./operands.js";
import { type DriverRole, INV_FREQ, type ModelKinds, type Pair, type PairingOptions } from "./pair.js";
import { pairTensors } from "./pairing.js";

/** Options that recover and make-diff share. */
export interface LayoutOptions {
  /** Bytes of tensor data in one output file. */
  readonly maxShardSize: number;
  /** What to do with `rotary_emb.inv_freq` buffers. */
  readonly invFreq: "drop" | "keep";
  /** The user's rule, which overrides the scheme's. In make-diff it also lifts the limit on the number of new rows. */
  readonly rows: NewRows | null;
  /** rope_theta of the base, to compute buffers that its files lack. */
  readonly ropeTheta: number;
  /** tie_word_embeddings of the base's config: null where it does not say. */
  readonly rawTied: boolean | null;
  /** Left out if no config says anything. */
  readonly models?: ModelKinds;
}

/** An input file of the run. */
export interface PlanInput {
  readonly role: "raw" | DriverRole | "payload";
  /** Bare name. */
  readonly file: string;
  readonly path: string;
  readonly size: number;
  readonly modified: string;
  /** An identifier of its content, if known: a commit. */
  readonly version?: string;
  /** sha256 (hex) of its header; "" for a file that is read as a whole. */
  readonly header: string;
  readonly hub?: HubFile;
}

/** What a run reads, computes and writes, for tensors or whole files. */
export interface RunPlan {
  readonly inputs: readonly PlanInput[];
  /** Files of the output. */
  readonly shards: readonly RunFile[];
  /** The `id` of a job is its index in this list. */
  readonly jobs: readonly Job[];
}

/** A file of the output. */
interface RunFile extends Pick<PlanShard, "file" | "header" | "directEnd"> {
  /** Bytes; null if only the run tells. */
  readonly size: number | null;
  /** Upper bound of `size`, if known. */
  readonly most?: number;
}

export interface Plan extends RunPlan {
  /** Name of the scheme in the table of schemes. */
  readonly scheme: string;
  /** The dtype of the written float tensors; null if each has its own. */
  readonly dtype: ComputeDtype | null;
  /** Shard by shard, the largest tensor of a shard first. Then tensors that only count in the sum, then records. */
  readonly jobs: readonly Job[];
  readonly shards: readonly PlanShard[];
  /** The index of several files. */
  readonly index: { readonly file: string; readonly text: string } | null;
  /** Names of the output's state dict in the driver's order. Includes inv_freq, even if it is not written. */
  readonly order: readonly string[];
  /** Names of the output that its loaded state dict also lists under a second name: name -> second name. */
  readonly twins: ReadonlyMap<string, string>;
  /** Is the output's head its embedding? Null where its config is right about that. */
  readonly tied: boolean | null;
  /** The number of new rows of each embedding that has some. */
  readonly newRows: ReadonlyMap<string, number>;
  /** Rows of the output's input embedding; null if there is none. */
  readonly vocabSize: number | null;
  /** Bytes of tensor data in the output files. */
  readonly totalSize: number;
  /** Counts of records in torch's zip files, which may have a CRC-32. */
  readonly records: RecordCount;
  readonly notes: readonly Note[];
}

interface BuildOptions extends LayoutOptions {
  readonly schemeName: string;
  /** "uniform": the dtype that all float tensors have, if they have the same one. */
  readonly dtype: Plan["dtype"] | "uniform";
  readonly metadata: (pairs: readonly Pair[]) => ReadonlyMap<string, string>;
  readonly prove: boolean;
  readonly compress?: boolean;
  /** Must the dtype of each tensor hold all its values? */
  readonly mustFit?: boolean;
  /** Names of tensors that keep their own dtype. */
  readonly own?: ReadonlySet<string>;
}

/** The jobs and files for the pairs. @throws {WeightDiffError} MISMATCH, LIMIT. */
export function buildPlan(raw: Checkpoint, driver: Checkpoint, pairing: PairingOptions, options: BuildOptions): Plan {
  const { pairs, notes, twins, tied } = pairTensors(raw, driver, pairing);
  const { role } = pairing;
  const inputs = [...listInputs(raw, "raw"), ...listInputs(driver, role)];
  const place = new Map(inputs.map((input, index) => [input.role + input.path, index]));
  const operand = (tensor: StoredTensor, side: PlanInput["role"]): StoredOperand | CodedOperand =>
    anyOperand(tensor, (shard) => place.get(side + shard.path) ?? 0);
  const written = pairs.filter((pair) => options.invFreq === "keep" || !INV_FREQ.test(pair.name));
  const summed = pairs.filter((pair) => options.invFreq === "drop" && INV_FREQ.test(pair.name));
  const { shards, placed, index } = layOut(written, options);
  const bySize = written.map((pair) => ({ pair, output: placed.get(pair) ?? null }));
  bySize.sort(
    (a, b) =>
      (a.output?.shard ?? 0) - (b.output?.shard ?? 0) || rangeLength(b.output?.range) - rangeLength(a.output?.range),
  );
  // A buffer that is left out of a diff is no use to anyone. In recover, it still counts in the sums.
  const unwritten = role === "diff" ? summed.map((pair) => ({ pair, output: null })) : [];
  const jobs = [...bySize, ...unwritten].map(
    ({ pair, output }, id): TensorJob => ({
      kind: "tensor",
      id,
      name: pair.name,
      rule: pair.rule,
      dtype: pair.dtype,
      shape: pair.driver.shape,
      ...termsOf(pair, {
        driver: operand(pair.driver, pair.fromRaw === true ? "raw" : role),
        raw:
          pair.raw === null ? null : pair.raw.kind === "computed" ? pair.raw.operand : operand(pair.raw.tensor, "raw"),
        again: (pair.again ?? []).map(({ tensor, mean }) => ({
          operand: operand(tensor, pair.intoRaw === true ? role : "raw"),
          mean,
        })),
      }),
      ...(pair.blend === undefined ? {} : { blend: pair.blend }),
      ...(options.mustFit === true && isRounded(pair) ? { mustFit: true } : {}),
      prove: options.prove,
      output,
    }),
  );
  const used = [...written, ...(role === "diff" ? summed : [])];
  const records = (tensor: StoredTensor, side: PlanInput["role"]): readonly PlacedRecord[] =>
    recordsOf(tensor).map(({ shard, ...found }) => ({ ...found, input: place.get(side + shard.path) ?? 0 }));
  const sources = used.flatMap(({ driver: tensor, raw: side, fromRaw, intoRaw, again = [] }) => [
    ...records(tensor, fromRaw === true ? "raw" : role),
    ...(side?.kind === "stored" ? records(side.tensor, "raw") : []),
    ...again.flatMap((more) => records(more.tensor, intoRaw === true ? role : "raw")),
  ]);
  return {
    scheme: options.schemeName,
    dtype: options.dtype === "uniform" ? uniformDtype(written, options.own) : options.dtype,
    inputs,
    shards,
    index,
    jobs: [...jobs, ...recordJobs(jobs, sources)],
    order: used.length === pairs.length ? pairs.map(({ name }) => name) : used.map(({ name }) => name),
    twins,
    tied,
    newRows: new Map(
      pairs.flatMap(({ name, driver: tensor, raw: side }) => {
        const rows = side?.kind === "stored" ? rowsOf(name, tensor) - rowsOf(name, side.tensor) : 0;
        return rows > 0 ? [[name, rows]] : [];
      }),
    ),
    vocabSize: pairs.find((pair) => INPUT_EMBEDDING.test(pair.name))?.driver.shape[0] ?? null,
    totalSize: written.reduce((sum, pair) => sum + outputBytes(pair), 0),
    records: countRecords(sources),
    notes: [
      ...raw.notes.map((note): Note => [`base: ${note}`]),
      ...driver.notes.map((note): Note => [`${role}: ${note}`]),
      ...notes.map((note): Note => [note]),
      ...(summed.length === 0 ? [] : [notWritten(summed.length)]),
    ],
  };
}

/** Does the arithmetic end in a 16-bit dtype? */
function isRounded({ rule, dtype }: Pair): boolean {
  return (rule === "add" || rule === "convert" || rule === "blend") && (dtype === "F16" || dtype === "BF16");
}

function notWritten(buffers: number): Note {
  const advice = [{ to: "write them", option: "invFreq", value: "keep" }];
  const them = buffers === 1 ? ["buffer is", "it"] : ["buffers are", "them"];
  return [`${buffers} rotary_emb.inv_freq ${them[0]} not written: models recompute ${them[1]}`, advice];
}

/** The tensor that the script adds into, and the tensors that it adds. */
function termsOf(
  { mean, intoRaw }: Pair,
  { driver, raw, again }: { readonly driver: Operand; readonly raw: Operand | null; readonly again: readonly Term[] },
): Pick<TensorJob, "start" | "terms"> {
  const own = { operand: driver, mean: null };
  if (raw === null) {
    return { start: own, terms: [] };
  }
  const base = { operand: raw, mean };
  return intoRaw === true ? { start: base, terms: [own, ...again] } : { start: own, terms: [base, ...again] };
}

/** The dtype of all written float weights, except buffers and `own`. Null if they differ, or if there are none. */
function uniformDtype(written: readonly Pair[], own: ReadonlySet<string> = new Set()): Plan["dtype"] {
  const dtypes = new Set(
    written.flatMap(({ name, dtype }) =>
      isFloatDtype(dtype) && !INV_FREQ.test(name) && !own.has(name) ? [dtype] : [],
    ),
  );
  const [dtype] = dtypes;
  return dtypes.size === 1 && dtype !== "F64" ? (dtype ?? null) : null;
}

export function listInputs(checkpoint: Checkpoint, role: PlanInput["role"]): readonly PlanInput[] {
  return checkpoint.shards.map(({ file, path, size, modified, header, hub }) => ({
    role,
    file,
    path,
    size,
    modified,
    header: header.digest,
    ...(hub === undefined ? {} : { hub }),
  }));
}
