/** The table of flags: every flag of every command reaches its function, by the whole way from the command line. */
import assert from "node:assert/strict";
import { devNull } from "node:os";
import { test } from "node:test";
import { obey } from "../../../../src/cli/command-line.js";
import { run as batch } from "../../../../src/cli/commands/batch.js";
import { run as chainFold } from "../../../../src/cli/commands/chain-fold.js";
import { run as chainInspect } from "../../../../src/cli/commands/chain-inspect.js";
import { run as chainMake } from "../../../../src/cli/commands/chain-make.js";
import { run as chainMaterialize } from "../../../../src/cli/commands/chain-materialize.js";
import { run as chainVerify } from "../../../../src/cli/commands/chain-verify.js";
import { run as convert } from "../../../../src/cli/commands/convert.js";
import { run as finalize } from "../../../../src/cli/commands/finalize.js";
import { run as inspect } from "../../../../src/cli/commands/inspect.js";
import { run as makeDiff } from "../../../../src/cli/commands/make-diff.js";
import { run as push } from "../../../../src/cli/commands/push.js";
import { run as recover } from "../../../../src/cli/commands/recover.js";
import { run as report } from "../../../../src/cli/commands/report.js";
import { run as schemes } from "../../../../src/cli/commands/schemes.js";
import { run as sign } from "../../../../src/cli/commands/sign.js";
import { run as status } from "../../../../src/cli/commands/status.js";
import { run as tryStory } from "../../../../src/cli/commands/try.js";
import { run as verify } from "../../../../src/cli/commands/verify.js";
import { run as xor } from "../../../../src/cli/commands/xor.js";
import { COMMAND_NAMES } from "../../../../src/cli/flags/commands.js";
import type { CommandName, Flag } from "../../../../src/cli/flags/flag.js";
import { FLAGS, flagsOf, shownName } from "../../../../src/cli/flags/table.js";
import type { Stories } from "../../../../src/cli/run-command.js";
import { FAMILIES } from "../../../../src/scheme/families.js";

/** What a function of the library was called with. */
class Called extends Error {
  constructor(readonly options: object) {
    super();
  }
}
const call = async (options: object): Promise<never> => {
  throw new Called(options);
};

const callBatch = (_: object, asked: object): never => {
  throw new Called(asked);
};

/** What is run afterwards. */
const RECOVERED = {
  ...{ outcome: "recovered", output: "O", scheme: "fastchat", schemeReason: "", dtype: null, files: [], tensors: [] },
  ...{ records: { checked: 0, unchecked: 0 }, sums: null, sumCheck: null, resumed: 0, seconds: 1 },
  ...{ bytesRead: 0, bytesWritten: 0, peakBytes: 0 },
};

/** What each command's function gets for `words`; with `look`, which is the command line's own, beside it. */
async function optionsOf(...words: readonly string[]): Promise<Record<string, unknown>> {
  let got: Record<string, unknown> = {};
  const story = (run: (...all: never[]) => Promise<number>, library: object) => async () => ({
    run: async (asked: { readonly look: object }, during: unknown, print: unknown) => {
      const called = await run(...([asked, during, print, library] as never[])).catch((error: unknown) => error);
      if (called instanceof Error && !(called instanceof Called)) {
        throw called;
      }
      got = { ...(called instanceof Called ? called.options : {}), look: asked.look };
      return 0;
    },
  });
  const stories = {
    recover: story(recover, {
      recover: async (options: object) => (words.includes("--test_inference") ? RECOVERED : call(options)),
      tryModel: call,
    }),
    "make-diff": story(makeDiff, {
      openTarget: async (target: object) => {
        if (words.includes("--push")) {
          await call({ push: target });
        }
      },
      makeDiff: call,
    }),
    convert: story(convert, { convert: call }),
    finalize: story(finalize, { finalize: call }),
    status: story(status, { status: call }),
    batch: story(batch, { slurm: callBatch, kubernetes: callBatch }),
    xor: story(xor, { xor: call }),
    verify: story(verify, { verify: call }),
    inspect: story(inspect, { inspect: call }),
    "chain-inspect": story(chainInspect, { chainInspect: call }),
    "chain-verify": story(chainVerify, { chainVerify: call }),
    "chain-materialize": story(chainMaterialize, { chainMaterialize: call }),
    "chain-fold": story(chainFold, { chainFold: call }),
    "chain-make": story(chainMake, { chainMake: call }),
    report: story(report, { report: call }),
    try: story(tryStory, { tryModel: call }),
    push: story(push, { push: call }),
    sign: story(sign, { sign: call }),
    schemes: story(schemes, {}),
    completion: async () => ({
      run: async (asked: object) => {
        got = { ...asked };
        return 0;
      },
    }),
  } as unknown as Stories;
  assert.equal(await obey(words, { write: () => {}, lost: null, finish: async () => null }, stories), 0);
  return got;
}

