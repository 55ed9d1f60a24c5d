/** Names for one part of a run on several machines: its own folder in the staging folder, with a file that tells its progress. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isMissing, runError } from "../files/errno.js";
import { hasOwnFile, hasOwnFolder } from "../files/own.js";
import { JOURNAL, STAGING } from "./journal.js";

/** Which part of how many. */
export interface PartNumber {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** More parts than any model has files. */
export const MOST_PARTS = 10_000;

const PART = /^part-(\d{5})-of-(\d{5})$/;
export const STATE_FILE = "state";
export const STATE_DRAFT = `${STATE_FILE}.new`;

/** The name of the part's folder. */
export function partName({ index, count }: PartNumber): string {
  const number = (n: number): string => String(n).padStart(5, "0");
  return `part-${number(index)}-of-${number(count)}`;
}

/** For example "3/7", as the user writes it. */
export function partText({ index, count }: PartNumber): string {
  return `${index}/${count}`;
}

/** The part to which a folder of this name belongs; null if it belongs to none. */
function parsePartName(name: string): PartNumber | null {
  const [, index, count] = PART.exec(name) ?? [];
  const part = { index: Number(index), count: Number(count) };
  return index !== undefined && part.index < part.count ? part : null;
}

/** Files of this folder that do not belong to the output: the progress, and its draft while it is written. */
export const STATE_FILES: readonly string[] = [STATE_FILE, STATE_DRAFT];

/** The parts that have a folder in the output directory, in order. */
export async function partsIn(path: string): Promise<readonly PartNumber[]> {
  const staging = join(path, STAGING);
  const isThere = await hasOwnFolder(staging).catch((error: unknown) => {
    throw runError(staging, "look at", error);
  });
  if (!isThere) {
    return [];
  }
  const names = await readdir(staging).catch((error: unknown) => {
    if (isMissing(error)) {
      return [];
    }
    throw runError(staging, "list", error);
  });
  return names.flatMap((name) => parsePartName(name) ?? []).sort((a, b) => a.count - b.count || a.index - b.index);
}

/** Was this part begun? A folder without a journal does not count. */
export async function isBegun(path: string, part: PartNumber): Promise<boolean> {
  const folder = join(path, STAGING, partName(part));
  return (await hasOwnFolder(folder)) && (await hasOwnFile(join(folder, JOURNAL)));
}
