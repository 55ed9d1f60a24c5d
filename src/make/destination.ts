/** Where a run's output goes, and which small files of its inputs go along. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { type SideFile, type SideFiles, sideFiles } from "../checkpoint/side-files.js";
import { chooseMode, type OutputMode } from "../output/choose-mode.js";
import { isWeightFile } from "../output/state.js";
import { type InputPlace, refuseFullDisk, resolveOutput } from "../run/preflight.js";

export interface Destination {
  readonly path: string;
  readonly mode: OutputMode | "verify";
  /** Beside the driver's weights. */
  readonly side: SideFiles;
  /** The base's tokenizer files, where they are wanted and the driver has none. */
  readonly fromBase: readonly SideFile[];
}

/** Whose small files go along. */
export interface SideSources {
  readonly raw: Checkpoint;
  /** Its config and side files come first. */
  readonly driver: Checkpoint;
  /** Is a tokenizer that the driver lacks the base's? */
  readonly elseBase?: boolean;
  /** Names beside its weights that the command sees to. */
  readonly apart?: readonly string[];
}

/** What is asked of the place. */
export interface PlaceRequest {
  /** The output directory as the user wrote it; null writes nothing. */
  readonly output: string | null;
  /** The inputs' places, which the output must not touch. */
  readonly sources: readonly InputPlace[];
  /** Bytes to be written, and how few they could be in another dtype. */
  readonly needs: { readonly bytes: number; readonly least: number };
  /** Null where no small files go along. */
  readonly side: SideSources | null;
}

/** What makes a tokenizer; without one of these a directory has none. */
const TOKENIZER = /^(tokenizer\.(model|json)|vocab\.(json|txt))$/;
const TOKENIZER_FILE = /^(tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges.*|chat_template.*)$/;

/**
 * Where the output goes; null if nothing is to be written. Everything that could refuse it is checked here.
 * @throws {WeightDiffError} OUTPUT_REFUSED, DISK_FULL, NOT_WEIGHTS (a side file that is a placeholder), LINK_OUTSIDE, IO.
 */
export async function chooseDestination(
  { output, sources, needs, side }: PlaceRequest,
  wanted: OutputMode,
): Promise<Destination | null> {
  if (output === null) {
    return null;
  }
  const path = await resolveOutput(output, sources);
  const mode = await chooseMode(path, wanted);
  const small = side === null ? NO_SIDE_FILES : await chooseSideFiles(side);
  if (mode === "new" || mode === "force") {
    await refuseFullDisk(path, needs.bytes, needs.least);
  }
  return { path, mode, ...small };
}

const NO_SIDE_FILES: Pick<Destination, "side" | "fromBase"> = { side: { copied: [], left: [] }, fromBase: [] };

async function chooseSideFiles({
  raw,
  driver,
  elseBase = false,
  apart = [],
}: SideSources): Promise<Pick<Destination, "side" | "fromBase">> {
  const others = new Set([...driver.shards.map(({ file }) => file), ...apart]);
  const isOther = (name: string): boolean => others.has(name) || isWeightFile(name);
  const side = driver.directory === null ? NO_SIDE_FILES.side : await sideFiles(driver.directory, isOther);
  const wants = elseBase && raw.directory !== null && !side.copied.some(({ file }) => TOKENIZER.test(file));
  const { copied } = wants ? await sideFiles(raw.directory, isOther) : { copied: [] };
  const own = new Set(side.copied.map(({ file }) => file));
  return { side, fromBase: copied.filter(({ file }) => TOKENIZER_FILE.test(file) && !own.has(file)) };
}
