/** Schemes on the command line: the table, what is said of a choice, custom axes, the scripts' own flags, stated sums. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { FAMILIES } from "../../src/scheme/families.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { type Outcome, weightDiff } from "./command.js";

const PAIRS = join(FIXTURES, "schemes");
const BASE = join(PAIRS, "base-f16");

const recover = (diff: string, ...more: readonly string[]): Promise<Outcome> =>
  weightDiff(["recover", "--path_raw", BASE, "--path_diff", diff, "--no-progress", ...more]);
const digests = (text: string): unknown =>
  (JSON.parse(text) as { readonly tensors: readonly { readonly name: string; readonly sha256: string }[] }).tensors.map(
    ({ name, sha256 }) => [name, sha256],
  );

test("schemes prints a block for every scheme on stdout and nothing else", async () => {
  const { code, out, said } = await weightDiff(["schemes"]);
  assert.equal(code, 0);
  assert.deepEqual(said, []);
  const blocks = out.split("\n\n");
  assert.deepEqual(
    blocks.map((block) => block.split("  ")[0]),
    FAMILIES.map(({ scheme }) => scheme.name),
  );
  assert.equal(
    blocks.find((block) => block.startsWith("lmflow ")),
    [
      "lmflow  (LMFlow (Robin))",
      "          as fastchat, in bfloat16",
      "  does    base + diff in bfloat16, saved as bfloat16; new rows: refuse; driver: raw",
      "  names   in the diff only: drop; in the base only: refuse",
      "  flag    --low_cpu_mem (--scheme lmflow-low-mem): in the files' dtypes",
      "  script  OptimalScale/LMFlow utils/apply_delta.py at bce29b9f",
    ].join("\n"),
  );
});

test("schemes --json prints every axis, variants as schemes of their own", async () => {
  const { code, out } = await weightDiff(["schemes", "--json"]);
  assert.equal(code, 0);
  const rows = JSON.parse(out) as readonly { readonly [axis: string]: unknown; readonly name: string }[];
  const {
    name,
    arithmetic,
    output,
    rows: newRows,
    driver,
    repos,
  } = rows.find((row) => row.name === "knowlm-fp16") ?? assert.fail();
  assert.deepEqual(
    [name, arithmetic, output, newRows, driver, repos],
    ["knowlm-fp16", "float16", "float16", "refuse", "diff", ["zhixi-13b-diff-fp16"]],
  );
});

test("says what was chosen, why, and what is written otherwise than by the script", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out");
    const diff = join(folder, "vicuna-7b-delta-v1.1");
    await cp(join(PAIRS, "fastchat/diff"), diff, { recursive: true });
    const { code, said } = await recover(diff, "--path_tuned", out);
    assert.equal(code, 0, said.join("\n"));
    assert.deepEqual(said.slice(0, 3), [
      "weight-diff: scheme fastchat: the diff is vicuna-7b-delta-v1.1",
      "weight-diff: 2 rotary_emb.inv_freq buffers are not written: models recompute them (write them with --inv-freq keep)",
      "weight-diff: config.json is the diff's: the script saves the base's, whose token ids may be wrong",
    ]);
    const config = JSON.parse(readFileSync(join(out, "config.json"), "utf8")) as { readonly torch_dtype: string };
    assert.equal(config.torch_dtype, "float16");
    // Finished, and known again under the same scheme only.
    assert.equal((await recover(diff, "--path_tuned", out, "--resume")).code, 0);
    const other = await recover(diff, "--path_tuned", out, "--resume", "--scheme", "huatuo");
    assert.equal(other.code, 4);
    assert.match(other.said.join("\n"), /made otherwise: another scheme/);
  });
});

test("refuses to guess with exit code 4 and a line for each candidate", async () => {
  const rows = await recover(join(PAIRS, "lawyer-llama/diff"));
  assert.equal(rows.code, 4);
  assert.equal(rows.out, "");
  assert.match(rows.said[0] ?? "", /: has 3 vocabulary rows more than the base: /);
  assert.deepEqual(rows.said.slice(1), [
    "weight-diff: hint: say which script made it:",
    "  --scheme open-instruct  (Tulu, Open-Instruct: adds in float32, new rows get the mean of the base's; the same bits here: alpaca, landmark, lawyer-llama)",
    "  --scheme gisting  (Gisting: adds in float32, new rows are the diff's own; the same bits here: yulan-f32)",
  ]);
  const dtype = await recover(join(PAIRS, "lmflow/diff"));
  assert.equal(dtype.code, 4);
  assert.match(
    dtype.said[0] ?? "",
    /: tensor "model\.embed_tokens\.weight" in pytorch_model-00001-of-00002\.bin is BF16: /,
  );
  assert.equal(
    dtype.said[1],
    "weight-diff: hint: say which script made it, likeliest first (a script that publishes bfloat16 mostly adds in bfloat16):",
  );
  assert.deepEqual(
    dtype.said.slice(2).map((line) => line.split("(")[0]?.trim()),
    ["lmflow", "koala", "fastchat-low-mem", "open-instruct", "fastchat"].map((name) => `--scheme ${name}`),
  );
});

test("custom axes give the bits of the scheme that has them", async () => {
  const diff = join(PAIRS, "huatuo/diff");
  const flags = ["--arith", "fp16", "--verbatim", "embed_tokens", "--verbatim", "*lm_head.weight"];
  const custom = await recover(diff, "--json", "--scheme", "custom", ...flags);
  const named = await recover(diff, "--json", "--scheme", "huatuo");
  assert.equal(custom.code, 0, custom.said.join("\n"));
  assert.deepEqual(digests(custom.out), digests(named.out));
  assert.ok(
    custom.said.includes(
      "weight-diff: scheme custom --op add --arith float16 --rows refuse --verbatim embed_tokens --verbatim *lm_head.weight --driver diff: as asked for",
    ),
    custom.said.join("\n"),
  );
});

test("axes beside a scheme that is not custom, and a mean that is not float32, are usage errors", async () => {
  const diff = join(PAIRS, "fastchat/diff");
  const axis = await recover(diff, "--scheme", "fastchat", "--arith", "bf16");
  assert.deepEqual(
    [axis.code, axis.said[0]],
    [2, "weight-diff: error: --arith and --scheme fastchat contradict each other: a scheme is what it is"],
  );
  const mean = await recover(diff, "--scheme", "fastchat", "--rows", "mean");
  assert.deepEqual(
    [mean.code, mean.said[0]],
    [2, "weight-diff: error: new rows by the mean of the base's: it is taken in float32 only"],
  );
});

test("takes the scripts' own flags: --is_fp16 where there is one", async () => {
  const diff = join(PAIRS, "knowlm/diff");
  const flagged = await recover(diff, "--json", "--scheme", "knowlm", "--is_fp16", "True");
  const named = await recover(diff, "--json", "--scheme", "knowlm-fp16");
  assert.equal(flagged.code, 0, flagged.said.join("\n"));
  assert.deepEqual(digests(flagged.out), digests(named.out));
  const wrong = await recover(diff, "--scheme", "alpaca", "--is_fp16");
  assert.deepEqual(
    [wrong.code, wrong.said[0]],
    [2, "weight-diff: error: is_fp16: the script of scheme alpaca has no such flag"],
  );
});

test("holds the result against the sum that lies beside the diff, and only warns", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    await cp(join(PAIRS, "alpaca-farm/diff"), diff, { recursive: true });
    const { code, said } = await recover(diff);
    assert.equal(code, 0);
    assert.match(said.join("\n"), /\nweight-diff: warning: the sum in model_sum\.txt, [\d.]+: fail: /);
    await writeFile(join(diff, "model_sum.txt"), "-3.39999995e+38\n");
    assert.match(
      (await recover(diff)).said.join("\n"),
      /\nweight-diff: the sum in model_sum\.txt, -3\.39999995e\+38: pass: /,
    );
    await writeFile(join(diff, "model_sum.txt"), "<html>");
    const broken = await recover(diff);
    assert.equal(broken.code, 4);
    assert.match(broken.said.join("\n"), /model_sum\.txt: no number/);
  });
});

test("takes the base's tokenizer where the diff has none", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    await cp(join(PAIRS, "fastchat/diff"), diff, {
      recursive: true,
      filter: (path) => !/token/.test(path.slice(folder.length)),
    });
    const out = join(folder, "out");
    const { code, said } = await recover(diff, "--scheme", "fastchat", "--path_tuned", out);
    assert.equal(code, 0, said.join("\n"));
    assert.ok(
      said.some((line) => line.startsWith("weight-diff: the diff has no tokenizer: taken from the base: ")),
      said.join("\n"),
    );
    assert.deepEqual(readFileSync(join(out, "tokenizer.model")), readFileSync(join(BASE, "tokenizer.model")));
  });
});

/** Command lines as the scripts' own instructions have them, and which pair each is of. */
for (const [who, pair, base, line] of [
  ["FastChat", "fastchat", "base-f16", "--base-model-path B --target-model-path O --delta-path D"],
  ["FastChat, abbreviated", "fastchat", "base-f16", "--base B --target O --delta D"],
  [
    "FastChat, with --low-cpu-mem",
    "fastchat-f32-low-cpu-mem",
    "base-f16",
    "--base B --target O --delta D --low-cpu-mem",
  ],
  [
    "FastChat, for a float32 diff",
    "fastchat-f32",
    "base-f16",
    "--base_model_path=B --target_model_path=O --delta_path=D",
  ],
  ["LLaVA", "llava", "base-f16", "--base B --target O --delta D"],
  ["YuLan-Chat", "yulan", "base-f16", "--base-model-path B --tuned-model-path O --delta-path D"],
  ["MMPretrain", "mmpretrain-llava", "base-f16", "B O --delta D"],
  ["KnowLM", "knowlm-narrowed", "base-f16", "--path_raw B --path_diff D --path_tuned O --is_fp16 True"],
  [
    "Lawyer LLaMA",
    "lawyer-llama",
    "base-f16",
    "--base-model-path B --target-model-path O --delta-path D --mode apply_delta",
  ],
  ["BiLLa", "billa", "base-billa", "--model_dir D --meta_llama_pth_file B --path_tuned O"],
  ["python-fire without flags", "alpaca", "base-f16", "B D O"],
  ["python-fire without flags, recover only checked", "alpaca", "base-f16", "B D"],
  [
    "OpenChineseLLaMA",
    "openchinesellama",
    "base-decapoda",
    "--base_model B --base_model_format hf --patch_model D --offload --offload_path x",
  ],
  ["AlpacaFarm", "alpaca-farm", "base-f16", "--llama-7b-hf-dir B --path_diff D --models-save-dir O --device cpu"],
] as const) {
  test(`takes the command line of ${who}`, async () => {
    await withFolder(async (folder) => {
      const expected = JSON.parse(readFileSync(join(PAIRS, pair, "expected.json"), "utf8")) as {
        readonly diff: string;
        readonly tensors: readonly { readonly name: string; readonly sha256: string }[];
      };
      const paths = { B: join(PAIRS, base), D: join(PAIRS, pair, expected.diff), O: join(folder, "out") };
      const words = line
        .split(" ")
        .map((word) => word.replace(/(?<=^|=)[BDO]$/, (place) => paths[place as keyof typeof paths]));
      const { code, out, said } = await weightDiff(["recover", ...words, "--json", "--no-progress"]);
      assert.equal(code, 0, said.join("\n"));
      const wanted = expected.tensors.filter(({ name }) => !name.endsWith("rotary_emb.inv_freq"));
      assert.deepEqual(
        new Map(digests(out) as [string, string][]),
        new Map(wanted.map(({ name, sha256 }) => [name, sha256])),
      );
      assert.equal(existsSync(join(folder, "out", "config.json")), /[ =]O( |$)/.test(line));
    });
  });
}

