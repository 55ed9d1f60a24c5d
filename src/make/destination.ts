/** The folder that a run writes to, and the small files that are copied into it from the inputs. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { type BaseFiles, type FromBase, fromBase } from "../checkpoint/from-base.js";
import { NO_SIDE_FILES, type SideFiles, sideFiles } from "../checkpoint/side-files.js";
import { STREAM } from "../files/pipe.js";
import { chooseMode, choosePartMode, type OutputMode } from "../output/choose-mode.js";
import type { PartNumber } from "../output/part-names.js";
import { isWeightFile } from "../output/state.js";
import { type InputPlace, refuseFullDisk, resolveOutput } from "../run/preflight.js";

export interface Destination extends SmallFiles {
  readonly path: string;
  readonly mode: OutputMode | "verify" | "stream";
}

export interface SmallFiles {
  /** Small files beside the driver's weights. */
  readonly side: SideFiles;
  /** Small files that are copied from the base because the driver lacks them; null where there are none. */
  readonly base: FromBase | null;
}

/** The checkpoints whose small files are copied. */
export interface SideSources {
  readonly raw: Checkpoint;
  /** The checkpoint whose config and side files are preferred. */
  readonly driver: Checkpoint;
  /** Where to find what the driver lacks. */
  readonly elseBase?: BaseFiles | null;
  /** Files beside its weights that are not copied, since the command writes its own. */
  readonly apart?: readonly string[];
}

/** What must be known of a run to judge its output folder. */
interface PlaceRequest {
  /** The output directory as the user wrote it; null writes nothing. */
  readonly output: string | null;
  /** The folders of the inputs, which the output must not overlap. */
  readonly sources: readonly InputPlace[];
  /** How many bytes will be written, and how many it would be in the smallest dtype that the user may choose. */
  readonly needs: { readonly bytes: number; readonly least: number };
  /** Null where no small files are copied. */
  readonly side: SideSources | null;
}

/**
 * Chooses and checks the output folder. All reasons to refuse it are checked here.
 * @param one the part to write; null for the whole output.
 * @returns null if nothing is to be written.
 * @throws {WeightDiffError} OUTPUT_REFUSED, DISK_FULL, NOT_WEIGHTS (a side file that is a placeholder), LINK_OUTSIDE, IO.
 */
export async function chooseDestination(
  { output, sources, needs, side }: PlaceRequest,
  wanted: OutputMode,
  one: { readonly part: PartNumber; readonly bytes: number } | null,
): Promise<Destination | null> {
  if (output === null) {
    return null;
  }
  if (output === STREAM) {
    return { path: STREAM, mode: "stream", side: NO_SIDE_FILES, base: null };
  }
  const path = await resolveOutput(output, sources);
  if (one !== null) {
    // Whoever puts the parts together copies the small files.
    const mode = await choosePartMode(path, one.part, wanted);
    if (mode !== "verify" && mode !== "resume") {
      await refuseFullDisk(path, one.bytes, one.bytes);
    }
    return { path, mode, side: NO_SIDE_FILES, base: null };
  }
  const mode = await chooseMode(path, wanted);
  const small = side === null ? { side: NO_SIDE_FILES, base: null } : await chooseSideFiles(side);
  if (mode === "new" || mode === "force") {
    await refuseFullDisk(path, needs.bytes, needs.least);
  }
  return { path, mode, ...small };
}

/** The output folder of a run whose parts are finished. @throws {WeightDiffError} as chooseDestination. */
export async function gatherDestination({ output, sources, side }: PlaceRequest): Promise<Destination> {
  const path = await resolveOutput(output ?? "", sources);
  const small = side === null ? { side: NO_SIDE_FILES, base: null } : await chooseSideFiles(side);
  return { path, mode: "resume", ...small };
}

async function chooseSideFiles({ driver, elseBase = null, apart = [] }: SideSources): Promise<SmallFiles> {
  const others = new Set([...driver.shards.map(({ file }) => file), ...apart]);
  const isOther = (name: string): boolean => others.has(name) || isWeightFile(name);
  const side = driver.directory === null ? NO_SIDE_FILES : await sideFiles(driver.directory, isOther);
  const base = elseBase === null ? null : await fromBase(side, elseBase);
  return { side, base };
}