/** A command line with all that is required. */
const REQUIRED: Readonly<Record<CommandName, readonly string[]>> = {
  recover: ["--path_raw", "B", "--path_diff", "D"],
  "make-diff": ["--path_raw", "B", "--path_tuned", "T"],
  convert: ["S", "O"],
  finalize: ["O"],
  status: ["O"],
  batch: ["slurm", "--parts", "2", "--", "convert", "S", "O"],
  xor: ["O", "P", "B"],
  verify: ["C"],
  inspect: ["C"],
  "chain-inspect": ["C"],
  "chain-verify": ["C"],
  "chain-materialize": ["--path_diff", "C"],
  "chain-fold": ["--path_diff", "C", "--path_out", "O"],
  "chain-make": ["--path_raw", "A", "--path_tuned", "B", "--path_diff", "C"],
  report: ["B", "T"],
  try: ["M"],
  push: ["C", "org/name"],
  sign: ["C", "--sign-key", "K"],
  schemes: [],
  completion: ["bash"],
};

interface Reach {
  /** The flag's value; none for a switch. */
  readonly text?: string;
  /** What the command line has in place of what is required. */
  readonly words?: readonly string[];
  /** What else the command line needs. */
  readonly beside?: readonly string[];
  /** Where the function finds it, and what. */
  readonly at: string;
  readonly value: unknown;
}

const custom = ["--scheme", "custom"];
const output = ["--path_tuned", "O"];
const published = ["--path_diff", "O", "--push", "org/name"];

