/** How verify checks files in Meta's layout: are they the files that Meta released, each in its place? */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { AddFinding } from "../finding.js";
import { fileWithDigest, KNOWN_FILES } from "../known/files.js";
import type { Reading } from "../run/digest.js";

/** @param family the model's name by its sizes, for example "LLaMA 13B"; null for an unknown model. */
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
      report("error", `is ${known.what}: expected ${name}`, { file });
    } else if (known !== null) {
      report("note", `is ${known.what}, by its sha256`, { file });
    } else if (found !== undefined && listed) {
      report("warning", `is not ${name}: its sha256 is another one; perhaps it was saved again`, { file });
    }
  }
}

/** The name in known/files.ts; null if the family was never released. */
function releasedName(family: string | null, part: number, parts: number): string | null {
  const model = family === null || !/^LLaMA \d+B$/.test(family) ? null : `${family} as Meta released it`;
  return model === null ? null : parts === 1 ? model : `${model}, file ${part + 1} of ${parts}`;
}
