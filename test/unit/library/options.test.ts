/** The library's boundary: what JavaScript passes, with no types to hold it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { WeightDiffError } from "../../../src/errors.js";
import {
  chainFold,
  chainInspect,
  chainMake,
  chainMaterialize,
  chainVerify,
  convert,
  finalize,
  inspect,
  makeDiff,
  push,
  recover,
  report,
  sign,
  status,
  tryModel,
  verify,
  xor,
} from "../../../src/index.js";
import { type LibraryOptions, refuseWrongOptions } from "../../../src/library/options.js";
import { ROOT } from "../../support/fixtures.js";
import { refuses } from "../../support/refusal.js";

const RUN = {
  hub: {
    endpoint: "https://huggingface.co",
    token: null,
    tokenFile: "token",
    cache: null,
    offline: false,
    environment: process.env,
    patience: { answerMs: 1, silenceMs: 1, wholeMs: 1, rateMs: 1, attempts: 1, reachAttempts: 1, pauseMs: 0.5 },
  },
  signal: new AbortController().signal,
  threads: null,
  directIo: "always",
  windowBytes: 65_536,
  disk: { openFile: async () => assert.fail() },
  onProgress: () => {},
} as const;
const REQUEST = { ...RUN, mode: "resume", dryRun: true, onNote: () => {}, onWarning: () => {} } as const;
const DIVIDED = { ...REQUEST, part: { index: 0, count: 1 }, parts: null } as const;
const MAKING = {
  ...DIVIDED,
  maxShardSize: 1,
  invFreq: "keep",
  rows: "mean",
  ignore: ["swapped"],
  manifestOut: null,
} as const;
const SCHEME = {
  scheme: "custom",
  custom: { operation: "add", arithmetic: "stored", newRows: "zero", verbatim: ["x"], driver: "raw" },
  variants: ["is_fp16"],
  line: { flags: ["x"], words: 0 },
  rows: null,
} as const;

const CHAIN = { chain: "c", layout: "slime", to: 3, baseVersion: 1, maxSteps: 5, format: null } as const;

/** Every option of every function. */
const COMPLETE: { readonly [C in keyof LibraryOptions]: Required<LibraryOptions[C]> } = {
  recover: {
    ...MAKING,
    ...SCHEME,
    raw: "a",
    diff: "b",
    tuned: null,
    verifyKey: null,
    dtype: "BF16",
    expectSum: "known",
    to: 2,
    baseVersion: 0,
  },
  makeDiff: {
    ...MAKING,
    raw: "a",
    tuned: "b",
    diff: "c",
    signKey: null,
    encoding: "exact",
    compress: true,
    report: true,
    baseModel: null,
  },
  convert: { ...DIVIDED, source: "a", output: "b", dtype: null, maxShardSize: 5e9, manifestOut: null },
  finalize: { ...RUN, path: "a", onNote: () => {}, onWarning: () => {} },
  status: { path: "a" },
  xor: {
    ...REQUEST,
    raw: "a",
    payload: "b",
    output: null,
    direction: "encode",
    compress: true,
    scheme: "auto",
    ignore: [],
  },
  verify: {
    ...RUN,
    ...SCHEME,
    path: "a",
    manifest: null,
    raw: "b",
    against: null,
    requireDigests: true,
    verifyKey: "k",
    known: null,
    expectSum: -1.5,
  },
  inspect: { ...RUN, path: "a", digest: true },
  report: {
    ...RUN,
    ...SCHEME,
    raw: "a",
    path: "b",
    svg: null,
    out: null,
    ignore: [],
    onNote: () => {},
    onWarning: () => {},
  },
  tryModel: {
    ...{ hub: RUN.hub, signal: RUN.signal, threads: 2, windowBytes: 65536, disk: RUN.disk, onProgress: () => {} },
    ...{ path: "a", base: null, prompt: "x", text: null, promptIds: [1], maxNewTokens: 1, timeLimit: 1.5 },
    ...{ tokenizer: null, scheme: null, ignore: [], onText: () => {}, onFirst: () => {} },
    ...{ onNote: () => {}, onWarning: () => {} },
  },
  sign: {
    signal: RUN.signal,
    threads: 2,
    directIo: false,
    onProgress: () => {},
    path: "a",
    signKey: "k",
  },
  chainInspect: { ...CHAIN, hub: RUN.hub, signal: RUN.signal },
  chainVerify: { ...RUN, ...CHAIN, raw: null },
  chainMaterialize: { ...REQUEST, ...CHAIN, maxShardSize: 1, manifestOut: null, raw: "a", tuned: null },
  chainFold: {
    ...REQUEST,
    ...{ chain: "c", layout: null, to: 3, maxSteps: 5, format: null, maxShardSize: 1, from: 1 },
    ...{ raw: "a", output: "o", encoding: "xor", checksum: null, renumber: true },
  },
  chainMake: {
    ...REQUEST,
    ...{ chain: "c", raw: "a", tuned: "b", version: 3, encoding: "overwrite", checksum: "blake3", full: false },
    maxShardSize: 1,
  },
  push: {
    ...RUN,
    path: "a",
    repo: "b/c",
    private: true,
    message: "x",
    dryRun: true,
    force: false,
    idleMs: 1000,
    onNote: () => {},
    onWarning: () => {},
  },
};
const FUNCTIONS = {
  ...{ recover, makeDiff, convert, finalize, status, xor, verify, inspect, report, tryModel, push, sign },
  ...{ chainInspect, chainVerify, chainMaterialize, chainFold, chainMake },
};
const NAMES = Object.keys(COMPLETE) as readonly (keyof LibraryOptions)[];

