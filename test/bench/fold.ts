/**
 * Part 12: 64 steps of a chain folded into one, beside `chain verify`, which without a base reads every payload and walks its frame, and
 * beside decoding every payload once in one thread. Of 1 % of the elements of each tensor a step changes the low bits, as RL's do in bfloat16. WEIGHT_DIFF_BENCH_PARAMETERS says how many
 * elements there are. Needs a Node with zstd.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeUpdateIndex } from "../../src/chain/update-index.js";
import { layoutShard } from "../../src/formats/safetensors-layout.js";
import { startEncoder } from "../../src/formats/zstd/encoder.js";
import { type Bench, clearOutput, outputOf, weightDiff } from "./bench.js";
import { interleave, run } from "./measure.js";
import { costTable } from "./table.js";

const PARAMETERS = Number(process.env.WEIGHT_DIFF_BENCH_PARAMETERS ?? 500_000_000);
const TENSORS = 24;
const STEPS = 64;
const CHANGED = 0.01;

export async function foldSteps(bench: Bench): Promise<void> {
  const chain = join(bench.dir, `chain-${PARAMETERS}`);
  await writeChain(chain);
  const rival = (name: string, ...args: readonly string[]) => ({
    name,
    prepare: () => clearOutput(bench),
    run: () => run(weightDiff(bench, "chain", ...args, "--threads", "2", "--json", "--quiet")),
  });
  const decodeOnce = [process.execPath, fileURLToPath(new URL("./decode-once.js", import.meta.url))];
  const costs = await interleave(
    [
      { name: "decode once, one thread", prepare: () => clearOutput(bench), run: () => run([...decodeOnce, chain]) },
      rival("walk every frame", "verify", chain),
      rival("fold", "fold", "--path_diff", chain, "--path_out", outputOf(bench)),
    ],
    bench.rounds,
  );
  const title = `12. ${STEPS} steps of ${(PARAMETERS / 1e9).toFixed(2)}G bfloat16 parameters, ${100 * CHANGED} % changed in each`;
  costTable(bench.print, title, costs);
  await clearOutput(bench);
}

/** A version of its own folder each; an index that is there says that it is whole. */
async function writeChain(chain: string): Promise<void> {
  const elements = Math.ceil(PARAMETERS / TENSORS);
  const names = Array.from({ length: TENSORS }, (_, k) => `model.layers.${k}.mlp.up_proj.weight`);
  const checksums = new Map(names.map((name) => [name, "0".repeat(32)]));
  const weightMap = new Map(names.map((name) => [name, "model-00000-of-00001.safetensors"]));
  for (let step = 1; step <= STEPS; step++) {
    const number = (value: number): string => String(value).padStart(6, "0");
    const folder = join(chain, `weight_v${number(step)}`);
    if ((await run(["test", "-e", join(folder, "model.safetensors.index.json")], { mayFail: true })).code === 0) {
      continue;
    }
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const frames = names.map((_, k) => frame(elements, step * TENSORS + k));
    const { header } = layoutShard(
      frames.map(({ length }, k) => ({ name: names[k] ?? "", dtype: "U8", shape: [length] })),
      { name: "shard", metadata: checksums, paged: false },
    );
    await writeFile(join(folder, "model-00000-of-00001.safetensors"), Buffer.concat([header, ...frames]));
    const head = {
      version: number(step),
      baseVersion: number(step - 1),
      encoding: "xor",
      checksum: "xxh3-128",
    } as const;
    await writeFile(join(folder, "model.safetensors.index.json"), writeUpdateIndex(head, weightMap));
  }
}

/** The XOR of two tensors as one frame. */
function frame(elements: number, seed: number): Buffer {
  const out: Buffer[] = [];
  const put = (bytes: Uint8Array): void => void out.push(Buffer.from(bytes));
  const encoder = startEncoder(2 * elements);
  const piece = new Uint8Array(1 << 20);
  let state = seed;
  for (let at = 0; at < 2 * elements; at += piece.length) {
    piece.fill(0);
    for (let i = 0; i < piece.length; i += 2) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      if (state < CHANGED * 2 ** 32) {
        piece[i] = 1 | ((state >>> 8) & 7);
      }
    }
    encoder.push(piece.subarray(0, Math.min(piece.length, 2 * elements - at)), put);
  }
  encoder.end(put);
  encoder.close();
  return Buffer.concat(out);
}
