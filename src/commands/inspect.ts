/** inspect: tells what a checkpoint is, by its headers, config, side files and a few small tensors; with digests if asked. */
import { join } from "node:path";
import { type Checkpoint, openCheckpoint, type StoredTensor } from "../checkpoint/checkpoint.js";
import { configOf, type ModelConfig } from "../checkpoint/config.js";
import { layoutNamed } from "../checkpoint/layouts/registry.js";
import { findMetaTokenizer, TOKENIZER } from "../checkpoint/meta-tokenizer.js";
import { fileNames } from "../checkpoint/side-files.js";
import { addedTokens, readTokenizer, type TokenizerFile } from "../checkpoint/tokenizer.js";
import { WeightDiffError } from "../errors.js";
import { familyName } from "../evidence/family.js";
import { type Identity, identify } from "../evidence/identify.js";
import { type ModelShape, modelShape } from "../evidence/model-shape.js";
import { chooseScheme } from "../evidence/scheme/choose.js";
import { findTraps } from "../evidence/traps.js";
import { STREAM } from "../files/pipe.js";
import { type Dtype, elementCount, tensorBytes } from "../formats/dtype.js";
import type { Hub } from "../hub/place.js";
import { sha256Of } from "../hub/source.js";
import { filesOfSize, fileWithDigest } from "../known/files.js";
import type { Manifest } from "../manifest/manifest.js";
import { readManifest } from "../manifest/read.js";
import { MANIFEST } from "../output/state.js";
import { asCoded } from "../plan/coded.js";
import { readTensors, sha256ByName } from "../run/digest.js";
import { withHub } from "../run/inputs.js";
import { type Received, receive } from "../run/receive.js";
import type { RunOptions } from "../run/run-plan.js";
import { type CodedShares, codedShares } from "./inspect/coded.js";

export interface InspectOptions extends RunOptions {
  /** The diff or model: a directory, a weight file, a Hub cache folder, or the name of a repository; "-" reads a safetensors file from stdin. */
  readonly path: string;
  /** Also read every byte, and give the sha256 of each tensor. */
  readonly digest?: boolean;
}

export interface InspectReport {
  readonly path: string;
  /** The repository on the Hub that it comes from, if known. */
  readonly repo: string | null;
  readonly commit: string | null;
  /** A diff or a full model, and the evidence. */
  readonly identity: Identity;
  /** The model's name, for example "LLaMA 7B"; null for an unknown architecture. */
  readonly family: string | null;
  /** Layers, hidden size and vocabulary, read from names and shapes. */
  readonly shape: ModelShape;
  /** The number of elements in all tensors together. */
  readonly parameters: number;
  /** The weight files, and tokenizer.model if it is a published one. */
  readonly files: readonly InspectedFile[];
  /** The manifest beside the weights; null without one. */
  readonly manifest: Pick<Manifest, "operation" | "tool" | "scheme"> | null;
  /** The files that list tokens, and the highest token id in each. */
  readonly tokenizer: readonly TokenizerFile[];
  /** For a diff: the script whose rules fit, and why, or why that cannot be told. Null for a full model. */
  readonly scheme: { readonly name: string | null; readonly reason: string } | null;
  readonly tensors: readonly InspectedTensor[];
  /** Number of tensors, elements and bytes by dtype. The dtype with the most bytes comes first. */
  readonly totals: readonly DtypeTotal[];
  /** How the bytes of a compressed diff are distributed; null for other checkpoints. */
  readonly coded: CodedShares | null;
  /** What could go wrong with it, one sentence each. */
  readonly traps: readonly string[];
  /** Notes about how it is read, one sentence each. */
  readonly notes: readonly string[];
}

interface InspectedFile {
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  readonly format: string;
  /** The published file that this is, or may be, in words. */
  readonly known: string | null;
  /** "size": only its size was compared. Null if `known` is. */
  readonly knownBy: "digest" | "size" | null;
}

interface DtypeTotal {
  readonly dtype: Dtype;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

export interface InspectedTensor {
  /** As in the file. Keys of nested dicts are joined with ".". */
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly shard: string;
  /** sha256 (hex) of the contiguous little-endian bytes, or of the bytes in which it is coded; only with `digest`. */
  readonly sha256?: string;
}

/** Tells what a checkpoint is. @throws {WeightDiffError} as openCheckpoint; with `digest` also CRC_MISMATCH, IO, INPUT_CHANGED. */
export async function inspect(options: InspectOptions): Promise<InspectReport> {
  return withHub(options, inspectWith);
}

async function inspectWith(options: InspectOptions & { readonly hub: Hub }): Promise<InspectReport> {
  const received = options.path === STREAM ? await receive({ ...options, whole: options.digest === true }) : null;
  const stored = received?.checkpoint ?? (await openCheckpoint(options.path, options.hub));
  const checkpoint = asCoded(stored);
  const notes = [...checkpoint.notes];
  const note = (error: unknown): null => {
    if (!(error instanceof WeightDiffError)) {
      throw error;
    }
    notes.push(error.message);
    return null;
  };
  const config = await configOf(checkpoint).catch(note);
  const manifest = await manifestBeside(checkpoint).catch(note);
  const tokenizer =
    checkpoint.directory === null ? { files: [], broken: [] } : await readTokenizer(checkpoint.directory);
  notes.push(...tokenizer.broken.map(({ file, message }) => `${file}: ${message}`));
  const identity = await identify(checkpoint, config, manifest);
  const shape = modelShape(checkpoint.stateDict, config);
  const family = familyName(shape, config);
  const digests = options.digest === true ? await digestAll(stored, received, options) : null;
  const totals = totalsOf([...checkpoint.stateDict.values()]);
  return {
    path: checkpoint.path,
    repo: checkpoint.repo,
    commit: checkpoint.commit,
    identity,
    family,
    shape,
    parameters: totals.reduce((sum, { elements }) => sum + elements, 0),
    files: [...weightFiles(checkpoint, digests?.files ?? null), ...(await knownTokenizer(checkpoint, options.hub))],
    manifest:
      manifest === null ? null : { operation: manifest.operation, tool: manifest.tool, scheme: manifest.scheme },
    tokenizer: tokenizer.files,
    scheme:
      identity.kind === "diff"
        ? schemeOf(
            checkpoint,
            config,
            manifest,
            await fileNames(checkpoint.directory),
            await addedTokens(checkpoint.directory),
          )
        : null,
    tensors: [...checkpoint.stateDict].map(([key, { name, dtype, shape: sizes, shard }]): InspectedTensor => {
      const sha256 = digests?.tensors.get(key);
      return { name, dtype, shape: sizes, shard: shard.file, ...(sha256 === undefined ? {} : { sha256 }) };
    }),
    totals,
    coded: codedShares(stored),
    traps: await findTraps({ checkpoint, config, identity, family, shape, manifest, tokenizer: tokenizer.files }),
    notes,
  };
}

async function manifestBeside({ directory }: Checkpoint): Promise<Manifest | null> {
  if (directory === null) {
    return null;
  }
  try {
    return await readManifest(join(directory, MANIFEST));
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "NOT_FOUND") {
      return null;
    }
    throw error;
  }
}