for (const name of NAMES) {
  test(`${name} takes every option of its type, and undefined for optional ones`, () => {
    refuseWrongOptions(name, COMPLETE[name]);
    const pairs = { recover: 2, makeDiff: 2, convert: 2, push: 2, sign: 2, chainFold: 2 } as const;
    const more = { ...pairs, xor: 3, chainMake: 3 } as const;
    const required = new Map<string, number>(Object.entries(more)).get(name) ?? 1;
    const left = Object.keys(COMPLETE[name]).filter((key) => {
      try {
        refuseWrongOptions(name, { ...COMPLETE[name], [key]: undefined });
        return false;
      } catch (error) {
        assert.ok(error instanceof WeightDiffError && error.message.startsWith(`${name}(): ${key}: is missing: `));
        return true;
      }
    });
    assert.equal(left.length, required, left.join());
  });

  test(`${name} refuses anything but an object`, async () => {
    for (const odd of [undefined, null, "path", 1, [], () => {}]) {
      await refuses(
        () => Reflect.apply(FUNCTIONS[name], null, [odd]),
        "USAGE",
        new RegExp(`^${name}\\(\\) takes an object`),
      );
    }
  });

  test(`${name} refuses an unknown option before it opens anything`, async () => {
    await refuses(
      () => Reflect.apply(FUNCTIONS[name], null, [{ ...COMPLETE[name], path_raw: "x" }]),
      "USAGE",
      new RegExp(`^${name}\\(\\): no such option: "path_raw"$`),
    );
  });

  test(`${name} refuses a wrong value of every option, by name`, () => {
    for (const key of Object.keys(COMPLETE[name])) {
      for (const wrong of [Symbol("x"), 7n, [-1], Number.NaN]) {
        assert.throws(
          () => refuseWrongOptions(name, { ...COMPLETE[name], [key]: wrong }),
          (error) =>
            error instanceof WeightDiffError &&
            error.code === "USAGE" &&
            error.message.startsWith(`${name}(): ${key}: `),
          `${key}: ${String(wrong)}`,
        );
      }
    }
  });
}

