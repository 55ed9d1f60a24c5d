/**
 * `model.safetensors.index.json` and `pytorch_model.bin.index.json`: which shard holds which tensor. Written as by transformers'
 * save_pretrained (json.dumps, indent 2, sort_keys, trailing newline). When reading weights, only `weight_map` counts: published files have a
 * wrong, fractional or missing `total_size`, which transformers ignores too.
 */
import { WeightDiffError } from "../errors.js";
import { headerBudget, takeTensors } from "./header-budget.js";
import { JsonScanner } from "./json-scanner.js";
import { quote } from "./quote.js";

/** In bytes. A tensor takes about a hundred. */
export const MAX_INDEX = 32_000_000;

export interface WeightIndex {
  /** Tensor name -> bare file name of its shard, in the order of the file. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** Bytes of all tensors as stated; null if nothing usable is stated. It may be wrong. */
  readonly totalSize: number | null;
  /** Do its files hold payloads of an update, and not weights (docs/chains.md 1)? */
  readonly isUpdate: boolean;
}

/** @throws {WeightDiffError} FORMAT_INVALID, also for a shard that is not a bare file name; LIMIT */
export function parseWeightIndex(text: string | Uint8Array, fileName: string): WeightIndex {
  if (text.length > MAX_INDEX) {
    throw new WeightDiffError("LIMIT", `${text.length} bytes; more than ${MAX_INDEX} are not read`, undefined, {
      at: { file: fileName },
    });
  }
  const scanner = new JsonScanner(text, fileName, "python");
  const weightMap = new Map<string, string>();
  const budget = headerBudget();
  // One string for each file, and not for each tensor.
  const shards = new Map<string, string>();
  let metadata: Metadata = { totalSize: null, isUpdate: false };
  const fields = new Map<string, () => void>([
    [
      "metadata",
      () => {
        metadata = readMetadata(scanner);
      },
    ],
    [
      "weight_map",
      () =>
        scanner.object((tensor) => {
          takeTensors(budget, 1, fileName);
          const shard = readShard(scanner, tensor, fileName);
          const known = shards.get(shard) ?? shard;
          shards.set(shard, known);
          weightMap.set(tensor, known);
        }),
    ],
  ]);
  scanner.object((key) => {
    const read = fields.get(key);
    return read === undefined ? scanner.skip() : read();
  });
  scanner.end();
  if (weightMap.size === 0) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      "has no weight_map, or an empty one",
      "this is not an index of weights: download it again",
      { at: { file: fileName } },
    );
  }
  return { weightMap, ...metadata };
}

type Metadata = Pick<WeightIndex, "totalSize" | "isUpdate">;

function readMetadata(scanner: JsonScanner): Metadata {
  if (scanner.peek() !== "{") {
    scanner.skip();
    return { totalSize: null, isUpdate: false };
  }
  let total: number | null = null;
  let isUpdate = false;
  scanner.object((key) => {
    if (key === "total_size" && scanner.atNumber()) {
      const value = scanner.number();
      total = Number.isSafeInteger(value) && value >= 0 ? value : null;
    } else {
      isUpdate ||= key === "delta_encoding";
      scanner.skip();
    }
  });
  return { totalSize: total, isUpdate };
}

function readShard(scanner: JsonScanner, tensor: string, fileName: string): string {
  const shard = scanner.string();
  if (!isBareFileName(shard)) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `tensor ${quote(tensor)} is said to be in ${quote(shard)}, which is not a bare file name`,
      "an index may only name files beside itself: do not use it unless you trust its origin, and then correct the entry",
      { at: { file: fileName } },
    );
  }
  return shard;
}

/** Checked by its characters, for every system at once: no separators, no drive, no stream, no parent, nothing unprintable. */
export function isBareFileName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return name.length > 0 && name.length <= 255 && !/^\.{1,2}$|[/\\:\u0000-\u001f\u007f]/.test(name);
}

/** "name", or "folder/name". */
export function isOwnFileName(name: string): boolean {
  const parts = name.split("/");
  return parts.length <= 2 && parts.every(isBareFileName);
}

/** The text of an index: `totalSize` in bytes, names sorted by code point as in Python, everything but ASCII escaped. */
export function writeWeightIndex(weightMap: ReadonlyMap<string, string>, totalSize: number): string {
  const lines = [...weightMap]
    .sort(([a], [b]) => byCodePoint(a, b))
    .map(([tensor, shard]) => `    ${ascii(tensor)}: ${ascii(shard)}`);
  const map = lines.length === 0 ? "{}" : `{\n${lines.join(",\n")}\n  }`;
  return `{\n  "metadata": {\n    "total_size": ${totalSize}\n  },\n  "weight_map": ${map}\n}\n`;
}

/** UTF-16 order differs if a name has characters above U+FFFF. UTF-8 bytes sort like code points. */
function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Like json.dumps with ensure_ascii: an escape of four hex digits for each UTF-16 unit after "~". */
export function ascii(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
