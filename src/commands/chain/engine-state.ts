/** Reads what an engine leaves beside a checkpoint that it changes in place: which version the checkpoint is, and whether a change was interrupted. */
import { basename, dirname, join } from "node:path";
import { fieldsOf, numberOf } from "../../chain/small-file.js";
import { isHeld } from "../../files/held.js";
import { readText } from "../../files/small-files.js";
import { parseJsonMaps } from "../../formats/json.js";

/**
 * Where engines keep their state and their lock. sglang keeps them in the checkpoint (local_checkpoint.py, in slime 624b824a's docker/patch/latest/sglang-pull_weights.patch), SkyRL beside the folder
 * `weights`, which is the checkpoint (a9564572, delta_checkpoint.py 107-108, 553-559).
 */
function placesOf(directory: string): readonly { readonly folder: string; readonly lock: string }[] {
  return [
    { folder: join(directory, ".weight_sync"), lock: "lock" },
    ...(basename(directory) === "weights"
      ? [{ folder: join(dirname(directory), ".skyrl_weight_sync"), lock: "writer.lock" }]
      : []),
  ];
}
const STATE = "state.json";
const MOST_BYTES = 100_000;

export interface EngineState {
  readonly file: string;
  /** Null if it does not say. */
  readonly version: number | null;
  /** Was the engine stopped while it wrote? */
  readonly half: boolean;
}

/** Null if there is no state, or none that can be read. */
export async function engineState(directory: string): Promise<EngineState | null> {
  for (const { folder } of placesOf(directory)) {
    const file = join(folder, STATE);
    const record = await readText(file, MOST_BYTES, dirname(folder))
      .then((text) => fieldsOf(parseJsonMaps(text, file, "python")))
      .catch(() => null); // then only the checksums decide
    if (record !== null) {
      const half = record.get("write_in_progress") === true || record.get("valid") === false;
      return { file, version: numberOf(record.get("version")), half };
    }
  }
  return null;
}

/** The lock that an engine holds while it changes the files; null if nobody is known to hold one. */
export async function heldLock(directory: string): Promise<string | null> {
  for (const { folder, lock } of placesOf(directory)) {
    const file = join(folder, lock);
    if (await isHeld(file)) {
      return file;
    }
  }
  return null;
}
