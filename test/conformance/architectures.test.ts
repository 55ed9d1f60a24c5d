/**
 * A tiny model of every *ForCausalLM, *ForConditionalGeneration and *ForSequenceClassification that transformers can build from a
 * small configuration, saved by save_pretrained and once more after a little training: a diff is made, recovered, verified,
 * inspected and pushed, and no command may refuse, warn, or say what is not so. What cannot be built is listed.
 * WEIGHT_DIFF_PYTHON as in transformers.test.ts; WEIGHT_DIFF_SWEEP=no leaves it out, for a second run with another Node.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, statfsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { push } from "../../src/commands/push.js";
import { recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { startHub } from "../hub/server.js";
import { ROOT } from "../support/fixtures.js";

const GENERATOR = join(ROOT, "test", "conformance", "architectures.py");
/** As many as the transformers of requirements.txt can build: fewer means that the generator forgot how. */
const LEAST = 430;

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with torch and transformers";
const skip =
  process.env.WEIGHT_DIFF_SWEEP === "no"
    ? "WEIGHT_DIFF_SWEEP=no"
    : python === undefined && process.env.CI !== "true"
      ? absent
      : false;

interface Line {
  readonly name: string;
  readonly built: boolean;
  readonly reason?: string;
}

test("a sound model of any architecture passes", { skip }, async (t) => {
  assert.ok(python !== undefined, absent);
  const home = mkdtempSync(join(memoryOrDisk(), "weight-diff-"));
  t.after(() => rm(home, { recursive: true }));
  const hub = await startHub();
  t.after(() => hub.close());
  hub.account("hf_me", { name: "me", namespaces: ["me"] });
  const settings = { endpoint: hub.endpoint, token: "hf_me", environment: {} };
  const generator = spawn(python, [GENERATOR, home], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(generator, "close");
  let count = 0;
  const missing: string[] = [];
  for await (const text of createInterface({ input: generator.stdout })) {
    const { name, built, reason = "" }: Line = JSON.parse(text);
    if (built) {
      const encoding = count % 2 === 0 ? "additive" : "exact";
      const toPush = count % 4 < 2 ? "diff" : "model";
      count++;
      await t.test(name, () => tryAll(join(home, name), name, encoding, toPush, settings));
      await rm(join(home, name), { recursive: true });
    } else {
      missing.push(`${name}: ${reason}`);
    }
  }
  assert.deepEqual(await ended, [0, null]);
  list(t, count, missing);
  assert.ok(count >= LEAST, `${count} classes were built`);
});

/** Two thousand small files are flushed to the disk in this test: half of its time, where they are on one. */
function memoryOrDisk(): string {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize > 2 ** 30 ? "/dev/shm" : tmpdir();
  } catch {
    return tmpdir();
  }
}

function list(t: TestContext, count: number, missing: readonly string[]): void {
  t.diagnostic(`${count} classes were built, ${missing.length} could not be`);
  for (const line of missing) {
    t.diagnostic(`not built: ${line}`);
  }
}

/** What may be said of a pair that fits in every name. */
const NOTES = [
  /^scheme (open-instruct|exact): /,
  /^the base is the one the diff was made with: /,
  /^\d+ of the base's tensors have the digests that the diff's manifest states$/,
  /^\d+ of \d+ recovered tensors compared with the diff's manifest: all as they must be$/,
  /^not copied from the (diff|tuned model): [\w.-]+(, [\w.-]+)*$/,
  /^verified: \d+ tensors as weight-diff\.json has them$/,
  /^sending \d+ of \d+ files to http/,
  /^made http\S+, public$/,
  // Of tied models.
  /^"[\w.]+" has two names in the model: the base's is taken off twice \(.*\), as the scripts do, whose recover adds it twice$/,
  /^"[\w.]+" has two names in the model: the script meets it under both and adds the base's twice \(.*\)$/,
  /^(base|tuned|diff): its config ties "[\w.]+" and "[\w.]+", its files hold two that differ: both are used, as transformers 5 /,
];
/** True of every model here: they are saved without one. */
const NO_TOKENIZER = /^the result has no tokenizer: neither the diff nor the base has one: /;
const THREADS = { threads: 0, windowBytes: 1 << 16 } as const;
const DIFF_TRAP = "a diff is not a model: loaded as one, it gives gibberish; recover it with its base first";

/** What verify finds but for notes, and its verdict. */
async function soundness(path: string): Promise<readonly unknown[]> {
  const { findings, verdict } = await verify({ path, ...THREADS });
  return [findings.filter(({ level }) => level !== "note"), verdict];
}

