/**
 * Checks against the manifest beside a diff. It has digests of the base and of the recovered model, tensor by tensor, from the maker of the
 * diff (docs/formats.md 1.3).
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { readElements } from "../checkpoint/elements.js";
import { WeightDiffError } from "../errors.js";
import { type Dtype, dtypeBits, elementCount, type FloatDtype, isFloatDtype, tensorBytes } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { createScalarKernel } from "../kernel/scalar.js";
import type { MakeDiffManifest } from "../manifest/manifest.js";
import { readManifest } from "../manifest/read.js";
import { MANIFEST } from "../output/state.js";
import type { Plan } from "../plan/plan.js";
import type { RunResult } from "../run/run-plan.js";

type PublishedTensor = MakeDiffManifest["tensors"][number];

/** Enough values to recognise another base, and few enough to read them in a second. */
const MAX_SAMPLE_BYTES = 64_000_000;

/** The manifest that make-diff wrote beside the diff; null without one. @throws {WeightDiffError} as readManifest. */
export async function readPublished(diff: Checkpoint): Promise<MakeDiffManifest | null> {
  if (diff.directory === null) {
    return null;
  }
  const manifest = await readManifest(join(diff.directory, MANIFEST)).catch((error: unknown) => {
    if (error instanceof WeightDiffError && error.code === "NOT_FOUND") {
      return null;
    }
    throw error;
  });
  return manifest?.operation === "make-diff" ? manifest : null;
}

/**
 * Compares the norms of the base, and one small tensor of every layer, with the digests in the diff's manifest.
 * @returns how many tensors were compared.
 * @throws {WeightDiffError} MISMATCH for another base, naming the first tensor that differs.
 */
export async function refuseOtherBase(raw: Checkpoint, published: MakeDiffManifest): Promise<number> {
  const sample = chooseSample(raw, published);
  for (const { expected, tensor } of sample) {
    const found = await digestAs(tensor, expected.raw?.dtype ?? tensor.dtype);
    if (found !== expected.raw?.sha256) {
      const origin = published.raw.repo === null ? "the base that the diff's card names" : published.raw.repo;
      throw new WeightDiffError(
        "MISMATCH",
        `not the base that this diff was made from: ${tensor.shard.file}: tensor ${quote(tensor.name)} has sha256 ${found} as ${expected.raw?.dtype}, the diff's manifest says ${expected.raw?.sha256}`,
        `get ${origin}`,
        {
          at: { file: raw.path },
          advice: [{ to: "go on all the same", option: "ignore", value: "wrong-base" }],
        },
      );
    }
  }
  return sample.length;
}

interface Sampled {
  readonly expected: PublishedTensor;
  readonly tensor: StoredTensor;
}

/** The tensors to compare: every small vector, and the smallest matrix of every layer. */
function chooseSample(raw: Checkpoint, published: MakeDiffManifest): readonly Sampled[] {
  const smallest = new Map<string, Sampled>();
  const vectors: Sampled[] = [];
  for (const expected of published.tensors) {
    const tensor = raw.stateDict.get(expected.name);
    const comparable =
      tensor !== undefined &&
      tensor.strides === undefined &&
      tensor.bigEndian !== true &&
      expected.raw !== null &&
      expected.raw.shape.join() === tensor.shape.join() &&
      (expected.raw.dtype === tensor.dtype || (isFloatDtype(expected.raw.dtype) && isFloatDtype(tensor.dtype)));
    if (!comparable) {
      continue;
    }
    if (tensor.shape.length <= 1) {
      vectors.push({ expected, tensor });
      continue;
    }
    const layer = /(?:^|\.)layers\.(\d+)\./.exec(expected.name)?.[1] ?? "";
    const known = smallest.get(layer);
    if (known === undefined || bytesOf(tensor) < bytesOf(known.tensor)) {
      smallest.set(layer, { expected, tensor });
    }
  }
  let total = 0;
  return [...vectors, ...smallest.values()].filter(({ tensor }) => {
    const fits = total + bytesOf(tensor) <= MAX_SAMPLE_BYTES;
    total += fits ? bytesOf(tensor) : 0;
    return fits;
  });
}

function bytesOf({ dtype, shape }: StoredTensor): number {
  return tensorBytes(dtype, shape) ?? 0;
}

/** Elements read at once. */
const PIECE = 1 << 18;

/**
 * The sha256 of the tensor's values, converted to `dtype`. A base that is stored in a wider dtype without loss is the same base. Reads the
 * tensor piece by piece.
 */
async function digestAs(tensor: StoredTensor, dtype: Dtype): Promise<string> {
  const hash = createHash("sha256");
  const convert = dtype === tensor.dtype || !isFloatDtype(tensor.dtype) ? null : converter(tensor.dtype, dtype);
  const elements = elementCount(tensor.shape) ?? 0;
  for (let first = 0; first < elements; first += PIECE) {
    const [bytes = new Uint8Array()] = await readElements([
      { tensor, first, count: Math.min(PIECE, elements - first) },
    ]);
    hash.update(convert === null ? bytes : convert(bytes));
  }
  return hash.digest("hex");
}

/** Converts at most PIECE elements from one dtype to the other, through F32. The next call overwrites the returned bytes. */
function converter(from: FloatDtype, to: Dtype): (bytes: Uint8Array) => Uint8Array {
  const width = dtypeBits(from) / 8;
  const kernel = createScalarKernel(PIECE * (width + 4));
  const memory = new Uint8Array(kernel.memory);
  const values = kernel.base + PIECE * width;
  return (bytes) => {
    const count = bytes.length / width;
    memory.set(bytes, kernel.base);
    kernel.widen(from, kernel.base, values, count);
    if (to !== "F16" && to !== "BF16") {
      return memory.subarray(values, values + count * 4);
    }
    kernel.narrow(to, values, values, count);
    return memory.subarray(values, values + count * 2);
  };
}

/**
 * Compares every recovered tensor with the diff's manifest. A rounded tensor can be compared only if the tuned model had that dtype and the
 * diff recovers it exactly.
 * @returns how many tensors were compared.
 * @throws {WeightDiffError} CHECK_FAILED, naming the tensors that differ from the manifest.
 */
export function refuseOtherResult(plan: Plan, run: RunResult, published: MakeDiffManifest): number {
  const expected = new Map(published.tensors.map((tensor) => [tensor.name, tensor]));
  let compared = 0;
  const wrong: string[] = [];
  for (const job of plan.jobs) {
    const tensor = job.kind === "tensor" ? expected.get(job.name) : undefined;
    const sha256 = tensor === undefined ? null : expectedDigest(tensor, plan.dtype);
    if (sha256 !== null) {
      compared++;
      if (run.results.get(job.id)?.sha256 !== sha256) {
        wrong.push(quote(job.name));
      }
    }
  }
  if (wrong.length > 0) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `${wrong.length} of ${compared} recovered tensors are not what the diff's manifest says: ${wrong.slice(0, 20).join(", ")}${wrong.length > 20 ? ", …" : ""}`,
      "these tensors of the base are not the maker's, or the diff is damaged: check both",
      { advice: [{ to: "go on all the same", option: "ignore", value: "wrong-base" }] },
    );
  }
  return compared;
}

function expectedDigest(tensor: PublishedTensor, dtype: Plan["dtype"]): string | null {
  if (dtype === null || dtype === "F32" || !isFloatDtype(tensor.tuned.dtype)) {
    return tensor.recovered;
  }
  return tensor.inexact === 0 && tensor.tuned.dtype === dtype ? tensor.tuned.sha256 : null;
}
