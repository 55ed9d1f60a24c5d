/** The payloads of one version, decoded: for a look at what was written. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeFrame } from "./zstd.js";

interface Header {
  readonly [name: string]: {
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly data_offsets: readonly [number, number];
  };
}

/** By tensor: sha256 of the payload before compression. */
export function payloadsOf(version: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const file of readdirSync(version).filter((name) => name.endsWith(".safetensors"))) {
    const bytes = readFileSync(join(version, file));
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    const { __metadata__: _, ...tensors } = JSON.parse(bytes.toString("utf8", 8, start)) as Header;
    for (const [
      name,
      {
        data_offsets: [begin, end],
      },
    ] of Object.entries(tensors)) {
      const payload = decodeFrame(bytes.subarray(start + begin, start + end), { least: 0, most: 1 << 30 });
      found[name] = createHash("sha256").update(payload).digest("hex");
    }
  }
  return found;
}