/** By the flag's name, with the command before it where commands differ. */
const REACHES: Readonly<Record<string, Reach>> = {
  path_raw: { text: "x", at: "raw", value: "x" },
  path_diff: { text: "x", at: "diff", value: "x" },
  path_tuned: { text: "x", at: "tuned", value: "x" },
  chain: { at: "chain", value: "C" },
  "chain-materialize path_diff": { text: "x", at: "chain", value: "x" },
  "chain-fold path_diff": { text: "x", at: "chain", value: "x" },
  "chain-fold from": { text: "7", at: "from", value: 7 },
  "chain-fold path_out": { text: "x", at: "output", value: "x" },
  "chain-fold encoding": { text: "overwrite", at: "encoding", value: "overwrite" },
  "chain-fold format": { text: "arc_v2", at: "format", value: "arc_v2" },
  "chain-make path_diff": { text: "x", at: "chain", value: "x" },
  "chain-make encoding": { text: "overwrite", at: "encoding", value: "overwrite" },
  checksum: { text: "blake3", at: "checksum", value: "blake3" },
  renumber: { at: "renumber", value: true },
  version: { text: "000012", at: "version", value: 12 },
  full: { at: "full", value: true },
  "chain-materialize force": { beside: output, at: "mode", value: "force" },
  "chain-materialize resume": { beside: output, at: "mode", value: "resume" },
  to: { text: "000012", at: "to", value: 12 },
  "base-version": { text: "3", at: "baseVersion", value: 3 },
  layout: { text: "skyrl", at: "layout", value: "skyrl" },
  "max-steps": { text: "5", at: "maxSteps", value: 5 },
  "base-model": { text: "a/b", at: "baseModel", value: "a/b" },
  "finalize out": { at: "path", value: "O" },
  "status out": { at: "path", value: "O" },
  "recover part": { text: "1/3", beside: output, at: "part", value: { index: 1, count: 3 } },
  "make-diff part": { text: "1/3", beside: ["--path_diff", "O"], at: "part", value: { index: 1, count: 3 } },
  "convert part": { text: "1/3", at: "part", value: { index: 1, count: 3 } },
  plan: { text: "3", at: "look.plan", value: 3 },
  engine: { at: "engine", value: "slurm" },
  parts: { text: "3", at: "parts", value: 3 },
  "at-once": { text: "3", at: "atOnce", value: 3 },
  name: { text: "x", at: "name", value: "x" },
  cpus: { text: "3", at: "cpus", value: 3 },
  memory: { text: "3G", at: "memory", value: "3G" },
  time: { text: "04:00:00", at: "time", value: "04:00:00" },
  partition: { text: "x", at: "partition", value: "x" },
  image: { text: "x", at: "image", value: "x" },
  claim: { text: "x", at: "claim", value: "x" },
  mount: { text: "/x", at: "mount", value: "/x" },
  svg: { text: "x", at: "svg", value: "x" },
  out: { text: "x", at: "out", value: "x" },
  test_inference: { text: "True", at: "path", value: "O" },
  "try model": { at: "path", value: "M" },
  "try base": { text: "x", at: "base", value: "x" },
  "try ignore": { text: "not-a-model", at: "ignore", value: ["not-a-model"] },
  prompt: { text: "x", at: "prompt", value: "x" },
  raw: { text: "x", at: "text", value: "x" },
  "prompt-ids": { text: "1, 2", at: "promptIds", value: [1, 2] },
  tokenizer: { text: "x", at: "tokenizer", value: "x" },
  "max-new-tokens": { text: "3", at: "maxNewTokens", value: 3 },
  "time-limit": { text: "2.5", at: "timeLimit", value: 2.5 },
  "report base": { at: "raw", value: "B" },
  "report model": { at: "path", value: "T" },
  "convert dir": { at: "source", value: "S" },
  "convert out": { at: "output", value: "O" },
  "xor dest": { at: "output", value: "O" },
  "xor payload": { at: "payload", value: "P" },
  "xor base": { at: "raw", value: "B" },
  checkpoint: { at: "path", value: "C" },
  path: { at: "path", value: "C" },
  "push dir": { at: "path", value: "C" },
  "sign dir": { at: "path", value: "C" },
  "make-diff sign-key": { text: "x", beside: ["--path_diff", "O"], at: "signKey", value: "x" },
  "sign sign-key": { text: "x", at: "signKey", value: "x" },
  "verify-key": { text: "x", at: "verifyKey", value: "x" },
  repo: { at: "repo", value: "org/name" },
  against: { text: "x", at: "against", value: "x" },
  manifest: { text: "x", at: "manifest", value: "x" },
  shell: { at: "shell", value: "bash" },
  encode: { at: "direction", value: "encode" },
  decode: { at: "direction", value: "decode" },
  compress: { at: "compress", value: true },
  report: { at: "report", value: true, beside: ["--path_diff", "O"] },
  encoding: { text: "exact", at: "encoding", value: "exact" },
  dtype: { text: "bfloat16", at: "dtype", value: "BF16" },
  "recover manifest-out": { beside: ["--path_tuned", "-"], text: "x", at: "manifestOut", value: "x" },
  "chain-materialize manifest-out": { text: "x", beside: ["--path_tuned", "-"], at: "manifestOut", value: "x" },
  "make-diff manifest-out": { beside: ["--path_diff", "-"], text: "x", at: "manifestOut", value: "x" },
  "convert manifest-out": { words: ["S", "-"], text: "x", at: "manifestOut", value: "x" },
  "max-shard-size": { text: "3MB", at: "maxShardSize", value: 3_000_000 },
  "inv-freq": { text: "keep", at: "invFreq", value: "keep" },
  "recover force": { beside: output, at: "mode", value: "force" },
  "recover resume": { beside: output, at: "mode", value: "resume" },
  "make-diff force": { beside: ["--path_diff", "O"], at: "mode", value: "force" },
  "make-diff resume": { beside: ["--path_diff", "O"], at: "mode", value: "resume" },
  force: { at: "mode", value: "force" },
  resume: { at: "mode", value: "resume" },
  "push force": { at: "force", value: true },
  push: { text: "a/b", beside: ["--path_diff", "O"], at: "push.repo", value: "a/b" },
  "make-diff private": { beside: published, at: "push.private", value: true },
  private: { at: "private", value: true },
  branch: { text: "x", at: "repo", value: "org/name@x" },
  revision: { text: "x", at: "repo", value: "org/name@x" },
  message: { text: "x", at: "message", value: "x" },
  scheme: { text: "fastchat", at: "scheme", value: "fastchat" },
  "xor scheme": { text: "pygmalion", at: "scheme", value: "pygmalion" },
  is_fp16: { text: "True", at: "variants", value: ["is_fp16"] },
  "low-cpu-mem": { at: "variants", value: ["low_cpu_mem"] },
  rows: { text: "mean", at: "rows", value: "mean" },
  op: { text: "subtract", beside: custom, at: "custom.operation", value: "subtract" },
  arith: { text: "stored", beside: custom, at: "custom.arithmetic", value: "stored" },
  verbatim: { text: "x", beside: custom, at: "custom.verbatim", value: ["x"] },
  driver: { text: "raw", beside: custom, at: "custom.driver", value: "raw" },
  "alpaca-farm-model-name": { text: "sft10k", at: "diff", value: "tatsu-lab/alpaca-farm-sft10k-wdiff" },
  "models-save-dir": { text: "x", at: "tuned", value: "x" },
  ignore: { text: "swapped,wrong-base", at: "ignore", value: ["swapped", "wrong-base"] },
  require: { text: "digests", at: "requireDigests", value: true },
  known: { text: "alpaca-7b", at: "known", value: "alpaca-7b" },
  "expect-sum": { text: "1.5", at: "expectSum", value: 1.5 },
  check_integrity_naively: { text: "True", at: "expectSum", value: "known" },
  digest: { at: "digest", value: true },
  "no-cache": { at: "hub.cache", value: null },
  offline: { at: "hub.offline", value: true },
  "token-file": { text: "x", at: "hub.tokenFile", value: "x" },
  "dry-run": { at: "dryRun", value: true },
  threads: { text: "3", at: "threads", value: 3 },
  "no-direct-io": { at: "directIo", value: false },
  tensors: { at: "look.tensors", value: true },
  json: { at: "look.format", value: "json" },
  "chain-inspect format": { text: "arc_v2", at: "format", value: "arc_v2" },
  "chain-verify format": { text: "arc_v2", at: "format", value: "arc_v2" },
  "chain-materialize format": { text: "arc_v2", at: "format", value: "arc_v2" },
  format: { text: "github", at: "look.format", value: "github" },
  events: { at: "look.events", value: true },
  // It is opened before the run.
  summary: { text: devNull, at: "look.summary", value: devNull },
  quiet: { at: "look.quiet", value: true },
  "no-progress": { at: "look.progress", value: false },
};

