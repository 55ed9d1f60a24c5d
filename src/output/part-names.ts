/** What belongs to one part of a run on several machines: a folder of its own in the staging folder, with a file that says how far it is. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isMissing, runError } from "../files/errno.js";
import { hasOwnFile, hasOwnFolder } from "../files/own.js";
import { JOURNAL, STAGING } from "./journal.js";

/** Which of how many parts. */
export interface PartNumber {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** More parts than any model has files. */
export const MOST_PARTS = 10_000;

const PART = /^part-(\d{5})-of-(\d{5})$/;
export const STATE = "state";
export const STATE_DRAFT = `${STATE}.new`;

/** The name of its folder. */
export function partName({ index, count }: PartNumber): string {
  const number = (n: number): string => String(n).padStart(5, "0");
  return `part-${number(index)}-of-${number(count)}`;
}

/** "3/7", as the user writes it. */
export function partText({ index, count }: PartNumber): string {
  return `${index}/${count}`;
}

/** The part that a folder of this name is of; null if it is none. */
export function parsePartName(name: string): PartNumber | null {
  const [, index, count] = PART.exec(name) ?? [];
  const part = { index: Number(index), count: Number(count) };
  return index !== undefined && part.index < part.count ? part : null;
}

/** The files of this folder that are no part of the output: how far it is, and what writing that leaves for a moment. */
export const STATE_FILES: readonly string[] = [STATE, STATE_DRAFT];

/** The parts that have a folder in the output directory, in their order. */
export async function partsIn(path: string): Promise<readonly PartNumber[]> {
  const staging = join(path, STAGING);
  if (!(await hasOwnFolder(staging))) {
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

/** Has this part been begun? Without a journal, its folder means nothing. */
export async function isBegun(path: string, part: PartNumber): Promise<boolean> {
  const folder = join(path, STAGING, partName(part));
  return (await hasOwnFolder(folder)) && (await hasOwnFile(join(folder, JOURNAL)));
}
