/**
 * A chain of weight updates, whatever the layout: versions that build on one another, each a whole model or what changed in some of
 * its tensors. docs/chains.md has the layouts, and where each rule comes from.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ListedFile } from "../checkpoint/file-list.js";
import type { ShardFile } from "../checkpoint/shard.js";
import { type ChainFault, type ErrorCode, type ErrorDetails, WeightDiffError } from "../errors.js";
import type { Dtype } from "../formats/dtype.js";
import type { ByteRange, Shape } from "../formats/tensor-info.js";
import type { PositionList, StatedChecksum, StepCompression, StepEncoding } from "../formats/update.js";

export const CHAIN_LAYOUTS = ["slime", "stitch", "modelexpress", "skyrl", "trl", "fireworks"] as const;
/** What Fireworks calls its codecs: zlib, zstd, and a container. */
export const FIREWORKS_FORMATS = ["arc_v1", "arc_v2", "arc_v3"] as const;

export type ChainLayoutName = (typeof CHAIN_LAYOUTS)[number];

/** Bytes of a file of the chain. */
export interface StoredBytes {
  readonly shard: ShardFile;
  readonly range: ByteRange;
}

/** What a step does to one tensor. */
export interface Payload extends StoredBytes {
  /** Of the tensor that it changes. */
  readonly name: string;
  readonly encoding: StepEncoding;
  readonly compression: StepCompression;
  /** Null where the layout has none. */
  readonly checksum: StatedChecksum | null;
  /** Of "elements": the new values, which lie apart, and what the positions are. */
  readonly values?: StoredBytes & { readonly dtype: Dtype };
  readonly positions?: PositionList;
  /** What the chain says of the tensor, where it says it. */
  readonly dtype?: Dtype | undefined;
  readonly shape?: Shape | undefined;
}

/** By tensor: a Map, or what takes less memory. */
export type Payloads = Pick<ReadonlyMap<string, Payload>, "size" | "has" | "get" | "keys" | "values"> &
  Iterable<readonly [string, Payload]>;

export type VersionKind = "delta" | "full";

/** What a version says of itself, before its shards are opened. */
export interface VersionHead {
  readonly kind: VersionKind;
  /** The version it is made on; of a full one null. */
  readonly base: number | null;
  /** What it calls that version, where no version here has the name: `base` is then a guess, and 0 stands for the base, whatever its number. */
  readonly unnamed?: string;
  /** As its index spells its encoding and checksums; null where it has none. */
  readonly encoding: string | null;
  readonly checksum: string | null;
  /** The file that is written last, and its digest; null where there is none. */
  readonly index: { readonly file: ListedFile; readonly sha256: string } | null;
}

/** A version with its tensors. */
export interface Version extends VersionHead {
  readonly id: string;
  readonly number: number;
  /** Its folder or file, as messages name it. */
  readonly place: string;
  readonly shards: readonly ShardFile[];
  /** Empty of a full version. */
  readonly payloads: Payloads;
  /** A full version as a model; null of an update. */
  readonly checkpoint: Checkpoint | null;
  /** Of a full version that states them: by tensor. */
  readonly sums: ReadonlyMap<string, StatedChecksum>;
  /** sha256 over all tensors in the order of their names, where the layout has that. */
  readonly whole: string | null;
  /** Does an update name every tensor of the model, those that it does not change, too? */
  readonly every?: true;
  /** What is odd and harmless. */
  readonly notes: readonly string[];
}

/** A version by name: nothing of it is read before it is asked for. */
export interface ListedVersion {
  readonly id: string;
  readonly number: number;
  readonly place: string;
  /** @throws {WeightDiffError} with `why`: "incomplete", "old-layout", "link" and so on. */
  head(): Promise<VersionHead>;
  /** @throws {WeightDiffError} with `why`; all that is wrong is listed. */
  open(): Promise<Version>;
  /** Is what is written last not there yet? */
  isUnfinished(): Promise<boolean>;
}

export interface Chain {
  /** As the user wrote it. */
  readonly path: string;
  readonly directory: string;
  readonly repo: string | null;
  readonly commit: string | null;
  readonly layout: ChainLayoutName;
  /** By number, ascending. */
  readonly versions: readonly ListedVersion[];
  /** The version that the publisher points at, where the layout has a pointer; or that the user named. */
  readonly pointer: number | null;
  /** Why it cannot be followed. */
  readonly pointerFault?: WeightDiffError | null;
  /** May numbers be missing, since a step that changes nothing is not published? */
  readonly gaps?: true;
  readonly notes: readonly string[];
}

/** An error about a chain. */
export function chainError(
  why: ChainFault,
  fact: string,
  hint: string | undefined,
  at: ErrorDetails["at"] & object,
  details: Omit<ErrorDetails, "at" | "why"> = {},
): WeightDiffError {
  return new WeightDiffError(CODES[why] ?? "FORMAT_INVALID", fact, hint, { ...details, at, why });
}

const CODES: Readonly<Partial<Record<ChainFault, ErrorCode>>> = {
  "already-applied": "MISMATCH",
  "base-unreachable": "MISMATCH",
  checksum: "CHECK_FAILED",
  "index-missing-shard": "NOT_FOUND",
  "old-layout": "FORMAT_UNSUPPORTED",
  pickle: "PICKLE_GLOBAL",
  "unknown-checksum": "FORMAT_UNSUPPORTED",
  "unknown-compression": "FORMAT_UNSUPPORTED",
  "unknown-encoding": "FORMAT_UNSUPPORTED",
  "unknown-tensor": "MISMATCH",
  "version-gap": "NOT_FOUND",
  "wrong-base": "MISMATCH",
};

/** "000004": as the publishers write it. */
export function versionText(number: number): string {
  return String(number).padStart(6, "0");
}

/** An error about the chain itself, which can be told together with others. @throws {unknown} every other error. */
export function faultOf(error: unknown): WeightDiffError & { readonly why: ChainFault } {
  if (isFault(error)) {
    return error;
  }
  throw error;
}

function isFault(error: unknown): error is WeightDiffError & { readonly why: ChainFault } {
  return error instanceof WeightDiffError && error.why !== null;
}

/** Makes one error of several: the first one, with the messages of all as its problems. */
export function together(errors: readonly WeightDiffError[]): WeightDiffError {
  const [first] = errors;
  if (first === undefined || errors.length === 1) {
    return first ?? new WeightDiffError("FORMAT_INVALID", "unusable");
  }
  return new WeightDiffError(first.code, first.fact, first.hint, {
    at: first.at,
    why: first.why,
    advice: first.advice,
    problems: errors.map(({ message }) => message),
    cause: new AggregateError(errors),
  });
}

/** The errors that `together` made one of; null for any other error. */
export function separated(error: unknown): readonly unknown[] | null {
  return error instanceof WeightDiffError && error.cause instanceof AggregateError ? error.cause.errors : null;
}
