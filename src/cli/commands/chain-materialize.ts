/** chain materialize: from its flags' options to the model of a version, and the result as text or JSON. */
import { chainMaterialize } from "../../commands/chain/materialize.js";
import type { Asked } from "../flags/flag.js";
import { materializeJson, materializeText } from "../output/chain-text.js";
import { json } from "../output/json.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["chain-materialize"],
  during: During,
  print: (text: string) => void,
  library = { chainMaterialize },
): Promise<number> {
  const report = await library.chainMaterialize({ ...options, ...during });
  print(look.format === "json" ? json(materializeJson(report, "chain materialize")) : materializeText(report));
  return 0;
}
