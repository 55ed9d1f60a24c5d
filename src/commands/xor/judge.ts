/**
 * Does the base fit the payload? XOR with another base gives noise. That shows in the beginning of every file, and in the header of every
 * weight file. Only hashes reveal another base of the same layout. Also looks for other causes of a mismatch.
 */

import { WeightDiffError } from "../../errors.js";
import { FILE_HEAD, type FilePromise, headText, promiseOf } from "../../formats/file-start.js";
import { checkJson } from "../../formats/json.js";
import { printable } from "../../formats/quote.js";
import { KEY_NAME } from "./base.js";
import { asItIs, beginningOf, headerOf, isLegible, jsonError, MAX_JSON, type XorFile } from "./look.js";

/** Does the base fit? Looks at the beginning of the result, at the whole of a JSON file, and at the header of a weight file. */
export async function judge(file: XorFile, notes: string[]): Promise<XorFile> {
  const promise = promiseOf(file.file);
  if (file.key === null || promise === null) {
    return file;
  }
  const head = await beginningOf(file, FILE_HEAD);
  if (!promise.holds(head)) {
    throw await wrongBase(file, promise, `it would begin with ${headText(head)}`);
  }
  if (promise.kind === "json") {
    const reason = await jsonError(file);
    if (reason !== null) {
      throw await wrongBase(file, promise, reason);
    }
  }
  if (promise.kind !== "weights" || file.gzip !== null) {
    return file;
  }
  try {
    const { tensors } = await headerOf(file);
    const records = new Map(
      tensors.flatMap(({ record }) => (record === undefined ? [] : [[record.range.begin, record]])),
    );
    return { ...file, records: [...records.values()] };
  } catch (error) {
    if (!(error instanceof WeightDiffError) || error.kind !== "input" || error.code === "INPUT_CHANGED") {
      throw error;
    }
    const reason = error.fact;
    if (error.code === "FORMAT_UNSUPPORTED" || error.code === "PICKLE_GLOBAL") {
      notes.push(`${printable(file.file)}: recovered without a look at its tensors: ${reason}`);
      return file;
    }
    throw await wrongBase(file, promise, reason);
  }
}

/**
 * Refuses a payload file that is a model's file already: there is nothing to decode, or the inputs are swapped (XOR gives no error then).
 */
export async function refuseWhole(file: XorFile, raw: string): Promise<void> {
  const promise = promiseOf(file.file);
  if (file.key === null || promise?.kind !== "weights" || file.gzip !== null) {
    return;
  }
  const own = await beginningOf({ ...file, key: null }, FILE_HEAD);
  if (!promise.holds(own)) {
    return;
  }
  throw promise.holds(await beginningOf(asItIs(file.key.input), FILE_HEAD))
    ? new WeightDiffError(
        "NOT_A_DIFF",
        `is ${promise.what} already, no payload`,
        "nothing is to be recovered from it",
        {
          at: { file: file.payload.name },
          advice: [{ to: "make a payload of it", option: "direction", value: "encode" }],
        },
      )
    : new WeightDiffError(
        "NOT_A_DIFF",
        `base and payload are swapped: ${file.payload.name} is ${promise.what}, ${file.key.input.name} is not`,
        `give them the other way round: the base is the directory of ${file.payload.name}, the payload is ${raw}`,
      );
}

/** Both sides must be what their names promise; otherwise the payload would be useless. */
export async function refuseEncoding(file: XorFile, raw: string): Promise<void> {
  const promise = promiseOf(file.file);
  if (promise?.kind !== "weights") {
    return;
  }
  for (const [input, role] of [
    [file.payload, "the model"],
    [file.key?.input ?? file.payload, `the base ${raw}`],
  ] as const) {
    const head = await beginningOf(asItIs(input), FILE_HEAD);
    if (!promise.holds(head)) {
      throw new WeightDiffError(
        "NOT_A_MODEL",
        `is not ${promise.what}, as one of ${role} should be: it begins with ${headText(head)}`,
        "give two models: the fine-tuned one, then the base that everybody can get; a payload is decoded, not encoded",
        { at: { file: input.name } },
      );
    }
  }
}

async function wrongBase(file: XorFile, promise: FilePromise, reason: string): Promise<WeightDiffError> {
  const { input, rule } = file.key ?? { input: file.payload, rule: "same-place" };
  if (promise.kind === "json" && (await isMangled(file))) {
    return new WeightDiffError(
      "FORMAT_INVALID",
      "damaged by git: its line feeds were turned into CR LF, as git on Windows does with text files; with LF alone it decodes",
      "clone again with git -c core.autocrlf=false clone …, or download the file with a browser",
      { at: { file: file.payload.name } },
    );
  }
  const legible = promise.kind === "json" && (await isLegible(asItIs(file.payload)));
  if (legible) {
    return new WeightDiffError(
      "MISMATCH",
      "is plain JSON text, not XORed with the base",
      "Pygmalion's later uploads are like this",
      {
        at: { file: file.payload.name },
        advice: [{ to: "copy such files", option: "scheme", value: "pygmalion" }],
      },
    );
  }
  const exact =
    rule === "chunks"
      ? `the key must be Meta's own 7B ${KEY_NAME}, 13476939516 bytes, sha256 700df0d3…9f33d`
      : "the base must be, byte for byte, what the publisher had: LLaMA converted by transformers at d04ec99b with torch 1.13.1 (see the model's card); other versions write other bytes";
  return new WeightDiffError(
    "MISMATCH",
    `not the file that the payload was made with: with it, ${printable(file.file)} would not be ${promise.what}: ${reason}`,
    exact,
    { at: { file: input.name }, advice: [{ to: "go on all the same", option: "ignore", value: "wrong-base" }] },
  );
}

/** Would the payload decode if each CR LF were an LF again? */
async function isMangled(file: XorFile): Promise<boolean> {
  if (file.gzip !== null || file.key === null || file.payload.size > MAX_JSON) {
    return false;
  }
  const bytes = Buffer.from(await beginningOf({ ...file, key: null }, MAX_JSON));
  const mended = Buffer.from(bytes.toString("latin1").replaceAll("\r\n", "\n"), "latin1");
  if (mended.length === bytes.length) {
    return false;
  }
  const key = Buffer.from(await beginningOf(asItIs(file.key.input), MAX_JSON));
  const text = mended.map((byte, at) => byte ^ (key[at] ?? 0));
  try {
    checkJson(text, file.file);
    return true;
  } catch {
    return false; // damaged in another way
  }
}
