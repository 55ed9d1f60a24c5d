/** completion: the completion script for a shell. */

import type { Asked } from "../flags/flag.js";
import { completionScript } from "../pages/completion.js";
import type { During } from "./story.js";

export async function run({ shell }: Asked["completion"], _: During, print: (text: string) => void): Promise<number> {
  print(completionScript(shell));
  return 0;
}
