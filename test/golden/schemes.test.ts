/**
 * Every pair under fixtures/schemes: each tensor must be, sha256 for sha256, what the family's own script saved, in the dtype it
 * saved it in, and `--scheme auto` must find the scheme, or one that gives the same bits, or refuse.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { WeightDiffError } from "../../src/errors.js";
import { weightDiff } from "../cli/command.js";
import { FIXTURES } from "../support/fixtures.js";
import { hintOf } from "../support/refusal.js";

interface Expected {
  readonly scheme: string;
  /** Folders, seen from fixtures/schemes and from the pair's own. */
  readonly base: string;
  readonly diff: string;
  /** Of the config.json that the script wrote; null or absent where it wrote none, or one without. */
  readonly files: { readonly vocab_size?: number | null; readonly torch_dtype?: string | null };
  readonly originals: readonly { readonly repo: string; readonly file: string }[];
  readonly tensors: readonly Tensor[];
}
interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}

/**
 * What `--scheme auto` does with a diff whose folder has no published name and whose config remembers none. "finds": the same
 * bits as the script. "refuses": by dtypes and shapes alone several scripts could have made it, which give different bits
 * here. "asks": files or values tell whose diff it is, and only the user what is to become of it.
 */
const AUTO: Readonly<Record<string, "finds" | "refuses" | "asks">> = {
  // All float32, at most one new row.
  alpaca: "finds",
  "open-instruct": "finds",
  knowlm: "finds",
  // The files of knowlm, recovered with --is_fp16.
  "knowlm-narrowed": "asks",
  // model_sum.txt lies beside it.
  "alpaca-farm": "finds",
  "alpaca-farm-padded": "finds",
  "alpaca-farm-reward": "finds",
  // Its tokenizer knows <GIST>; without that, nothing sets it apart from alpaca, which gives another last row.
  gisting: "finds",
  // reward_head.
  "moss-rlhf-reward": "finds",
  // Embeddings and last norm are the model's own: no other script leaves both alone.
  "moss-rlhf-sft": "finds",
  // checksum_psum.txt lies beside it.
  landmark: "finds",
  // mm_projector.
  llava: "finds",
  "llava-bf16-base": "finds",
  // The files of llava, for another framework.
  "mmpretrain-llava": "asks",
  "mmpretrain-llava-bf16-base": "asks",
  // language_model.
  husky: "finds",
  // patch_history.json lies beside it.
  openchinesellama: "finds",
  // A full model whose input embedding is twice the base's.
  billa: "finds",
  // Three new rows in float32: gisting would add nothing to them, lawyer-llama the mean.
  "lawyer-llama": "refuses",
  // The files of knowlm and of lmflow, given to FastChat's script.
  "fastchat-f32": "asks",
  "fastchat-f32-bf16-base": "asks",
  "fastchat-f32-low-cpu-mem": "asks",
  "fastchat-bf16": "refuses",
  "fastchat-bf16-low-cpu-mem": "refuses",
  // Float16 without a mark: added in float16, in float32, or with --low-cpu-mem in the base's dtype.
  fastchat: "refuses",
  "fastchat-bf16-base": "refuses",
  "fastchat-low-cpu-mem": "refuses",
  "fastchat-v0": "refuses",
  llmzoo: "refuses",
  "knowlm-fp16": "refuses",
  // The same in bfloat16; YuLan-Chat's own script had both ways.
  lmflow: "refuses",
  "lmflow-low-cpu-mem": "refuses",
  yulan: "refuses",
  "yulan-f32": "refuses",
  // EasyLM's own files say what they are; converted ones look like any bfloat16 diff.
  koala: "refuses",
  // Embeddings are the model's own, which leaves huatuo, ziya and pandallm, with and without --low-cpu-mem.
  huatuo: "refuses",
  ziya: "refuses",
  "ziya-low-cpu-mem": "refuses",
  pandallm: "refuses",
  "pandallm-low-cpu-mem": "refuses",
};

/** Refused, but the pair's scheme, or one of the same bits, is what is named first. */
const LIKELIEST: readonly string[] = [
  "fastchat",
  "fastchat-bf16-base",
  "fastchat-v0",
  "llmzoo",
  "knowlm-fp16",
  "lawyer-llama",
  "lmflow",
  "yulan",
  "huatuo",
  "ziya",
  "pandallm",
];

