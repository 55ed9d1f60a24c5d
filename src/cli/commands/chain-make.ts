/** chain make: from its flags' options to the next version of a chain, and the result as text or JSON. */
import { chainMake } from "../../commands/chain/make.js";
import type { Asked } from "../flags/flag.js";
import { json } from "../output/json.js";
import { updateJson, updateText } from "../output/update-text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["chain-make"],
  during: During,
  print: (text: string) => void,
  library = { chainMake },
): Promise<number> {
  const report = await library.chainMake({ ...options, ...during });
  print(look.format === "json" ? json(updateJson(report, "chain make")) : updateText(report, "made"));
  return 0;
}
