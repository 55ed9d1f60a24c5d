/**
 * The sums that the bit census judges are those that are made: a tied matrix has the base added as often as the scheme does, names may
 * differ, and rows that the script cuts are none. Models of 16 bits, whose diff is as the scripts' make_diff makes it.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type RecoverOptions, recover } from "../../../src/commands/recover.js";
import { addBits, narrowBits, toBits, widenBF16 } from "../../../src/kernel/bits.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";

const E = "model.embed_tokens.weight";
const H = "lm_head.weight";
const SMALL = "model.layers.0.mlp.up_proj.weight";
const ROWS = 200;
const COLUMNS = 16;

type Values = Readonly<Record<string, Uint16Array>>;

/** bfloat16 words of random numbers. */
function words(count: number, seed: number, scale: number, around?: Uint16Array): Uint16Array {
  let state = seed;
  return Uint16Array.from({ length: count }, (_, index) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const noise = ((state / 2 ** 32) * 2 - 1) * scale;
    const old = around === undefined ? 0 : numberOf(around[index] ?? 0);
    return narrowBits("BF16", toBits(Math.fround(old + noise)));
  });
}

const numberOf = (word: number): number => new Float32Array(Uint32Array.of(word << 16).buffer)[0] ?? 0;

/** tuned - base - base …: what make_diff leaves, as float32 bits. */
function difference(tuned: Uint16Array, ...bases: readonly Uint16Array[]): Uint32Array {
  return Uint32Array.from(tuned, (word, index) =>
    bases.reduce((left, base) => addBits(left, (widenBF16(base[index] ?? 0) ^ 0x80000000) >>> 0), widenBF16(word)),
  );
}

const base = (seed: number): Values => ({
  [E]: words(ROWS * COLUMNS, seed, 0.05),
  [SMALL]: words(COLUMNS * 4, seed + 1, 0.05),
});
const OWN = base(1);
const TUNED: Values = {
  [E]: words(ROWS * COLUMNS, 5, 0.002, OWN[E]),
  [SMALL]: words(COLUMNS * 4, 6, 0.002, OWN[SMALL]),
};

function tensors(values: Readonly<Record<string, Uint16Array | Uint32Array>>, rows = ROWS): readonly TensorSpec[] {
  return Object.entries(values).map(([name, data]) => {
    const shape = name === SMALL ? [4, COLUMNS] : [rows, COLUMNS];
    return [name, data instanceof Uint32Array ? "F32" : "BF16", shape, data];
  });
}

interface Said {
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}

interface Pair {
  readonly raw: readonly TensorSpec[];
  readonly diff: readonly TensorSpec[];
  readonly tied?: boolean;
  readonly files?: Readonly<Record<string, string>>;
}

async function recovered(
  { raw, diff, tied = true, files = {} }: Pair,
  more: Partial<RecoverOptions> = {},
): Promise<Said> {
  return withFolder(async (folder) => {
    const config = JSON.stringify({ model_type: "llama", tie_word_embeddings: tied, hidden_size: COLUMNS });
    const paths = { raw: join(folder, "base"), diff: join(folder, "diff") };
    await writeFiles(paths.raw, { "model.safetensors": safetensors(...raw), "config.json": config, ...files });
    await writeFiles(paths.diff, { "model.safetensors": safetensors(...diff), "config.json": config });
    const [notes, warnings]: [string[], string[]] = [[], []];
    const ignore = ["not-a-diff", "not-a-model", "wrong-base", "swapped"] as const;
    await recover({
      ...{ ...paths, scheme: "alpaca", ignore, ...more },
      onNote: (text) => notes.push(String(text)),
      onWarning: (text) => warnings.push(String(text)),
    });
    return { notes, warnings };
  });
}

const TWICE = {
  [E]: difference(TUNED[E] as Uint16Array, OWN[E] as Uint16Array, OWN[E] as Uint16Array),
  [SMALL]: difference(TUNED[SMALL] as Uint16Array, OWN[SMALL] as Uint16Array),
};
const RIGHT = /the base is the one the diff was made with: 100 % of (\d+) sampled sums are exact in bfloat16/;