/** The last part of a repository's name under which the family was published. */
const PUBLISHED: Readonly<Record<string, string>> = {
  alpaca: "alpaca-7b-wdiff",
  "open-instruct": "tulu-7b",
  "alpaca-farm": "alpaca-farm-sft10k-wdiff",
  "alpaca-farm-reward": "alpaca-farm-reward-model-sim-wdiff",
  gisting: "llama-7b-gist-1",
  knowlm: "zhixi-13b-diff",
  "knowlm-fp16": "zhixi-13b-diff-fp16",
  "moss-rlhf-sft": "moss-rlhf-sft-model-7B-en",
  "moss-rlhf-reward": "moss-rlhf-reward-model-7B-zh",
  landmark: "landmark-attention-llama7b-wdiff",
  yulan: "YuLan-Chat-1-65B-v2-delta",
  "fastchat-v0": "vicuna-13b-delta-v0",
  llmzoo: "chimera-inst-chat-7b-delta",
  fastchat: "vicuna-7b-delta-v1.1",
  lmflow: "robin-7b-v2-delta",
  llava: "LLaVA-7b-delta-v0",
  husky: "husky-7b-delta-v0_01",
  huatuo: "HuatuoGPT-13b-delta",
  ziya: "Ziya-LLaMA-13B-v1",
  openchinesellama: "open-chinese-llama-7b-patch",
  billa: "BiLLa-7B-SFT",
};

const SCHEMES = join(FIXTURES, "schemes");
const cases = readdirSync(SCHEMES).filter((name) => existsSync(join(SCHEMES, name, "expected.json")));
const isBuffer = ({ name }: Tensor): boolean => name.endsWith("rotary_emb.inv_freq");

/** One of each kind, with the scripts' own flags where they change bits: a process takes long to start. */
const COMMAND_LINES: Readonly<Record<string, readonly string[]>> = {
  "alpaca-farm-reward": ["--scheme", "alpaca-farm"],
  "knowlm-fp16": ["--scheme", "knowlm", "--is_fp16", "True"],
  "moss-rlhf-reward": ["--scheme", "moss-rlhf"],
  yulan: ["--scheme", "yulan"],
  "fastchat-v0": ["--scheme", "fastchat-v0"],
  "lmflow-low-cpu-mem": ["--scheme", "lmflow", "--low-cpu-mem"],
  llava: ["--scheme", "llava"],
  husky: ["--scheme", "husky"],
  ziya: ["--scheme", "ziya"],
  openchinesellama: ["--scheme", "openchinesellama"],
  billa: ["--scheme", "billa"],
  koala: ["--scheme", "koala"],
};

/** The script copies the diff's config, whose dtype is not that of the sums. */
const MENDED_DTYPE: Readonly<Record<string, string>> = {
  "lmflow-low-cpu-mem": "float16",
  "fastchat-bf16-low-cpu-mem": "float16",
  "fastchat-f32-low-cpu-mem": "float16",
};

test("every pair has its expectation of auto, and every expectation its pair", () => {
  assert.deepEqual(Object.keys(AUTO).sort(), cases.toSorted());
  assert.ok([...Object.keys(PUBLISHED), ...Object.keys(COMMAND_LINES)].every((name) => cases.includes(name)));
});