test("AlpacaFarm's model name says where diff and output are; all at once is refused", async () => {
  await withFolder(async (folder) => {
    const farm = (name: string): Promise<Outcome> =>
      weightDiff(
        [
          ...["recover", "--llama-7b-hf-dir", BASE, "--alpaca-farm-model-name", name, "--models-save-dir", folder],
          ...["--path-to-sft10k", "x", "--offline", "--no-progress"],
        ],
        { HF_HUB_CACHE: join(folder, "cache"), HF_HOME: folder },
      );
    const one = await farm("sft10k");
    assert.equal(one.code, 4, one.said.join("\n"));
    assert.deepEqual(
      one.said[0],
      "weight-diff: --path-to-sft10k: not needed: the script takes the config of a reward model from it, here it is the diff's",
    );
    assert.match(one.said[1] ?? "", /^weight-diff: error: .*tatsu-lab\/alpaca-farm-sft10k-wdiff/);
    const all = await farm("all");
    assert.deepEqual(
      [all.code, all.said[0]],
      [2, "weight-diff: error: --alpaca-farm-model-name: all: one model at a time"],
    );
  });
});

test("verify takes the flags of recover that say which scheme", async () => {
  const diff = join(PAIRS, "knowlm/diff");
  const verify = (...more: readonly string[]): Promise<Outcome> =>
    weightDiff(["verify", diff, "--path_raw", BASE, "--no-progress", ...more]);
  const sum = async (...more: readonly string[]): Promise<unknown> => {
    const { code, out, said } = await verify("--json", ...more);
    assert.equal(code, 0, said.join("\n") + out);
    return (JSON.parse(out) as { readonly sums: unknown }).sums;
  };
  const plain = await sum("--scheme", "knowlm");
  const narrow = await sum("--scheme", "knowlm", "--is_fp16", "True");
  assert.notDeepEqual(narrow, plain);
  assert.deepEqual(narrow, await sum("--scheme", "custom", "--arith", "float16", "--rows", "refuse"));
  assert.deepEqual(await sum("--scheme", "knowlm", "--low-cpu-mem"), plain);
  const fastchat = weightDiff(["verify", diff, "--base-model-path", BASE, "--low-cpu-mem", "--json", "--no-progress"]);
  const { code, out, said } = await fastchat;
  assert.equal(code, 0, said.join("\n") + out);
  assert.deepEqual((JSON.parse(out) as { readonly sums: unknown }).sums, await sum("--scheme", "fastchat-low-mem"));
  const wrong = await verify("--scheme", "alpaca", "--is_fp16");
  assert.deepEqual(
    [wrong.code, wrong.said[0]],
    [2, "weight-diff: error: is_fp16: the script of scheme alpaca has no such flag"],
  );
});

test("BiLLa's published sum is that of its embedding alone, in verify and in recover", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "BiLLa-7B-SFT");
    await cp(join(PAIRS, "billa/diff"), diff, { recursive: true });
    const base = join(PAIRS, "base-billa");
    const run = await weightDiff([
      "recover",
      base,
      diff,
      "--check_integrity_naively",
      "True",
      "--json",
      "--no-progress",
    ]);
    assert.equal(run.code, 3);
    const { sum_check: check } = JSON.parse(run.out) as {
      readonly sum_check: { readonly expected: number; readonly found: number; readonly reason: string };
    };
    assert.equal(check.expected, -3756.942626953125);
    const verified = await weightDiff(["verify", diff, "--path_raw", base, "--no-progress"]);
    assert.equal(verified.code, 3);
    assert.ok(
      verified.out.includes(
        `the sum of model.embed_tokens.weight is ${Number(check.found.toPrecision(9))}, expected -3756.942626953125: off by`,
      ),
      verified.out,
    );
    assert.doesNotMatch(verified.out, /inv_freq/);
  });
});
