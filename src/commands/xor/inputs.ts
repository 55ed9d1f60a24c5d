/** What an XOR run reads, made ready to be read: files of the Hub come into the cache first, or are left to be read by range. */
import type { ListedFile } from "../../checkpoint/file-list.js";
import type { XorInput } from "../../engine/work/xor.js";
import { provideInputs } from "../../run/inputs.js";
import type { XorOptions } from "./options.js";
import type { XorPlan } from "./plan.js";

/** Every file that the plan reads, once: one key may serve them all. */
export function inputsOf({ files }: XorPlan): readonly ListedFile[] {
  return [...new Set(files.flatMap(({ payload, key }) => (key === null ? [payload] : [payload, key.input])))];
}

/**
 * The files as they are opened, by how they were listed.
 * @param output where how many bytes are to be written, so that cache and output together fit the disk.
 * @throws {WeightDiffError} DISK_FULL before anything is fetched; HUB_…, NETWORK, IO, INTERRUPTED.
 */
export async function provideXorInputs(
  plan: XorPlan,
  options: XorOptions,
  output: { readonly path: string; readonly bytes: number } | null,
): Promise<ReadonlyMap<ListedFile, XorInput>> {
  const files = inputsOf(plan);
  const ready = await provideInputs(files, options, output);
  return new Map(
    files.flatMap((file, index) => {
      const input = ready[index];
      // What is read by range has no path that would mean anything to the user.
      return input === undefined ? [] : [[file, input.remote === undefined ? input : { ...input, path: file.name }]];
    }),
  );
}
