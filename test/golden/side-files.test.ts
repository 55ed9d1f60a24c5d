/**
 * What a model needs beside its weights goes along by every way: recover, make-diff, push, from the Hub with and without a cache, and
 * verify knows it. reports/08 is the first case; the files are made up, their names are those of real repositories.
 */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { makeDiff } from "../../src/commands/make-diff.js";
import { push } from "../../src/commands/push.js";
import { recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { filesOf, repoFile } from "../hub/repo.js";
import { startHub } from "../hub/server.js";
import { FIXTURES } from "../support/fixtures.js";

const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
after(() => rmSync(HOME, { recursive: true }));
const RAW = join(FIXTURES, "demo/base");
const DIFF = join(FIXTURES, "demo/diff");

const CODE = {
  "configuration_tiny.py": "# config\n",
  "modeling_tiny.py": "from .configuration_tiny import TinyConfig\nfrom .flash import attention\n",
  "flash.py": "# imported\n",
  "tokenization_tiny.py": "# named by the tokenizer\n",
};
const OTHERS = {
  "qwen.tiktoken": "IQ== 0\n",
  "spiece.model": "\n\u0005\n\u0003abc",
  "sentencepiece.bpe.model": "x",
  "source.spm": "x",
  "tekken.json": "{}\n",
  "tokenizer.model.v3": "x",
  "bpe.codes": "x",
  "processor_config.json": "{}\n",
  "preprocessor_config.json": "{}\n",
  "video_preprocessor_config.json": "{}\n",
  "chat_template.jinja": "{{ messages }}",
  "additional_chat_templates/rag.jinja": "{{ rag }}",
  "additional_chat_templates/tool_use.jinja": "{{ tools }}",
  "qformer_tokenizer/vocab.txt": "a\n",
  "USE_POLICY.md": "be good\n",
  "modules.json": "[]\n",
  "1_Pooling/config.json": "{}\n",
};
const STAYS = ["training_args.bin", "train.py", "additional_chat_templates/notes.txt", "examples/tokenizer.json"];

/** A copy of the demo's diff with all that, and a config that names the code. */
async function dressed(): Promise<string> {
  const diff = mkdtempSync(join(HOME, "diff-"));
  cpSync(DIFF, diff, { recursive: true });
  const config = JSON.parse(readFileSync(join(diff, "config.json"), "utf8")) as object;
  const map = { AutoConfig: "configuration_tiny.TinyConfig", AutoModelForCausalLM: "modeling_tiny.Tiny" };
  writeFileSync(join(diff, "config.json"), JSON.stringify({ ...config, auto_map: map }, null, 2));
  writeFileSync(join(diff, "tokenizer_config.json"), JSON.stringify({ auto_map: ["tokenization_tiny.Tiny", null] }));
  for (const [file, text] of [
    ...Object.entries({ ...CODE, ...OTHERS }),
    ...STAYS.map((file) => [file, "{}"] as const),
  ]) {
    await mkdir(dirname(join(diff, file)), { recursive: true });
    await writeFile(join(diff, file), text);
  }
  return diff;
}

const treeOf = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1))
    .sort();

function assertDressed(folder: string): void {
  for (const [file, text] of Object.entries({ ...CODE, ...OTHERS })) {
    assert.equal(readFileSync(join(folder, file), "utf8"), text, file);
  }
  const found = treeOf(folder);
  assert.deepEqual(
    STAYS.filter((file) => found.includes(file)),
    [],
  );
}

