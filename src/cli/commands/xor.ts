/** xor: its flags' options -> whole files, XORed -> a few lines, or a document for scripts. */
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

/** A model to be encoded is no payload yet: the original's rule for all files unless another is asked for. */
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
