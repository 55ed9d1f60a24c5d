/**
 * Does the base already have the rows of the diff's added tokens? Then somebody extended it when it was converted or tuned, and its own
 * rows are used where the user may expect a mean row. Only the tokenizer files show this; shapes do not.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { readTokenizer } from "../checkpoint/tokenizer.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";

const ADDED = "added_tokens.json";
/** Added tokens are at the end of a vocabulary, which may be padded. */
const AT_THE_END = 64;

/** A note about a base with as many vocabulary rows as the diff; null if nothing is odd. @throws {WeightDiffError} IO. */
export async function rowsKept(raw: Checkpoint, diff: Checkpoint): Promise<string | null> {
  const rows = [...raw.stateDict].find(([name]) => INPUT_EMBEDDING.test(name))?.[1].shape[0] ?? 0;
  const { files } = diff.directory === null ? { files: [] } : await readTokenizer(diff.directory);
  const id = files.find(({ file }) => file === ADDED)?.highestId ?? -1;
  return id >= Math.max(0, rows - AT_THE_END) && id < rows
    ? `the base already has ${rows} vocabulary rows, that of the diff's added token ${id} (${ADDED}) among them: its own rows are used, no mean row`
    : null;
}
