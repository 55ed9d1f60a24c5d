/** What an error advises, in flags: below here an error names options, and nobody knows how they are spelled. */
import type { Advice, WeightDiffError } from "../errors.js";

/** Option -> flag; where a value has a flag of its own, `option=value` -> flag. */
const FLAGS: Readonly<Record<string, string>> = {
  "mode=resume": "--resume",
  "mode=force": "--force",
  ignore: "--ignore",
  dtype: "--dtype",
  maxShardSize: "--max-shard-size",
  threads: "--threads",
  "hub.cache=null": "--no-cache",
  "hub.tokenFile": "--token-file",
  scheme: "--scheme",
  encoding: "--encoding",
  rows: "--rows",
  raw: "--path_raw",
  "directIo=false": "--no-direct-io",
};

/** What to do, the error's hint and its advice in one sentence; undefined if there is neither. */
export function hintText({ hint, advice }: WeightDiffError): string | undefined {
  let text = hint;
  for (const piece of advice) {
    const flag = flagText(piece);
    if (flag !== undefined) {
      text = text === undefined ? "" : `${text}, ${piece.afterwards === true ? "then" : "or"} `;
      text += `${piece.to} with ${flag}`;
    }
  }
  return text;
}

function flagText({ option, value }: Advice): string | undefined {
  const own = FLAGS[`${option}=${value}`];
  const flag = FLAGS[option];
  return own ?? (flag === undefined || value === undefined ? flag : `${flag} ${value}`);
}
