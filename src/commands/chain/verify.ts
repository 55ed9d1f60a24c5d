/**
 * chain verify: checks the path to a version. With the base it computes every checksum of every step. Without it, it checks the indexes, the
 * headers and the structure of each payload. It lists what is wrong, and writes nothing.
 */
import { crc32 } from "node:zlib";
import type { Advice } from "../../advice.js";
import { faultOf, type Payload, separated, type Version } from "../../chain/chain.js";
import { throwIfAborted } from "../../engine/io/abort.js";
import { type ChainFault, WeightDiffError } from "../../errors.js";
import { indexBytes, readIndex } from "../../formats/coded/index.js";
import { quote } from "../../formats/quote.js";
import { rangeLength } from "../../formats/tensor-info.js";
import { walkFrame } from "../../formats/zstd/walk.js";
import { openShardSource } from "../../hub/source.js";
import { DEFAULTS } from "../../plan/defaults.js";
import { planUpdate, type UpdatePlan } from "../../plan/plan-update.js";
import { provideInputs, withHub } from "../../run/inputs.js";
import { clock, runPlan } from "../../run/run-plan.js";
import { checksumError, remedyOf } from "./checksums.js";
import { judgeBase } from "./judge-base.js";
import type { ChainVerifyOptions, Opened } from "./options.js";
import { type ChainSummary, summaryOf } from "./report.js";
import { type ChainSource, openSource, readPath } from "./source.js";
import { warnOf } from "./warnings.js";
import { refuseOtherWhole } from "./whole.js";

export interface ChainFinding {
  /** The rule that is broken. */
  readonly why: ChainFault;
  readonly message: string;
  /** What to do, in lower case, without a full stop; null where `advice` alone says it. */
  readonly hint: string | null;
  /** Options that may help. `hint` does not repeat them. */
  readonly advice: readonly Advice[];
  readonly version: string | null;
  readonly file: string | null;
  readonly tensor: string | null;
}

export interface ChainVerifyReport {
  readonly path: string;
  readonly verdict: "sound" | "failed";
  readonly findings: readonly ChainFinding[];
  /** Null if the path to the version could not be read. */
  readonly chain: ChainSummary | null;
  /** "sums": every checksum was computed. "structure": none was, since there was no base. */
  readonly coverage: "sums" | "structure";
  /** How many checksums were computed and fit. */
  readonly sums: number;
  readonly notes: readonly string[];
  readonly bytesRead: number;
  readonly seconds: number;
}

/** The most findings that are listed: a chain on another base has one for every tensor. */
const MOST_FINDINGS = 20;

/** @throws {WeightDiffError} NOT_FOUND if there is no chain, or no base; USAGE, IO, INTERRUPTED, HUB_…, NETWORK. */
export async function chainVerify(options: ChainVerifyOptions): Promise<ChainVerifyReport> {
  return withHub(options, verifyWith);
}

async function verifyWith(options: Opened<ChainVerifyOptions>): Promise<ChainVerifyReport> {
  const started = performance.now();
  const { hub, raw = null } = options;
  const findings: ChainFinding[] = [];
  const notes: string[] = [];
  let chain: ChainSummary | null = null;
  let sums = 0;
  let bytesRead = 0;
  let coverage: ChainVerifyReport["coverage"] = "structure";
  try {
    const found = await readPath(options, hub);
    notes.push(...found.chain.notes, ...found.path.notes);
    if (raw === null && found.path.start === null) {
      for (const version of found.path.steps) {
        bytesRead += await walkVersion(version, findings, options);
      }
    } else {
      const source = await openSource(found, raw, options, hub);
      const plan = planUpdate(source.model, source.path.steps, source.sums, { ...DEFAULTS, everySum: true });
      coverage = "sums";
      const probed = source.isBase ? await probe(source, plan, options) : null;
      chain = summaryOf(
        source,
        plan,
        probed,
        warnOf(
          source,
          plan,
          (text) => notes.push(text),
          (text) => notes.push(text),
        ),
      );
      const run = await computeAll(plan, findings, options);
      await refuseOtherWhole(source, plan, options);
      sums = run.sums;
      bytesRead = run.read;
    }
  } catch (error) {
    findings.push(...findingsOf(error));
  }
  const { seconds } = clock(started);
  const verdict = findings.length === 0 ? "sound" : "failed";
  return { path: options.chain, verdict, findings, chain, coverage, sums, notes, bytesRead, seconds };
}

/** Judges the base. Another base makes all checksums wrong, so that ends the check. A single wrong checksum does not: it is found again later, with all others. */
async function probe(source: ChainSource, plan: UpdatePlan, options: Opened<ChainVerifyOptions>): Promise<number> {
  try {
    return await judgeBase(source, plan, options);
  } catch (error) {
    if (
      error instanceof WeightDiffError &&
      error.why !== null &&
      !["wrong-base", "already-applied"].includes(error.why)
    ) {
      return 0;
    }
    throw error;
  }
}

