/** The models of versions 0 to 4 of a vector: NaN, -0, F8, an empty step, a tensor that returns to its first value. */
import { join } from "node:path";
import { chainMaterialize } from "../../src/commands/chain/materialize.js";
import { CHAINS } from "./chains.js";

/** @param folder takes those of versions 1 to 4. @returns where each is, by version. */
export async function vectorModels(folder: string): Promise<readonly string[]> {
  const base = join(CHAINS, "base");
  const made = [base];
  for (let to = 1; to <= 4; to++) {
    const tuned = join(folder, `model-${to}`);
    await chainMaterialize({ chain: join(CHAINS, "good/xor-xxh3"), raw: base, tuned, to, onNote() {}, onWarning() {} });
    made.push(tuned);
  }
  return made;
}