/** The scheme that recover would choose. Without a base, the number of new rows is a guess: the rows beyond LLaMA's vocabulary. */
function schemeOf(
  diff: Checkpoint,
  config: ModelConfig | null,
  manifest: Manifest | null,
  files: readonly string[],
  tokens: readonly string[],
): InspectReport["scheme"] {
  if (manifest?.operation === "make-diff") {
    return { name: manifest.scheme, reason: "its manifest says so" };
  }
  const newRows = Math.max(0, rowsOfLlama(diff) - LLAMA_VOCABULARY);
  const said = { rawTied: null, diffTied: config?.tied ?? null };
  try {
    const { scheme, reason } = chooseScheme({
      diff,
      config,
      files,
      tokens,
      own: [],
      raw: null,
      said,
      newRows,
      line: null,
    });
    return { name: scheme.name, reason };
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "SCHEME_UNKNOWN") {
      return { name: null, reason: error.message };
    }
    throw error;
  }
}

const LLAMA_VOCABULARY = 32_000;

/** The number of rows in the embedding if the model has LLaMA's names, alone or beside a vision tower; otherwise 0. */
function rowsOfLlama({ stateDict }: Checkpoint): number {
  const names = [...stateDict.keys()];
  const has = (pattern: RegExp): boolean => names.some((name) => pattern.test(name));
  const embedding = [...stateDict].find(([name]) => /(^|\.)embed_tokens\.weight$/.test(name))?.[1];
  return has(/(^|\.)self_attn\.q_proj\.weight$/) && has(/gate_proj\.weight$/) ? (embedding?.shape[0] ?? 0) : 0;
}

interface Digests {
  readonly tensors: ReadonlyMap<string, string>;
  readonly files: ReadonlyMap<string, string>;
}

/** @throws {WeightDiffError} CRC_MISMATCH. */
async function digestAll(checkpoint: Checkpoint, received: Received | null, options: RunOptions): Promise<Digests> {
  const reading = received?.reading ?? (await readTensors(checkpoint, { ...options, wholeFiles: checkpoint.shards }));
  return { tensors: sha256ByName(reading), files: reading.files };
}

function weightFiles({ shards }: Checkpoint, digests: ReadonlyMap<string, string> | null): readonly InspectedFile[] {
  return shards.map(({ file, size, header }) => {
    const digest = digests?.get(file);
    const hints = filesOfSize(size).map(({ what }) => what);
    const hint = hints.length === 0 ? null : `perhaps ${hints.join(" or ")} (same size)`;
    const known = digest === undefined ? hint : (fileWithDigest(digest)?.what ?? null);
    const knownBy = known === null ? null : digest === undefined ? "size" : "digest";
    return { file, size, format: header.format, known, knownBy };
  });
}

/** tokenizer.model, if it is a published one. It is small, so it is always read. */
async function knownTokenizer(model: Checkpoint, hub: Hub): Promise<readonly InspectedFile[]> {
  const { directory, layout } = model;
  const file = TOKENIZER;
  const path =
    layoutNamed(layout).tokenizer === "above"
      ? ((await findMetaTokenizer(model, hub).catch(() => null))?.path ?? null)
      : directory === null
        ? null
        : join(directory, file);
  const digest = path === null ? null : await sha256Of(path).catch(() => null);
  const known = digest === null ? null : fileWithDigest(digest);
  return known === null
    ? []
    : [{ file, size: known.size ?? 0, format: "sentencepiece", known: known.what, knownBy: "digest" }];
}

function totalsOf(tensors: readonly StoredTensor[]): readonly DtypeTotal[] {
  const byDtype = new Map<Dtype, { dtype: Dtype; tensors: number; elements: number; bytes: number }>();
  for (const { dtype, shape, range, coded } of tensors) {
    const total = byDtype.get(dtype) ?? { dtype, tensors: 0, elements: 0, bytes: 0 };
    total.tensors++;
    total.elements += elementCount(shape) ?? 0;
    total.bytes += coded === true ? range.end - range.begin : (tensorBytes(dtype, shape) ?? 0);
    byDtype.set(dtype, total);
  }
  return [...byDtype.values()].sort((a, b) => b.bytes - a.bytes);
}
