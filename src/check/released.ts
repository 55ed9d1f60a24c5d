/** How verify checks files in Meta's layout: are they those that Meta released, each in its place? */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { AddFinding } from "../finding.js";
import { fileWithDigest, KNOWN_FILES } from "../known/files.js";
import type { Reading } from "../run/digest.js";

/** @param family what the model is called by its sizes, as "LLaMA 13B"; null for an unknown one. */
export function checkReleased(
  { shards }: Checkpoint,
  reading: Reading,
  family: string | null,
  report: AddFinding,
): void {
  for (const [part, { file }] of shards.entries()) {
    const found = reading.files.get(file);
    const known = found === undefined ? null : fileWithDigest(found);
    const name = releasedName(family, part, shards.length);
    const listed = name !== null && KNOWN_FILES.some(({ what }) => what === name);
    if (known !== null && name !== null && known.what !== name) {
      report("error", `is ${known.what}: expected is ${name}`, { file });
    } else if (known !== null) {
      report("note", `is ${known.what}, by its sha256`, { file });
    } else if (found !== undefined && listed) {
      report("warning", `is not ${name}: its sha256 is another one; perhaps it was saved again`, { file });
    }
  }
}

/** As known/files.ts calls it; null where the family is no released one. */
function releasedName(family: string | null, part: number, parts: number): string | null {
  const model = family === null || !/^LLaMA \d+B$/.test(family) ? null : `${family} as Meta released it`;
  return model === null ? null : parts === 1 ? model : `${model}, file ${part + 1} of ${parts}`;
}
