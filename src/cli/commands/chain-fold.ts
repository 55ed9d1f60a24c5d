/** chain fold: from its flags' options to one version in place of several, and the result as text or JSON. */
import { chainFold } from "../../commands/chain/fold.js";
import type { Asked } from "../flags/flag.js";
import { json } from "../output/json.js";
import { updateJson, updateText } from "../output/update-text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["chain-fold"],
  during: During,
  print: (text: string) => void,
  library = { chainFold },
): Promise<number> {
  const report = await library.chainFold({ ...options, ...during });
  print(look.format === "json" ? json(updateJson(report, "chain fold")) : updateText(report, "folded"));
  return 0;
}