function fieldOf(options: Record<string, unknown>, path: string): unknown {
  return path.split(".").reduce<unknown>((outer, field) => (outer as Record<string, unknown>)[field], options);
}

/** Words of the command's required ones that name the flag are left out. */
function commandLine(command: CommandName, { name }: Flag, { text, words, beside = [] }: Reach): readonly string[] {
  const required = words ?? REQUIRED[command];
  const at = required.indexOf(`--${name}`);
  const others = at < 0 ? required : required.toSpliced(at, 2);
  // batch takes a command line behind its own flags.
  const end = others.indexOf("--");
  const rest = end < 0 ? [] : others.slice(end);
  const flags = others
    .slice(0, end < 0 ? others.length : end)
    .filter((word) => name !== "alpaca-farm-model-name" || !/^(--path_diff|D)$/.test(word));
  return [command, ...flags, ...beside, `--${name}`, ...(text === undefined ? [] : [text]), ...rest];
}

for (const command of COMMAND_NAMES) {
  for (const flag of flagsOf(command)) {
    if (flag.note !== undefined) {
      continue;
    }
    test(`${command} ${shownName(flag)} reaches the function`, async () => {
      const reach = REACHES[`${command} ${flag.name}`] ?? REACHES[flag.name];
      assert.ok(reach !== undefined, "say here what it sets");
      const words = flag.argument === true ? [command, ...REQUIRED[command]] : commandLine(command, flag, reach);
      assert.deepEqual(fieldOf(await optionsOf(...words), reach.at), reach.value);
      if (flag.required === undefined && flag.name !== "alpaca-farm-model-name") {
        const place = words.indexOf(`--${flag.name}`);
        const after = words.indexOf("--") < 0 ? [] : words.slice(words.indexOf("--"));
        const before = await optionsOf(...words.slice(0, place), ...after);
        assert.notDeepEqual(fieldOf({ custom: {}, push: {}, ...before }, reach.at), reach.value);
      }
    });
  }
}