async function tryAll(
  folder: string,
  name: string,
  encoding: "additive" | "exact",
  toPush: "diff" | "model",
  hub: { readonly endpoint: string; readonly token: string; readonly environment: Readonly<Record<string, string>> },
): Promise<void> {
  const [base, tuned, diff, out] = ["base", "tuned", "diff", "out"].map((part) => join(folder, part)) as [
    string,
    string,
    string,
    string,
  ];
  const said: string[] = [];
  const options = {
    ...THREADS,
    onNote: (text: string) => {
      if (!NOTES.some((note) => note.test(text))) {
        said.push(`note: ${text}`);
      }
    },
    onWarning: (text: string) => {
      if (!NO_TOKENIZER.test(text)) {
        said.push(`warning: ${text}`);
      }
    },
  };
  await makeDiff({ raw: base, tuned, diff, encoding, baseModel: "org/base", ...options });
  const { tensors } = await recover({ raw: base, diff, tuned: out, ...options });
  assert.deepEqual(said, []);
  assert.ok(tensors.length > 0);
  if (encoding === "exact") {
    assert.deepEqual(await contentsOf(out), await contentsOf(tuned));
  }
  for (const path of [base, tuned]) {
    assert.deepEqual(await soundness(path), [[], "sound"], path);
  }
  await inspectAll(base, diff, out);
  // A push verifies first, and tells what verify warns of. It takes as long as all the rest: one of the two is enough.
  const [pushed, verified] = toPush === "diff" ? [diff, out] : [out, diff];
  assert.equal((await push({ path: pushed, repo: `me/${name}`, hub, ...options })).outcome, "pushed");
  assert.deepEqual(await soundness(verified), [[], "sound"], verified);
  if (encoding === "additive") {
    const plain = await withoutMark(diff, join(folder, "plain"));
    const planned = await recover({ raw: base, diff: plain, scheme: "open-instruct", dryRun: true, ...options });
    assert.equal(planned.outcome, "planned");
    assert.deepEqual((await verify({ path: plain, ...THREADS })).verdict, "sound");
    assert.notEqual((await inspect({ path: plain })).identity.kind, "full");
  }
  assert.deepEqual(said, []);
}

async function inspectAll(base: string, diff: string, out: string): Promise<void> {
  const config = JSON.parse(await readFile(join(base, "config.json"), "utf8"));
  const names = { llama: "LLaMA architecture", gpt_neox: "GPT-NeoX architecture" } as const;
  const called = names[config.model_type as keyof typeof names] ?? config.model_type ?? null;
  const text = config.text_config ?? config;
  for (const [path, kinds, traps] of [
    [base, ["full", null], []],
    [diff, ["diff"], [DIFF_TRAP]],
    [out, ["full"], []],
  ] as const) {
    const report = await inspect({ path });
    assert.ok((kinds as readonly unknown[]).includes(report.identity.kind), report.identity.reason);
    assert.deepEqual([report.family, report.traps, report.notes], [called, traps, []], path);
    assert.ok([null, text.vocab_size].includes(report.shape.vocabulary), path);
    assert.ok([0, layersIn(text)].includes(report.shape.layers), path);
  }
}

function layersIn(config: Readonly<Record<string, number>>): number | undefined {
  return config.num_hidden_layers ?? config.n_layer ?? config.num_layers;
}

/** Every tensor of the one file, by dtype, shape and bytes. */
async function contentsOf(folder: string): Promise<ReadonlyMap<string, string>> {
  const { header, data } = await readFileOf(folder);
  return new Map(
    Object.entries(header)
      .filter(([key]) => key !== "__metadata__")
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { dtype, shape, data_offsets: [begin = 0, end = 0] = [] }]) => {
        const bytes = createHash("sha256").update(data.subarray(begin, end)).digest("hex");
        return [key, `${dtype} ${shape?.join()} ${bytes}`];
      }),
  );
}

type Header = Readonly<
  Record<
    string,
    { readonly dtype?: string; readonly shape?: readonly number[]; readonly data_offsets?: readonly number[] }
  >
>;

async function readFileOf(folder: string): Promise<{ readonly header: Header; readonly data: Buffer }> {
  const bytes = await readFile(join(folder, "model.safetensors"));
  const length = Number(bytes.readBigUInt64LE(0));
  return { header: JSON.parse(bytes.toString("utf8", 8, 8 + length)), data: bytes.subarray(8 + length) };
}

/** The diff as a script would have left it: no manifest, and no word in its file. */
async function withoutMark(diff: string, plain: string): Promise<string> {
  const { header, data } = await readFileOf(diff);
  const { __metadata__: _, ...tensors } = header;
  const text = Buffer.from(JSON.stringify(tensors));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await mkdir(plain);
  await writeFile(join(plain, "model.safetensors"), Buffer.concat([length, text, data]));
  await writeFile(join(plain, "config.json"), await readFile(join(diff, "config.json")));
  return plain;
}
