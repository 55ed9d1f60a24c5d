/** Models in Meta's layout for tests: those under fixtures/meta, and a fine-tune of one of them. */
import { readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { convert } from "../../src/commands/convert.js";
import { FIXTURES } from "./fixtures.js";

export const META = join(FIXTURES, "meta");
export const META_CASES = ["eight-parts", "grouped", "legacy", "one-part", "two-parts"] as const;

export interface Golden {
  readonly tensors: readonly { readonly name: string }[];
  /** By torch's name of the dtype. */
  readonly outputs: Readonly<Record<string, { readonly overflow: number; readonly tensors: readonly unknown[] }>>;
}

export function goldenOf(name: string): Golden {
  return JSON.parse(readFileSync(join(META, `${name}.json`), "utf8")) as Golden;
}

/** The case in Hugging Face's format, and a model of other values near by: every second value's last bits differ. */
export async function convertedAndTuned(
  name: string,
  folder: string,
): Promise<{ readonly base: string; readonly tuned: string }> {
  const [base, tuned] = [join(folder, "hf"), join(folder, "tuned")];
  await convert({ source: join(META, name), output: base });
  await mkdir(tuned);
  const bytes = await readFile(join(base, "model.safetensors"));
  for (let at = 8 + Number(bytes.readBigUInt64LE()); at < bytes.length; at += 4) {
    bytes[at] = (bytes[at] ?? 0) ^ 5;
  }
  await writeFile(join(tuned, "model.safetensors"), bytes);
  await writeFile(join(tuned, "config.json"), await readFile(join(base, "config.json")));
  return { base, tuned };
}
