/**
 * The command line with which each family's script recovered its pair (fixtures/schemes), given to recover as it was, in a folder
 * whose name tells nothing: what comes out is what the script saved, sha256 for sha256, or it is asked which of several scripts with
 * the same flags is meant. Where a command line is another script's too, the table says what is taken and why.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readFlags } from "../../src/cli/flags/read.js";
import { normaliseArgv, scriptFlags } from "../../src/cli/line/argv.js";
import { parse } from "../../src/cli/line/parse.js";
import type { RecoverReport } from "../../src/commands/recover/report.js";
import { recover } from "../../src/commands/recover.js";
import { WeightDiffError } from "../../src/errors.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { hintOf } from "../support/refusal.js";

interface Expected {
  readonly scheme: string;
  readonly base: string;
  readonly diff: string;
  readonly originals: readonly { readonly arguments: readonly string[] }[];
  readonly tensors: readonly { readonly name: string; readonly dtype: string; readonly sha256: string }[];
}

const SCHEMES = join(FIXTURES, "schemes");
const CASES = readdirSync(SCHEMES).filter((name) => existsSync(join(SCHEMES, name, "expected.json")));
const read = (name: string): Expected =>
  JSON.parse(readFileSync(join(SCHEMES, name, "expected.json"), "utf8")) as Expected;

/** Another scheme than the pair's; null: asked for, the pair's scheme among the candidates. */
const OTHERWISE: Readonly<Record<string, string | null>> = {
  // Without a flag of their own: as without a command line (golden/schemes.test.ts).
  // FastChat's command line to the letter: FastChat's bits, whatever the dtypes. lmflow's are named beside it.
  lmflow: "fastchat",
  // The same command line one day later.
  "yulan-f32": "yulan",
  // FastChat's again, and values show that embeddings are the model's own: three copies of its script leave them alone.
  huatuo: null,
  ziya: null,
  "ziya-low-cpu-mem": null,
  "pandallm-low-cpu-mem": null,
};

/** The words of expected.json with this machine's paths; AlpacaFarm's script has its diff from the Hub. */
function lineOf({ base, originals }: Expected, diff: string, out: string): readonly string[] {
  const places: Readonly<Record<string, string>> = {
    ...{ [base]: join(SCHEMES, base), base: join(SCHEMES, base), "base.pth": join(SCHEMES, base) },
    ...{ diff, model: diff, patch: diff, out, "out.pth": out, saved: out },
  };
  const words = (originals.at(-1)?.arguments ?? []).map((word) => {
    const [flag = "", value] = word.split("=");
    return value === undefined ? (places[word] ?? word) : `${flag}=${places[value.replace("params::", "")] ?? value}`;
  });
  const farm = words.indexOf("--alpaca-farm-model-name");
  const own = words.flatMap((word, index) =>
    farm < 0 || index < farm || index > farm + 1 ? [word] : index === farm ? ["--path_diff", diff] : [],
  );
  return own[0] === "recover" ? own : ["recover", ...own];
}

/** What the command does, without a process and without an output. */
async function run(args: readonly string[]): Promise<RecoverReport> {
  const parsed = parse(normaliseArgv(args), () => {}) ?? assert.fail("is a page of the help");
  const { asked } = readFlags("recover", parsed.words, parsed.given, scriptFlags(args));
  return recover({ ...asked, tuned: null, invFreq: "keep", expectSum: null, threads: 1 });
}

const sorted = (tensors: Expected["tensors"], buffers: boolean): readonly unknown[] =>
  tensors
    .filter(({ name }) => buffers || !name.endsWith("rotary_emb.inv_freq"))
    .map(({ name, dtype, sha256 }) => [name, dtype, sha256])
    .sort((a, b) => ((a[0] ?? "") < (b[0] ?? "") ? -1 : 1));

for (const name of CASES) {
  const expected = read(name);
  const diff = join(SCHEMES, name, expected.diff);
  const words = lineOf(expected, "DIFF", "OUT");
  if (scriptFlags(words).length === 0) {
    continue;
  }
  test(`${name}: ${words.slice(1).join(" ").replaceAll(SCHEMES, "")}`, async () => {
    await withFolder(async (folder) => {
      await cp(diff, join(folder, "mine"), { recursive: true });
      const args = lineOf(expected, join(folder, "mine"), join(folder, "out"));
      const other = OTHERWISE[name];
      if (other === null) {
        await assert.rejects(run(args), (error) => {
          assert.ok(error instanceof WeightDiffError && error.code === "SCHEME_UNKNOWN", String(error));
          assert.match(hintOf(error), new RegExp(`[ ,] ?${expected.scheme}(,|\\)| )`));
          assert.match(error.message, /^.*the command line is that of /);
          return true;
        });
        return;
      }
      const report = await run(args);
      if (other !== undefined) {
        assert.equal(report.scheme, other);
        assert.match(
          report.schemeReason,
          new RegExp(`; the same flags give other bits with: .*\\b${expected.scheme}\\b`),
        );
        return;
      }
      // The converter for mmpretrain leaves out the buffers of the base.
      const buffers = !expected.scheme.startsWith("mmpretrain");
      assert.deepEqual(sorted(report.tensors, buffers), sorted(expected.tensors, buffers), report.schemeReason);
    });
  });
}

test("every exception is about a pair whose script has its own command line", () => {
  for (const name of Object.keys(OTHERWISE)) {
    assert.ok(scriptFlags(lineOf(read(name), "DIFF", "OUT")).length > 0, name);
  }
});

test("a switch that is set to False is no sign of a script", async () => {
  const [base, diff] = [join(SCHEMES, "base-f16"), join(SCHEMES, "knowlm/diff")];
  for (const flag of ["--is_fp16", "--low-cpu-mem"]) {
    const paths = ["recover", "--path_raw", base, "--path_diff", diff];
    assert.equal((await run([...paths, flag, "False"])).scheme, "open-instruct");
    assert.notEqual((await run([...paths, flag, "True"])).scheme, "open-instruct");
  }
});

test("the repository's name outweighs the command line, for LMFlow's and HuatuoGPT's diffs", async () => {
  for (const [name, published] of [
    ["lmflow", "robin-7b-v2-delta"],
    ["lmflow-low-cpu-mem", "robin-7b-v2-delta"],
    ["huatuo", "HuatuoGPT-13b-delta"],
    ["ziya-low-cpu-mem", "Ziya-LLaMA-13B-v1"],
    ["pandallm", "llama-panda-7b-delta"],
  ] as const) {
    const expected = read(name);
    await withFolder(async (folder) => {
      await cp(join(SCHEMES, name, expected.diff), join(folder, published), { recursive: true });
      const report = await run(lineOf(expected, join(folder, published), join(folder, "out")));
      assert.deepEqual(sorted(report.tensors, true), sorted(expected.tensors, true), report.schemeReason);
    });
  }
});
