/**
 * A chain of weight updates in any layout. Its versions build on one another. Each is either a whole model, or holds the changes to some
 * tensors. docs/chains.md lists the layouts and the source of each rule.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ListedFile } from "../checkpoint/file-list.js";
import type { ShardFile } from "../checkpoint/shard.js";
import { type ChainFault, type ErrorCode, type ErrorDetails, WeightDiffError } from "../errors.js";
import type { Dtype } from "../formats/dtype.js";
import type { ByteRange, Shape } from "../formats/tensor-info.js";
import type { PositionList, StatedChecksum, StepCompression, StepEncoding } from "../formats/update.js";

export const CHAIN_LAYOUTS = ["slime", "stitch", "modelexpress", "skyrl", "trl", "fireworks"] as const;
/** Fireworks' names for its codecs: zlib, zstd, and a container. */
export const FIREWORKS_FORMATS = ["arc_v1", "arc_v2", "arc_v3"] as const;

export type ChainLayoutName = (typeof CHAIN_LAYOUTS)[number];

/** A range of bytes in a file of the chain. */
export interface StoredBytes {
  readonly shard: ShardFile;
  readonly range: ByteRange;
}

/** The change that one step makes to one tensor. */
export interface Payload extends StoredBytes {
  /** The name of the tensor that it changes. */
  readonly name: string;
  readonly encoding: StepEncoding;
  readonly compression: StepCompression;
  /** Null if the layout has no checksums of single tensors. */
  readonly checksum: StatedChecksum | null;
  /** Only for the encoding "elements": the new values, which are stored separately, and the form of the positions. */
  readonly values?: StoredBytes & { readonly dtype: Dtype };
  readonly positions?: PositionList;
  /** The tensor's dtype and shape, if the chain states them. */
  readonly dtype?: Dtype | undefined;
  readonly shape?: Shape | undefined;
}

/** Payloads by the name of the tensor: a Map, or a table that takes less memory. */
export interface Payloads
  extends Pick<ReadonlyMap<string, Payload>, "size" | "has" | "get" | "keys" | "values">,
    Iterable<readonly [string, Payload]> {
  /** May any payload state more of its tensor than the name? */
  readonly statesTensors: boolean;
  /** As stepBytes; -1 without a payload. A table makes no object for this, and none to tell whether there is a checksum. */
  bytesOf(name: string): number;
  hasSum(name: string): boolean;
}

export type VersionKind = "delta" | "full";

/** What a version states about itself. Its shards need not be opened for it. */
export interface VersionHead {
  readonly kind: VersionKind;
  /** The number of the version on which it is made; null for a full version. */
  readonly base: number | null;
  /** The name by which it calls that version, if no version here has that name. Then `base` is a guess, and 0 stands for the base, whatever its number. */
  readonly unnamed?: string;
  /** The encoding and the checksum as its index spells them; null if it has none. */
  readonly encoding: string | null;
  readonly checksum: string | null;
  /** The file that the publisher writes last, and its digest; null if there is none. */
  readonly index: { readonly file: ListedFile; readonly sha256: string } | null;
}

/** A version with its tensors. */
export interface Version extends VersionHead {
  readonly id: string;
  readonly number: number;
  /** Its folder or file, in the spelling of messages. */
  readonly place: string;
  readonly shards: readonly ShardFile[];
  /** Empty for a full version. */
  readonly payloads: Payloads;
  /** The model of a full version; null for an update. */
  readonly checkpoint: Checkpoint | null;
  /** The checksums by tensor that a full version states of itself. */
  readonly sums: ReadonlyMap<string, StatedChecksum>;
  /** sha256 over all tensors in the order of their names; null if the layout has none. */
  readonly whole: string | null;
  /** Must the update name every tensor of the model, even those that it does not change? */
  readonly every?: true;
  /** Oddities that do no harm. */
  readonly notes: readonly string[];
}

/** A version whose name is known. Nothing in it is read until somebody asks. */
export interface ListedVersion {
  readonly id: string;
  readonly number: number;
  readonly place: string;
  /** @throws {WeightDiffError} with `why`: "incomplete", "old-layout", "link" and so on. */
  head(): Promise<VersionHead>;
  /** @throws {WeightDiffError} with `why`. It lists everything that is wrong. */
  open(): Promise<Version>;
  /** Is the file missing that the publisher writes last? */
  isUnfinished(): Promise<boolean>;
}

export interface Chain {
  /** As the user wrote it. */
  readonly path: string;
  readonly directory: string;
  readonly repo: string | null;
  readonly commit: string | null;
  readonly layout: ChainLayoutName;
  /** Sorted by number. */
  readonly versions: readonly ListedVersion[];
  /** The version to which the publisher's pointer points, if there is a pointer; or the version whose own folder was given. */
  readonly pointer: number | null;
  /** Why the pointer cannot be followed. */
  readonly pointerFault?: WeightDiffError | null;
  /** May numbers be missing? Some publishers leave out a step that changes nothing. */
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