/** Runs all jobs. After a damaged payload it goes on with the other tensors. */
async function computeAll(
  plan: UpdatePlan,
  findings: ChainFinding[],
  options: Opened<ChainVerifyOptions>,
): Promise<{ readonly sums: number; readonly read: number }> {
  const files = await provideInputs(plan.inputs, options);
  const done = new Set<string>();
  let sums = 0;
  const read = 0;
  const expected = new Map(plan.jobs.map(({ id, name }) => [name, plan.expected.get(id) ?? []]));
  for (;;) {
    const jobs = plan.jobs.filter(({ name }) => !done.has(name)).map((job, id) => ({ ...job, id }));
    try {
      const run = await runPlan({ ...plan, jobs }, files, null, {
        ...options,
        judge(job, { checksums = [] }) {
          done.add(job.name);
          const stated = expected.get(job.name) ?? [];
          const wrong = checksums.findIndex((found, index) => found !== stated[index]?.checksum.hex);
          checksums.forEach((found, index) => {
            const sum = stated[index];
            if (sum !== undefined && sum.checksum.hex === found) {
              sums++;
            } else if (sum !== undefined && findings.length < MOST_FINDINGS) {
              findings.push(...findingsOf(checksumError(job.name, sum, found, remedyOf(stated, wrong, index))));
            }
          });
        },
      });
      return { sums, read: read + run.read };
    } catch (error) {
      findings.push(...findingsOf(error));
      const tensor = error instanceof WeightDiffError ? error.at.tensor : undefined;
      if (tensor === undefined || done.has(tensor) || findings.length >= MOST_FINDINGS) {
        return { sums, read };
      }
      done.add(tensor);
    }
  }
}

/** One finding for each error about the chain. @throws {unknown} the error itself if it is not about the chain. */
function findingsOf(error: unknown): readonly ChainFinding[] {
  return (separated(error) ?? [error]).map((one) => {
    const { why, message, hint = null, advice, at } = faultOf(one);
    return {
      ...{ why, message, hint, advice },
      ...{ version: at.version ?? null, file: at.file ?? null, tensor: at.tensor ?? null },
    };
  });
}

/** How many bytes of a shard are read at a time. */
const PIECE = 1 << 20;

/** Walks each payload's frame without decoding it. @returns how many bytes were read. */
async function walkVersion(
  version: Version,
  findings: ChainFinding[],
  options: Opened<ChainVerifyOptions>,
): Promise<number> {
  let read = 0;
  for (const payload of version.payloads.values()) {
    throwIfAborted(options.signal);
    try {
      read += await walkPayload(payload, version.id);
    } catch (error) {
      if (findings.length < MOST_FINDINGS) {
        findings.push(...findingsOf(error));
      }
    }
  }
  return read;
}

async function walkPayload(payload: Payload, version: string): Promise<number> {
  const { name, shard, range, compression, encoding } = payload;
  if (compression === "coded") {
    return walkCoded(payload, version);
  }
  if (compression !== "zstd") {
    return 0;
  }
  const source = await openShardSource(shard);
  try {
    const least = encoding === "overwrite" ? 4 : encoding === "xor_sparse" ? 8 : 0;
    const walk = walkFrame({ least, most: Number.MAX_SAFE_INTEGER }, { file: shard.path, tensor: name, version });
    for (let at = range.begin; at < range.end; at += PIECE) {
      walk.push(await source.readAt(at, Math.min(PIECE, range.end - at)));
    }
    walk.end();
    return range.end - range.begin;
  } catch (error) {
    throw ofTensor(error, name);
  } finally {
    await source.close();
  }
}

/** A frame's error speaks of the frame: the message names the tensor that it is for. */
function ofTensor(error: unknown, name: string): unknown {
  if (!(error instanceof WeightDiffError) || error.why === null) {
    return error;
  }
  const { code, fact, hint, at, why } = error;
  return new WeightDiffError(code, `tensor ${quote(name)}: ${fact}`, hint, { at, why, cause: error });
}

/** Checks the index and the CRC-32 of every window. @returns how many bytes were read. */
async function walkCoded({ name, shard, range, dtype, shape }: Payload, version: string): Promise<number> {
  if (dtype === undefined || shape === undefined) {
    throw new TypeError(`${name} is coded, and of no dtype`);
  }
  const at = { file: shard.path, tensor: name, version };
  const tensor = { name, dtype, shape };
  const source = await openShardSource(shard);
  try {
    const index = await source.readAt(range.end - indexBytes(tensor), indexBytes(tensor));
    const windows = readIndex(index, tensor, range, { file: shard.path, version, why: "frame" });
    for (const [number, { position, length, crc32: stated }] of windows.entries()) {
      if (crc32(await source.readAt(range.begin + position, length)) !== stated) {
        const what = `tensor ${quote(name)}: coded window ${number} does not have its CRC-32`;
        throw new WeightDiffError("CRC_MISMATCH", what, "the file is damaged: fetch it again", { at, why: "frame" });
      }
    }
    return rangeLength(range);
  } finally {
    await source.close();
  }
}
