/**
 * A diff without its base: how large its differences are, and how many are zero. Only the base tells how large that is beside the weights,
 * how many steps of value it makes, and which rows are new.
 */
import { openCheckpoint, type StoredTensor } from "../../checkpoint/checkpoint.js";
import { configOf } from "../../checkpoint/config.js";
import type { TensorJob } from "../../engine/job/job.js";
import type { Measured } from "../../engine/job/result.js";
import { WeightDiffError } from "../../errors.js";
import { identify, refuseStep } from "../../evidence/identify.js";
import { unitCount } from "../../formats/coded/units.js";
import { dtypeBits, elementCount } from "../../formats/dtype.js";
import type { Hub } from "../../hub/place.js";
import { EMBEDDING } from "../../known/embeddings.js";
import { type CodedEntry, readCoded } from "../../plan/coded.js";
import { encodingOf, readAdditiveRecord, readOwnTensors } from "../../plan/exact.js";
import { recordJobs, recordsOf, storedOperand } from "../../plan/operands.js";
import { INV_FREQ } from "../../plan/pair.js";
import { listInputs } from "../../plan/plan.js";
import { provideInputs } from "../../run/inputs.js";
import { runPlan } from "../../run/run-plan.js";
import { type MeasuredRun, type MeasuredTensor, soundManifest } from "./measured.js";
import type { ReportOptions } from "./options.js";

/** @throws {WeightDiffError} NOT_A_DIFF if it is not a diff; USAGE for a scheme; otherwise as inspect and verify. */
export async function measureAlone(options: ReportOptions & { readonly hub: Hub }): Promise<MeasuredRun> {
  if (options.scheme !== undefined) {
    throw new WeightDiffError("USAGE", "a diff alone is not applied, so it needs no scheme", "give its base, too");
  }
  const checkpoint = await openCheckpoint(options.path, options.hub);
  refuseStep(checkpoint);
  const config = await configOf(checkpoint).catch(() => null);
  const { kind, reason } = await identify(checkpoint, config, await soundManifest(checkpoint));
  if (kind !== "diff" && options.ignore?.includes("not-a-diff") !== true) {
    throw new WeightDiffError(
      "NOT_A_DIFF",
      `${options.path}: ${kind === "full" ? "a whole model: alone, it does not show what was changed" : "is it a diff?"}: ${reason}`,
      kind === "full" ? "give its base first" : undefined,
      {
        advice: [{ to: "if you are sure that it is a diff, go on", option: "ignore", value: "not-a-diff" }],
      },
    );
  }
  if (encodingOf(checkpoint) === "compressed") {
    const entries = readCoded(checkpoint);
    const tensors = [...checkpoint.stateDict].flatMap(([name, tensor]) => {
      const entry = entries.get(name);
      return entry === undefined ? [] : [codedTensor(entry, tensor)];
    });
    return { tensors, models: [checkpoint], scheme: null, bytesRead: 0, threads: 0 };
  }
  const own = readOwnTensors(checkpoint);
  const again = readAdditiveRecord(checkpoint);
  const exact = encodingOf(checkpoint) === "exact";
  const stored = [...checkpoint.stateDict].filter(([name]) => !INV_FREQ.test(name));
  // A tensor from which the base was subtracted twice is not a difference either.
  const isDifference = (name: string, { dtype }: StoredTensor): boolean => {
    const how = again?.get(name);
    return !own.has(name) && !(how?.rule === "base" && how.times > 1) && dtypeBits(dtype) % 8 === 0;
  };
  const measured = stored.filter(([name, tensor]) => isDifference(name, tensor));
  const place = new Map(checkpoint.shards.map((shard, index) => [shard, index]));
  const jobs = measured.map(([name, tensor], id): TensorJob => {
    const operand = storedOperand(tensor, (shard) => place.get(shard) ?? 0);
    return {
      ...{ kind: "tensor", id, name, rule: "copy", dtype: tensor.dtype, shape: tensor.shape },
      ...{ start: { operand, mean: null }, terms: [], prove: false, output: null },
      measure: { base: "zero", rows: EMBEDDING.test(name) },
    };
  });
  const sources = measured.flatMap(([, tensor]) =>
    recordsOf(tensor).map(({ shard, ...record }) => ({ ...record, input: place.get(shard) ?? 0 })),
  );
  const plan = { inputs: listInputs(checkpoint, "diff"), shards: [], jobs: [...jobs, ...recordJobs(jobs, sources)] };
  const run = await runPlan(plan, await provideInputs(plan.inputs, options), null, options);
  const results = new Map(jobs.map(({ id, name }) => [name, run.results.get(id)?.measured]));
  const tensors = stored.map(([name, tensor]): MeasuredTensor => {
    const found = results.get(name) ?? unmeasured(tensor);
    // Bit patterns are not values: as numbers, they are differences of bits.
    return { ...placeless(name, tensor), measured: exact ? { ...found, values: null, units: null } : found };
  });
  return { tensors, models: [checkpoint], scheme: null, bytesRead: run.read, threads: run.threads };
}

function placeless(
  name: string,
  { dtype, shape }: Pick<StoredTensor, "dtype" | "shape">,
): Omit<MeasuredTensor, "measured"> {
  return { name, dtype, shape, baseDtype: null, newRows: 0 };
}

function unmeasured({ shape }: StoredTensor): Measured {
  return { elements: elementCount(shape) ?? 0, compared: 0, changed: 0, values: null, units: null, rows: [] };
}

/** From its files alone: how many units are the base's bits, and how many bytes the tensor takes. */
function codedTensor(entry: CodedEntry, { range }: StoredTensor): MeasuredTensor {
  const elements = elementCount(entry.shape) ?? 0;
  const units = unitCount(entry.dtype, entry.shape) ?? 0;
  const given = entry.rule === "bits" && units === elements;
  return {
    ...placeless(entry.name, entry),
    measured: {
      ...{ elements, compared: given ? elements : 0, changed: given ? units - entry.unchanged : 0 },
      ...{ values: null, units: { steps: [], bits: 8 * (range.end - range.begin) }, rows: [] },
    },
  };
}
