/** sign: from its flags' options to the signature, and the result as text or JSON. */
import { type SignReport, sign } from "../../commands/sign.js";
import { printable } from "../../formats/quote.js";
import type { Asked } from "../flags/flag.js";
import { json } from "../output/json.js";
import { countText } from "../output/text.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, hub: _, ...options }: Asked["sign"],
  { signal, onProgress }: During,
  print: (text: string) => void,
  library = { sign },
): Promise<number> {
  const report = await library.sign({ ...options, signal, onProgress });
  print((look.format === "json" ? signJson : signText)(report));
  return 0;
}

function signText({ path, key, files, recovers }: SignReport): string {
  const tensors = recovers === 0 ? "" : `, and the digests of the ${countText(recovers, "tensor")} that it recovers`;
  return `signed ${countText(files, "file")}${tensors} in ${printable(path)}\n  key      ${key}\n`;
}

function signJson({ path, ...report }: SignReport): string {
  return json({ command: "sign", signature: path, ...report });
}