for (const name of cases) {
  const expected = JSON.parse(readFileSync(join(SCHEMES, name, "expected.json"), "utf8")) as Expected;
  const diff = join(SCHEMES, name, expected.diff);
  // The converter for mmpretrain leaves out the buffers of the base and not those of the diff.
  const invFreq = expected.scheme.startsWith("mmpretrain") ? "drop" : "keep";
  const wanted = sorted(expected.tensors.filter((tensor) => invFreq === "keep" || !isBuffer(tensor)));
  const raw = join(SCHEMES, expected.base);
  const options: RecoverOptions = { raw, diff, scheme: expected.scheme, invFreq, threads: 1 };
  const original = expected.originals.at(-1);

  test(`${name}: every tensor is what ${original?.repo} ${original?.file} saved`, async () => {
    await withOutput(async (tuned) => {
      const report = await recover({ ...options, tuned });
      assert.deepEqual(sorted(report.tensors), wanted);
      const { tensors } = await inspect({ path: tuned, digest: true });
      assert.deepEqual(sorted(tensors), wanted);
      const config = JSON.parse(readFileSync(join(tuned, "config.json"), "utf8")) as Expected["files"];
      assert.equal(config.vocab_size, expected.files.vocab_size ?? config.vocab_size);
      assert.equal(config.torch_dtype, MENDED_DTYPE[name] ?? expected.files.torch_dtype ?? config.torch_dtype);
    });
  });

  test(`${name}: windows, threads and shards change nothing`, async () => {
    await withOutput(async (tuned) => {
      await recover({ ...options, tuned, windowBytes: 65_536, threads: 2, maxShardSize: 7_000 });
      const { tensors } = await inspect({ path: tuned, digest: true });
      assert.deepEqual(sorted(tensors), wanted);
    });
  });

  const flags = COMMAND_LINES[name];
  if (flags !== undefined) {
    test(`${name}: the command line gives the same with ${flags.join(" ")}`, async () => {
      await withOutput(async (tuned) => {
        const paths = ["--path_raw", raw, "--path_diff", diff, "--path_tuned", tuned];
        const { code, said } = await weightDiff(["recover", ...paths, ...flags, "--max-shard-size", "30KB", "--quiet"]);
        assert.equal(code, 0, said.join("\n"));
        const { tensors } = await inspect({ path: tuned, digest: true });
        assert.deepEqual(sorted(tensors), sorted(expected.tensors.filter((tensor) => !isBuffer(tensor))));
      });
    });
  }

  if (AUTO[name] === "finds") {
    test(`${name}: auto gives the script's bits`, async () => {
      const report = await recover({ ...options, scheme: "auto" });
      assert.deepEqual(sorted(report.tensors), wanted, `${report.scheme}: ${report.schemeReason}`);
    });
  }

  if (AUTO[name] === "refuses") {
    test(`${name}: auto refuses, and names the scheme among the candidates`, async () => {
      await assert.rejects(recover({ ...options, scheme: "auto" }), (error) => {
        assert.ok(error instanceof WeightDiffError && error.code === "SCHEME_UNKNOWN", String(error));
        const [said = "", ...lines] = hintOf(error).split("\n") ?? [];
        const naming = lines.findIndex((line) => new RegExp(`[ ,] ?${expected.scheme}(,|\\)| )`).test(line));
        assert.ok(naming >= 0 && lines.length > 1 && lines.length <= 6, hintOf(error));
        if (LIKELIEST.includes(name)) {
          assert.equal(naming, 0, hintOf(error));
          assert.match(said, name === "lawyer-llama" ? /made it:$/ : /likeliest first \(.+\):$/);
        }
        return true;
      });
    });
  }

  const published = PUBLISHED[name];
  if (published !== undefined) {
    test(`${name}: auto knows it as ${published}, and a renamed copy by its config`, async () => {
      await withOutput(async (_, folder) => {
        const copy = join(folder, published);
        await cp(diff, copy, { recursive: true });
        const report = await recover({ ...options, diff: copy, scheme: "auto", dryRun: true });
        assert.equal(report.scheme, expected.scheme, report.schemeReason);
        const renamed = join(folder, "mine");
        await rename(copy, renamed);
        const file = join(renamed, "config.json");
        const config = JSON.parse(readFileSync(file, "utf8")) as object;
        await writeFile(file, JSON.stringify({ ...config, _name_or_path: `org/${published}` }));
        const again = await recover({ ...options, diff: renamed, scheme: "auto", dryRun: true });
        assert.equal(again.scheme, expected.scheme, again.schemeReason);
      });
    });
  }
}

function sorted(tensors: readonly Tensor[]): readonly unknown[] {
  return tensors
    .map(({ name, dtype, shape, sha256 }) => ({ name, dtype, shape, sha256 }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function withOutput(body: (tuned: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "weight-diff-"));
  try {
    await body(join(folder, "tuned"), folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