for (const command of COMMAND_NAMES) {
  for (const flag of flagsOf(command)) {
    for (const { name } of flag.aliases ?? []) {
      test(`${command} --${name} is --${flag.name}`, async () => {
        const reach = REACHES[`${command} ${flag.name}`] ?? REACHES[flag.name];
        assert.ok(reach !== undefined);
        const words = commandLine(command, flag, reach);
        const renamed = words.map((word) => (word === `--${flag.name}` ? `--${name.replaceAll("-", "_")}` : word));
        assert.deepEqual(fieldOf(await optionsOf(...renamed), reach.at), reach.value);
      });
    }
  }
}

test("every expected row belongs to a flag", () => {
  const names = new Set(
    FLAGS.flatMap(({ name, commands }) => [name, ...commands.map((command) => `${command} ${name}`)]),
  );
  assert.deepEqual(
    Object.keys(REACHES).filter((name) => !names.has(name)),
    [],
  );
});

test("a command has each flag once, under any of its names", () => {
  for (const command of COMMAND_NAMES) {
    const names = flagsOf(command).flatMap(({ name, aliases = [] }) => [name, ...aliases.map((alias) => alias.name)]);
    const dashed = names.map((name) => name.replaceAll("_", "-"));
    assert.deepEqual(
      dashed.filter((name, index) => dashed.indexOf(name) !== index),
      [],
      command,
    );
  }
});

test("every flag sets something, stands for others, or says why it does not", () => {
  for (const { name, option, schema, sets, note, hidden, takes } of FLAGS) {
    const does = option !== null && (schema === undefined) !== (sets === undefined);
    const standsForOthers = option === null && (note !== undefined || /^(alpaca-farm|models-save)/.test(name));
    assert.ok(does || (standsForOthers && hidden === true), name);
    assert.ok((takes === undefined) === (sets !== undefined), name);
  }
});

test("recover knows every flag of the scripts whose command line is their own", () => {
  const known = new Set(
    flagsOf("recover")
      .flatMap(({ name, aliases = [] }) => [name, ...aliases.map((alias) => alias.name)])
      .map((name) => name.replaceAll("_", "-")),
  );
  for (const { scheme, line } of FAMILIES) {
    for (const { name } of line?.flags ?? []) {
      // A beginning of FastChat's.
      assert.ok(known.has(name.replaceAll("_", "-")) || name === "base_model", `${scheme.name} --${name}`);
    }
  }
});
