/** Are base and result the published models? Only the hashes on their cards tell (xor/known.ts). */
import { type ListedFile, listFile } from "../../checkpoint/file-list.js";
import type { TensorResult } from "../../engine/job/result.js";
import { KEY_NAME } from "./base.js";
import { digestFile } from "./jobs.js";
import { expectedBase, KNOWN_KEY, type KnownSet, recognise } from "./known.js";
import type { XorFile } from "./look.js";
import type { XorOptions } from "./options.js";
import type { XorPlan } from "./plan.js";

/** The hash (hex) of the base: as the Hub lists it, or of the files on this disk. Null if everything would have to be fetched for it. */
async function hashOf(
  input: ListedFile,
  algorithm: KnownSet["algorithm"],
  options: XorOptions,
): Promise<string | null> {
  const { hub } = input;
  if (algorithm === "sha256" && hub !== undefined && hub.sha256 !== null) {
    return hub.sha256;
  }
  if (hub?.cached === false) {
    return null;
  }
  const here = hub === undefined ? input : await listFile(input.path);
  // This is not part of the run, so its progress is not shown as the run's.
  const { onProgress: _, ...quiet } = options;
  return (await digestFile(here, algorithm === "md5", quiet))[algorithm] ?? null;
}

/** Checks the hashes of known bases before the run. A base may be right without being on the list. @returns whether it is a known base. */
export async function checkBase(plan: XorPlan, options: XorOptions): Promise<boolean> {
  const key = plan.files.find(({ key: by }) => by?.rule === "chunks")?.key?.input;
  if (key !== undefined && key.size !== KNOWN_KEY.bytes) {
    options.onWarning?.(
      `${key.name}: has ${key.size} bytes; Meta's 7B ${KEY_NAME}, the key of all published .enc files, has ${KNOWN_KEY.bytes}`,
    );
    return false;
  }
  const known = expectedBase(plan.base.files);
  if (known === null) {
    return false;
  }
  const wrong: string[] = [];
  for (const input of plan.base.files.filter(({ file }) => known.files.has(file))) {
    const { file } = input;
    const found = await hashOf(input, known.algorithm, options);
    if (found === null) {
      return false;
    }
    if (found !== known.files.get(file)) {
      wrong.push(`${file} has ${known.algorithm} ${found}, expected ${known.files.get(file)}`);
    }
  }
  if (wrong.length === 0) {
    options.onNote?.(`the base is ${known.what}, byte for byte`);
  } else {
    options.onWarning?.(`${plan.base.path}: not ${known.what}: ${wrong.join("; ")}`);
  }
  return wrong.length === 0;
}

/** Is the result the published model? */
export function identifyResult(
  plan: XorPlan,
  results: ReadonlyMap<XorFile, TensorResult>,
  options: XorOptions,
): string | null {
  const likeness = recognise(new Map([...results].map(([{ file }, result]) => [file, result])));
  if (plan.direction === "encode" || likeness === null) {
    return null;
  }
  if (likeness.wrong.length > 0) {
    options.onWarning?.(
      `the result is ${likeness.known.what} but for ${likeness.wrong.join(", ")}: these have other hashes than on its card`,
    );
    return null;
  }
  return likeness.known.what;
}
