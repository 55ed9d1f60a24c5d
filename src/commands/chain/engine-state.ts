/** What an engine leaves beside a checkpoint that it changes in place: which version it is, and whether it was still at it. */
import { join } from "node:path";
import { fieldsOf, numberOf } from "../../chain/small-file.js";
import { isHeld } from "../../files/held.js";
import { readText } from "../../files/small-files.js";
import { parseJson } from "../../formats/json.js";

/** sglang's local_checkpoint.py, in slime 624b824a's docker/patch/latest/sglang-pull_weights.patch; SkyRL a9564572, delta_checkpoint.py. */
const PLACES = [".weight_sync", ".skyrl_weight_sync"] as const;
const STATE = "state.json";
const LOCK = "lock";
const MOST_BYTES = 100_000;

export interface EngineState {
  readonly file: string;
  /** Null where it does not say. */
  readonly version: number | null;
  /** It was stopped while it wrote. */
  readonly half: boolean;
}

/** Null where there is none, or one that says nothing. */
export async function engineState(directory: string): Promise<EngineState | null> {
  for (const place of PLACES) {
    const file = join(directory, place, STATE);
    const record = await readText(file, MOST_BYTES, directory)
      .then((text) => fieldsOf(parseJson(text, file, "python")))
      .catch(() => null); // the checksums decide alone then
    if (record !== null) {
      const half = record.get("write_in_progress") === true || record.get("valid") === false;
      return { file, version: numberOf(record.get("version")), half };
    }
  }
  return null;
}

/** The lock that an engine holds while it changes the files; null where nobody is known to hold one. */
export async function heldLock(directory: string): Promise<string | null> {
  for (const place of PLACES) {
    const file = join(directory, place, LOCK);
    if (await isHeld(file)) {
      return file;
    }
  }
  return null;
}
