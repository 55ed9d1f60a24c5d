/** Every command that writes, on inputs that are small and still make several files: for tests that end it at each call to the disk. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { convert } from "../../src/commands/convert.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import type { OutputMode } from "../../src/output/choose-mode.js";
import { STAGING } from "../../src/output/state.js";
import { writeFiles } from "./checkpoints.js";
import { META } from "./meta.js";
import { type Matrix, writePair } from "./models.js";
import { BASE, decode, lay, payloadOf, TUNED } from "./xor-payloads.js";

/** A command, ready to be run into any directory, in process or as a command line. */
export interface Writer {
  run(out: string, mode: OutputMode): Promise<unknown>;
  /** Without the mode. */
  args(out: string): readonly string[];
}

const MATRICES: readonly Matrix[] = [
  { name: "model.embed_tokens.weight", rows: 33, columns: 64, newRows: 1 },
  { name: "model.layers.0.mlp.up_proj.weight", rows: 32, columns: 64 },
  { name: "model.layers.0.mlp.bias", rows: 1, columns: 3 },
  { name: "model.layers.1.mlp.up_proj.weight", rows: 64, columns: 48 },
  { name: "model.layers.1.mlp.empty", rows: 0, columns: 8 },
];
const SHARD = { bytes: 1_000_000, flag: "1MB" };

/** Writes the inputs of all commands into `folder`. */
export async function writers(folder: string): Promise<Readonly<Record<string, Writer>>> {
  const { raw, diff } = await writePair(join(folder, "pair"), MATRICES);
  const xor = await lay(join(folder, "xor"), BASE, payloadOf(TUNED, BASE));
  const meta = join(META, "two-parts");
  const small = { threads: 0, windowBytes: 1 << 16, maxShardSize: 16_000 } as const;
  const making = (encoding: "additive" | "exact", compress = false): Writer => ({
    run: (out, mode) => makeDiff({ raw, tuned: diff, diff: out, encoding, compress, mode, ...small }),
    args: (out) => [
      ...["make-diff", "--path_raw", raw, "--path_tuned", diff, "--path_diff", out],
      ...["--encoding", encoding, "--max-shard-size", SHARD.flag, ...(compress ? ["--compress"] : [])],
    ],
  });
  return {
    recover: {
      run: (out, mode) => recover({ raw, diff, tuned: out, mode, ...small }),
      args: (out) => ["recover", "--path_raw", raw, "--path_diff", diff, "--path_tuned", out],
    },
    "recover into float16": {
      run: (out, mode) => recover({ raw, diff, tuned: out, mode, dtype: "F16", ...small }),
      args: (out) => ["recover", "--path_raw", raw, "--path_diff", diff, "--path_tuned", out, "--dtype", "float16"],
    },
    "make-diff": making("additive"),
    "make-diff, exact": making("exact"),
    "make-diff, compressed": making("exact", true),
    convert: {
      run: (output, mode) => convert({ source: meta, output, mode, ...small }),
      args: (out) => ["convert", meta, out],
    },
    xor: {
      run: (out, mode) => decode({ ...xor, out }, { mode, threads: 0 }),
      args: (out) => ["xor", out, xor.payload, xor.base],
    },
  };
}

/** A run that was made to crash is this very process, which is alive: its locks are made those of nobody. */
export async function forgetHolder(out: string): Promise<void> {
  const names = await readdir(join(out, STAGING)).catch((): string[] => []);
  for (const name of names.filter((found) => found.startsWith("lock"))) {
    await writeFiles(join(out, STAGING), { [`${name}/holder`]: "" });
  }
}