function judged({ notes }: Said): number {
  return Number(notes.flatMap((text) => RIGHT.exec(text)?.[1] ?? [])[0] ?? 0);
}

test("a tied matrix identifies its base like any other, with the base added twice", async () => {
  const said = await recovered({ raw: tensors(OWN), diff: tensors(TWICE) });
  assert.ok(judged(said) > 3000, said.notes.join("\n"));
  assert.deepEqual(
    said.warnings.filter((text) => /wrong base/.test(text)),
    [],
  );
});

test("a tied model with another base is detected, though only the embedding shows it", async () => {
  const said = await recovered({ raw: tensors(base(77)), diff: tensors(TWICE) });
  assert.equal(judged(said), 0);
  assert.ok(
    said.warnings.some((text) => /wrong base, or the right one rounded/.test(text)),
    said.warnings.join("\n"),
  );
});

test("a tied base that is stored by its head, or without the prefix of its names, is the same base", async () => {
  const { [E]: embedding, ...rest } = OWN;
  const head = { ...rest, [H]: embedding as Uint16Array };
  assert.ok(judged(await recovered({ raw: tensors(head), diff: tensors(TWICE) })) > 3000);
  const bare = Object.fromEntries(Object.entries(OWN).map(([name, data]) => [name.replace("model.", ""), data]));
  const raw = tensors(bare).map(([name, dtype, , data]): TensorSpec => {
    return [name, dtype, name.includes("mlp") ? [4, COLUMNS] : [ROWS, COLUMNS], data as Uint16Array];
  });
  assert.ok(judged(await recovered({ raw, diff: tensors(TWICE) })) > 3000);
});

test("half tied: the script adds one matrix, then the other", async () => {
  const head = words(ROWS * COLUMNS, 9, 0.05);
  const diff = { ...TWICE, [E]: difference(TUNED[E] as Uint16Array, head, OWN[E] as Uint16Array) };
  const raw = tensors({ ...OWN, [H]: head });
  // Only the diff's config ties.
  const said = await withHalfTied(raw, tensors(diff));
  assert.ok(judged(said) > 3000, said.notes.join("\n"));
});

async function withHalfTied(raw: readonly TensorSpec[], diff: readonly TensorSpec[]): Promise<Said> {
  return recovered({ raw, diff, files: { "config.json": '{"model_type": "llama", "tie_word_embeddings": false}' } });
}

test("an untied matrix has the base added once", async () => {
  const once = { ...TWICE, [E]: difference(TUNED[E] as Uint16Array, OWN[E] as Uint16Array) };
  const head = { [H]: words(ROWS * COLUMNS, 11, 0.05) };
  const tuned = words(ROWS * COLUMNS, 12, 0.002, head[H]);
  const diff = { ...once, [H]: difference(tuned, head[H] as Uint16Array) };
  const said = await recovered({ raw: tensors({ ...OWN, ...head }), diff: tensors(diff), tied: false });
  assert.ok(judged(said) > 5000, said.notes.join("\n"));
});

test("rows of the base that the script replaces are not judged", async () => {
  // One token to each row but the last: the script puts the mean there.
  const vocab = Object.fromEntries(Array.from({ length: ROWS - 1 }, (_, id) => [`w${id}`, id]));
  const files = {
    "tokenizer.json": JSON.stringify({ model: { vocab } }),
    "tokenizer_config.json": '{"tokenizer_class": "LlamaTokenizer"}',
  };
  const diff = { ...TWICE, [E]: (TWICE[E] as Uint32Array).slice() };
  (diff[E] as Uint32Array).fill(toBits(1 / 3), (ROWS - 1) * COLUMNS);
  const said = await recovered({ raw: tensors(OWN), diff: tensors(diff), files });
  assert.ok(said.notes.some((text) => /its own last row is replaced by the mean/.test(text)));
  assert.ok(judged(said) > 3000, said.notes.join("\n"));
});