test("recover, make-diff, verify, push and the way back from the Hub keep every side file", async (t) => {
  const diff = await dressed();
  const notes: string[] = [];
  const warnings: string[] = [];
  const say = { onNote: (text: string) => notes.push(text), onWarning: (text: string) => warnings.push(text) };
  const tuned = join(HOME, "tuned");
  await recover({ raw: RAW, diff, tuned, ...say });
  assertDressed(tuned);
  assert.ok(notes.includes("not copied from the diff: README.md, train.py, training_args.bin"), notes.join("\n"));
  assert.deepEqual(warnings, []);

  const made = join(HOME, "made");
  await makeDiff({ raw: RAW, tuned, diff: made, ...say });
  assertDressed(made);
  const { sound, findings } = await verify({ path: made, requireDigests: true });
  assert.ok(sound, JSON.stringify(findings));
  assert.deepEqual(
    findings.filter(({ level }) => level !== "note"),
    [],
  );

  const hub = await startHub();
  t.after(() => hub.close());
  hub.account("hf_me", { name: "me", namespaces: ["me"] });
  const settings = { endpoint: hub.endpoint, token: "hf_me", environment: { HOME } };
  await push({ path: made, repo: "me/diff", hub: settings });
  assert.equal((await push({ path: made, repo: "me/diff", hub: settings })).outcome, "unchanged");
  for (const [where, cache] of [
    ["cached", join(HOME, "cache")],
    ["offline", join(HOME, "cache")],
    ["streamed", null],
  ] as const) {
    const again = join(HOME, where);
    await recover({
      raw: RAW,
      diff: "me/diff",
      tuned: again,
      hub: { ...settings, cache, offline: where === "offline" },
    });
    assertDressed(again);
    for (const file of treeOf(tuned).filter((each) => each !== "weight-diff.json")) {
      assert.ok(readFileSync(join(again, file)).equals(readFileSync(join(tuned, file))), `${where}: ${file}`);
    }
  }
});

test("verify finds what is changed, gone, or extra in a folder of side files", async () => {
  const made = join(HOME, "damaged");
  const tuned = join(HOME, "damaged-tuned");
  await recover({ raw: RAW, diff: await dressed(), tuned });
  await makeDiff({ raw: RAW, tuned, diff: made });
  writeFileSync(join(made, "additional_chat_templates/rag.jinja"), "{{ bad }}");
  rmSync(join(made, "qformer_tokenizer/vocab.txt"));
  writeFileSync(join(made, "additional_chat_templates/new.jinja"), "");
  const { findings } = await verify({ path: made });
  const about = findings.map(({ level, file, message }) => `${level} ${file} ${message.split(":")[0]}`).sort();
  assert.deepEqual(about, [
    "error additional_chat_templates/rag.jinja differs",
    "error qformer_tokenizer/vocab.txt missing",
    "warning additional_chat_templates/new.jinja extra",
  ]);
});

test("code that the diff's config names is copied from the base if only the base has it, and a note names code that neither has", async () => {
  const diff = await dressed();
  const raw = mkdtempSync(join(HOME, "base-"));
  cpSync(RAW, raw, { recursive: true });
  for (const file of ["modeling_tiny.py", "flash.py"]) {
    cpSync(join(diff, file), join(raw, file));
    rmSync(join(diff, file));
  }
  rmSync(join(diff, "tokenization_tiny.py"));
  const [notes, warnings]: [string[], string[]] = [[], []];
  const tuned = join(HOME, "from-base");
  await recover({ raw, diff, tuned, onNote: (text) => notes.push(text), onWarning: (text) => warnings.push(text) });
  assert.ok(notes.includes("what the diff lacks is taken from the base: flash.py, modeling_tiny.py"), notes.join("\n"));
  assert.deepEqual(warnings, [
    "tokenizer_config.json names tokenization_tiny.py, which is missing: loaders that need it will fail",
  ]);
  assert.equal(readFileSync(join(tuned, "flash.py"), "utf8"), CODE["flash.py"]);
});

test("an output folder that is a link to elsewhere is not written through", async () => {
  const tuned = join(HOME, "linked-out");
  await mkdir(join(tuned, "elsewhere"), { recursive: true });
  writeFileSync(join(tuned, "additional_chat_templates"), "a file");
  await assert.rejects(recover({ raw: RAW, diff: await dressed(), tuned, mode: "force" }), { code: "OUTPUT_REFUSED" });
});

test("a repository with hundreds of folders takes at most 23 requests for lists", async (t) => {
  const hub = await startHub();
  t.after(() => hub.close());
  const files = new Map(filesOf(await dressed()));
  for (let index = 0; index < 300; index++) {
    files.set(`${index}_Module/config.json`, repoFile(`${index}_Module/config.json`, Buffer.from("{}")));
  }
  hub.add("org/many", files);
  const settings = { endpoint: hub.endpoint, environment: { HOME }, cache: null };
  await recover({ raw: RAW, diff: "org/many", tuned: join(HOME, "many"), hub: settings });
  assert.ok(hub.log.filter(({ url }) => url.includes("/tree/")).length <= 23, String(hub.log.length));
});
