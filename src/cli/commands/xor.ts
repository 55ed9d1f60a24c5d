/** xor: from its flags' options to whole XORed files, and the result as text or JSON. */
import { xor } from "../../commands/xor.js";
import { DEFAULTS } from "../../plan/defaults.js";
import type { Asked } from "../flags/flag.js";
import { usage } from "../flags/given.js";
import { xorJson, xorText } from "../output/xor-report.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, ...options }: Asked["xor"],
  during: During,
  print: (text: string) => void,
  library = { xor },
): Promise<number> {
  const report = await library.xor({ ...options, ...schemeOf(options), ...during });
  print((look.format === "json" ? xorJson : xorText)(report, "xor"));
  return 0;
}

/**
 * A model that is to be encoded is no payload yet, so nothing tells its rule. Unless another is asked for, it is the original one, for all
 * files.
 */
function schemeOf({ direction, scheme = DEFAULTS.scheme }: Pick<Asked["xor"], "direction" | "scheme">): {
  readonly scheme?: string;
} {
  if (direction !== "encode") {
    return {};
  }
  if (scheme === "point-alpaca") {
    throw usage(
      "--encode makes no .enc files",
      "xor",
      "use --scheme oa-xor or pygmalion: those payloads need the base in the same format, and can be checked before they are used",
    );
  }
  return { scheme: scheme === DEFAULTS.scheme ? "oa-xor" : scheme };
}