for (const [option, wrong, message] of [
  ["dtype", "float64", /^recover\(\): dtype: "float64" is not one of "F32", "F16", "BF16", "auto"$/],
  ["threads", 1.5, /threads: 1\.5 is not a whole number from 0 to 99/],
  ["threads", "2", /threads: "2" is not a whole number/],
  ["windowBytes", 1000, /windowBytes: 1000 is not a multiple of 65536/],
  ["maxShardSize", "5GB", /maxShardSize: "5GB" is not a whole number from 1 on/],
  ["raw", "", /raw: "" is not a path/],
  ["raw", ["a"], /raw: an array is not a path/],
  ["signal", {}, /signal: an object is not an AbortSignal/],
  ["onNote", "x", /onNote: "x" is not a function/],
  ["ignore", ["nothing"], /ignore: an array is not an array of some of "swapped"/],
  ["hub", null, /hub: null is not an object/],
  ["hub", { offline: 1 }, /hub\.offline: 1 is not one of true, false/],
  ["hub", { cached: true }, /hub: no such option: "cached"/],
  ["hub", { patience: { attempts: 0 } }, /hub\.patience\.attempts: 0 is not a whole number from 1 on/],
  ["custom", { driver: "both" }, /custom\.driver: "both" is not one of "diff", "raw"/],
  ["dtype", "a\u001b[2Jb", /dtype: "a\\u001b\[2Jb"/],
] as const) {
  test(`recover says what ${option} is, and may be: ${JSON.stringify(wrong)}`, () =>
    refuses(() => Reflect.apply(recover, null, [{ raw: "a", diff: "b", [option]: wrong }]), "USAGE", message));
}

test("one error lists all wrong options", async () => {
  await refuses(
    () => Reflect.apply(recover, null, [{ diff: 1, tuned: 2 }]),
    "USAGE",
    /^recover\(\): 3 options are wrong\n {2}raw: is missing: .*\n {2}diff: 1 is not .*\n {2}tuned: 2 is not/,
  );
});

test("every function and every option has its docs in the declarations", () => {
  const read = (file: string): string => readFileSync(join(ROOT, "dist/src", `${file}.d.ts`), "utf8");
  for (const name of NAMES) {
    assert.match(read("index"), new RegExp(`\\*/\\nexport declare function ${name}\\(`));
  }
  const bare: string[] = [];
  for (const [file, ...types] of [
    ["commands/recover/options", "RecoverOptions"],
    ["commands/make-diff/options", "MakeDiffOptions"],
    ["commands/convert/options", "ConvertOptions"],
    ["commands/xor/options", "XorOptions"],
    ["commands/xor", "XorCommandOptions"],
    [
      "commands/chain/options",
      "ChainChoice",
      "ChainInspectOptions",
      "ChainVerifyOptions",
      "ChainMaterializeOptions",
      "ChainFoldOptions",
      "ChainMakeOptions",
    ],
    ["commands/verify/options", "VerifyOptions"],
    ["commands/inspect", "InspectOptions"],
    ["commands/report/options", "ReportOptions"],
    ["commands/try/options", "TryOptions"],
    ["commands/sign", "SignOptions"],
    ["commands/push/target", "PushOptions", "TargetOptions"],
    ["make/recipe", "RunRequest", "DividedRequest", "MakingOptions"],
    ["commands/finalize", "FinalizeOptions"],
    ["commands/status", "StatusOptions"],
    ["run/run-plan", "RunOptions"],
    ["run/inputs", "HubRunOptions"],
    ["evidence/scheme", "SchemeOptions"],
    ["hub/settings", "HubOptions"],
  ] as const) {
    for (const type of types) {
      const body = new RegExp(`interface ${type} (?:extends [^{]*)?\\{\\n([\\s\\S]*?)\\n\\}`).exec(read(file))?.[1];
      assert.ok(body !== undefined, `${file}: ${type}`);
      const lines = body.split("\n");
      lines.forEach((line, index) => {
        if (/^ {4}readonly /.test(line) && !/\*\/$/.test(lines[index - 1] ?? "")) {
          bare.push(`${type}:${line}`);
        }
      });
    }
  }
  assert.deepEqual(bare, []);
});
