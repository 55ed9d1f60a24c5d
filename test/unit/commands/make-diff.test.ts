/** What make-diff writes beside the weights, and situations that random models do not reach: views, ties, buffers, rows. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../../src/commands/inspect.js";
import { licenceOf } from "../../../src/commands/make-diff/card.js";
import { type MakeDiffOptions, makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { WeightDiffError } from "../../../src/errors.js";
import { GUARDS } from "../../../src/evidence/guard-names.js";
import type { MakeDiffManifest } from "../../../src/manifest/manifest.js";
import { readManifest } from "../../../src/manifest/read.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { hashed } from "../../support/kernels.js";
import { refuses } from "../../support/refusal.js";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function manifestOf(diff: string): Promise<MakeDiffManifest> {
  const manifest = await readManifest(join(diff, "weight-diff.json"));
  assert.ok(manifest.operation === "make-diff");
  return manifest;
}

/** Where a diff stands in for a fine-tuned model. The base is still held against the manifest. */
const STAND_INS = GUARDS.filter((guard) => guard !== "wrong-base");

/** Base and diff of a recover case, taken as base and fine-tuned model: containers, views, ties, buffers, rows, NaN. */
const cases = readdirSync(join(FIXTURES, "recover"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

for (const name of cases) {
  const [raw, tuned] = [join(FIXTURES, "recover", name, "base"), join(FIXTURES, "recover", name, "diff")];

  test(`exact gives back every tensor of ${name}`, async () => {
    await withFolder(async (folder) => {
      const diff = join(folder, "diff");
      const report = await makeDiff({ raw, tuned, diff, encoding: "exact", invFreq: "keep", ignore: GUARDS });
      assert.equal(report.inexact.size, 0);
      const { tensors } = await recover({ raw, diff, invFreq: "keep", ignore: STAND_INS });
      const original = await inspect({ path: tuned, digest: true });
      assert.deepEqual(plain(tensors), plain(original.tensors));
    });
  });

  test(`additive gives back of ${name} what its manifest says`, async () => {
    await withFolder(async (folder) => {
      const diff = join(folder, "diff");
      const report = await makeDiff({ raw, tuned, diff, invFreq: "keep", ignore: GUARDS });
      const manifest = await manifestOf(diff);
      const { tensors } = await recover({ raw, diff, invFreq: "keep", ignore: GUARDS });
      assert.deepEqual(
        new Map(tensors.map((tensor) => [tensor.name, tensor.sha256])),
        new Map(manifest.tensors.map((tensor) => [tensor.name, tensor.recovered])),
      );
      // Of a float32 tensor without losses the very bytes come back; of one with losses others.
      const original = new Map(plain((await inspect({ path: tuned, digest: true })).tensors).map((t) => [t.name, t]));
      for (const tensor of manifest.tensors) {
        const stored = original.get(tensor.name);
        assert.equal(tensor.tuned.sha256, stored?.sha256);
        assert.equal(report.inexact.get(tensor.name) ?? 0, tensor.inexact);
        if (stored?.dtype === "F32") {
          assert.equal(tensor.recovered === stored.sha256, tensor.inexact === 0, tensor.name);
        }
      }
    });
  });
}

interface Listed {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}
/** By name: a file of ours does not keep the order of the model. inspect shows the key of a wrapper, which is none of the name. */
const plain = (tensors: readonly Listed[]): readonly Listed[] =>
  tensors
    .map(({ name, dtype, shape, sha256: digest = "" }) => ({
      name: name.replace(/^state_dict\./, ""),
      dtype,
      shape,
      sha256: digest,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));

/** A base and a fine-tuned model of a few tensors, and the folder for their diff. */
async function withPair(
  raw: readonly TensorSpec[],
  tuned: readonly TensorSpec[],
  body: (paths: { readonly raw: string; readonly tuned: string; readonly diff: string }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      "base/model.safetensors": safetensors(...raw),
      "tuned/model.safetensors": safetensors(...tuned),
    });
    await body({ raw: join(folder, "base"), tuned: join(folder, "tuned"), diff: join(folder, "diff") });
  });
}

const EMBEDDING = "model.embed_tokens.weight";
const halves = (seed: number, count: number): Uint16Array =>
  Uint16Array.from(hashed(seed, count), (value) => value & 0xbfff);

test("exact keeps rows and tensors that only the tuned model has as they are", async () => {
  const rows = halves(1, 7 * 5);
  const head = halves(2, 9);
  const tuned = [[EMBEDDING, "BF16", [7, 5], rows] as const, ["adapter.weight", "F16", [9], head] as const];
  await withPair([[EMBEDDING, "F16", [3, 5], halves(3, 15)]], tuned, async ({ raw, tuned, diff }) => {
    const report = await makeDiff({ raw, tuned, diff, encoding: "exact" });
    assert.deepEqual([...report.newRows], [[EMBEDDING, 4]]);
    const { tensors, dtype } = await recover({ raw, diff });
    assert.equal(dtype, null);
    assert.deepEqual(
      tensors.map((tensor) => [tensor.name, tensor.dtype, tensor.sha256]),
      [
        [EMBEDDING, "BF16", sha256(new Uint8Array(rows.buffer))],
        ["adapter.weight", "F16", sha256(new Uint8Array(head.buffer))],
      ],
    );
    const [embedding, adapter] = (await manifestOf(diff)).tensors;
    assert.deepEqual([embedding?.dtype, embedding?.raw?.shape, embedding?.tuned.shape], ["U16", [3, 5], [7, 5]]);
    assert.deepEqual([adapter?.dtype, adapter?.raw], ["F16", null]);
  });
});

const HEADS: readonly (readonly [string, number[]])[] = [
  ["v_head.summary.weight", [1, 5]],
  ["value_head.weight", [1, 5]],
  ["score.weight", [2, 5]],
  ["classifier.bias", [3]],
  ["reward_head.weight", [1, 5]],
  ["my_head.2.weight", [2, 5]],
];
const NORM = ["model.norm.weight", "F16", [5], halves(7, 5)] as const;

for (const encoding of ["additive", "exact"] as const) {
  for (const [head, shape] of HEADS) {
    for (const dtype of ["BF16", "F32"] as const) {
      test(`${encoding}: a ${head} in ${dtype} that only the tuned model has comes back bit for bit`, async () => {
        const bits = dtype === "F32" ? hashed(5, 10).map((value) => value & 0xbfff_ffff) : halves(5, 10);
        const count = shape.reduce((product, size) => product * size, 1);
        const own = [head, dtype, shape, bits.subarray(0, count)] as const;
        const rows = ["lm_head.weight", "F16", [4, 5], halves(9, 20)] as const;
        await withPair([NORM, rows], [NORM, rows, own], async ({ raw, tuned, diff }) => {
          const notes: string[] = [];
          const { inexact } = await makeDiff({ raw, tuned, diff, encoding, onNote: (text) => notes.push(text) });
          assert.equal(inexact.size, 0);
          if (encoding === "additive") {
            assert.match(
              notes.join("\n"),
              new RegExp(`1 tensor \\("${head}"\\) of the tuned model have no counterpart`),
            );
          }
          const card = (await readFile(join(diff, "README.md"))).toString();
          assert.equal(card.includes(`The base has no \`${head}\``), encoding === "additive");
          assert.match(card, /The Python scripts of 2023 (cannot read|add a base to every tensor, so they cannot)/);
          const { tensors, dtype: saved } = await recover({ raw, diff });
          const found = tensors.find(({ name }) => name === head);
          const bytes = new Uint8Array(own[3].buffer, 0, own[3].byteLength);
          assert.deepEqual([found?.dtype, found?.sha256], [dtype, sha256(bytes)]);
          assert.equal(saved, encoding === "additive" ? "F32" : null);
          const published = (await manifestOf(diff)).tensors.find(({ name }) => name === head);
          assert.deepEqual([published?.raw, published?.recovered], [null, sha256(bytes)]);
        });
      });
    }
  }

  test(`${encoding}: a head of another shape than the base's is the tuned model's own`, async () => {
    const theirs = ["score.weight", "F16", [2, 5], halves(5, 10)] as const;
    const ours = ["score.weight", "F16", [4, 5], halves(6, 20)] as const;
    await withPair([NORM, theirs], [NORM, ours], async ({ raw, tuned, diff }) => {
      await makeDiff({ raw, tuned, diff, encoding });
      const { tensors } = await recover({ raw, diff });
      const found = tensors.find(({ name }) => name === "score.weight");
      assert.deepEqual([found?.shape, found?.sha256], [[4, 5], sha256(new Uint8Array(ours[3].buffer))]);
    });
  });

  test(`${encoding}: the base's head is left out where the tuned model has another one, or by its class none`, async () => {
    const head = ["lm_head.weight", "F16", [4, 5], halves(9, 20)] as const;
    const own = ["score.weight", "F16", [2, 5], halves(5, 10)] as const;
    await withPair([NORM, head], [NORM, own], async ({ raw, tuned, diff }) => {
      const notes: string[] = [];
      await makeDiff({ raw, tuned, diff, encoding, onNote: (text) => notes.push(text) });
      const note = '1 tensor ("lm_head.weight") is of the base\'s head, which the tuned model does not have: left out';
      assert.ok(notes.includes(note), notes.join("\n"));
      const { tensors } = await recover({ raw, diff });
      assert.deepEqual(tensors.map(({ name }) => name).sort(), ["model.norm.weight", "score.weight"]);
    });
    await withPair([NORM, head], [NORM], async ({ raw, tuned, diff }) => {
      await refuses(
        () => makeDiff({ raw, tuned, diff, encoding }),
        "MISMATCH",
        /"lm_head.weight" \[4, 5\] is in the base/,
      );
      const config = (architecture: string): string =>
        JSON.stringify({ architectures: [architecture], tie_word_embeddings: false });
      await writeFile(join(tuned, "config.json"), config("LlamaForCausalLM"));
      await refuses(
        () => makeDiff({ raw, tuned, diff, encoding }),
        "MISMATCH",
        /"lm_head.weight" \[4, 5\] is in the base/,
      );
      await writeFile(join(tuned, "config.json"), config("LlamaForSequenceClassification"));
      await makeDiff({ raw, tuned, diff, encoding });
      const { tensors } = await recover({ raw, diff });
      assert.deepEqual(
        tensors.map(({ name }) => name),
        ["model.norm.weight"],
      );
    });
  });
}

test("a norm of the tuned model's own head makes no full model of the diff", async () => {
  const ones = new Uint16Array(20).fill(0x3c00);
  const own = ["lm_head.layer_norm.weight", "F16", [20], ones] as const;
  const rest = ["model.up_proj.weight", "F16", [4, 5], halves(9, 20)] as const;
  for (const encoding of ["additive", "exact"] as const) {
    await withPair(
      [rest],
      [["model.up_proj.weight", "F16", [4, 5], halves(3, 20)], own],
      async ({ raw, tuned, diff }) => {
        await makeDiff({ raw, tuned, diff, encoding, ignore: GUARDS });
        assert.equal((await recover({ raw, diff })).tensors.length, 2);
      },
    );
  }
});

test("additive: another dtype that is asked for is the head's too", async () => {
  const own = ["score.weight", "F32", [2, 5], hashed(5, 10).map((value) => value & 0xbfff_ffff)] as const;
  await withPair([NORM], [NORM, own], async ({ raw, tuned, diff }) => {
    await makeDiff({ raw, tuned, diff });
    const { tensors } = await recover({ raw, diff, dtype: "BF16" });
    assert.deepEqual(
      tensors.map(({ name, dtype }) => [name, dtype]),
      [
        ["model.norm.weight", "BF16"],
        ["score.weight", "BF16"],
      ],
    );
  });
});

test("additive: a tensor that is of no head is not kept silently", async () => {
  const more = ["model.layers.9.mlp.up_proj.weight", "F16", [2, 5]] as const;
  await withPair([NORM], [NORM, more], ({ raw, tuned, diff }) =>
    refuses(
      () => makeDiff({ raw, tuned, diff }),
      "MISMATCH",
      /"model.layers.9.mlp.up_proj.weight" \[2, 5\] is in the tuned/,
    ),
  );
});

test("additive: what only the tuned model has can be kept by another encoding", async () => {
  await withPair([NORM], [NORM, ["adapter.weight", "F16", [9]]], ({ raw, tuned }) =>
    assert.rejects(makeDiff({ raw, tuned }), (error) => {
      assert.ok(error instanceof WeightDiffError, String(error));
      const advice = { to: "keep what only the tuned model has", option: "encoding", value: "exact" };
      assert.deepEqual([error.hint, error.advice], [undefined, [advice]]);
      return true;
    }),
  );
});

test("additive: the words for own tensors are in no file that has none", async () => {
  await withPair([NORM], [NORM], async ({ raw, tuned, diff }) => {
    await makeDiff({ raw, tuned, diff, ignore: GUARDS });
    assert.doesNotMatch((await readFile(join(diff, "model.safetensors"))).toString("latin1"), /weight_diff_tensors/);
  });
});

test("exact gives back a mask that the base keeps as numbers", async () => {
  const [mask, old] = [Uint8Array.of(1, 0, 0, 1), Uint8Array.of(1, 1, 0, 0)];
  await withPair([["h.0.mask", "U8", [4], old]], [["h.0.mask", "BOOL", [4], mask]], async ({ raw, tuned, diff }) => {
    const report = await makeDiff({ raw, tuned, diff, encoding: "exact" });
    assert.equal(report.inexact.size, 0);
    const { tensors } = await recover({ raw, diff });
    assert.deepEqual([tensors[0]?.dtype, tensors[0]?.sha256], ["BOOL", sha256(mask)]);
  });
});

test("additive stores a mask as it is, and counts the bits that only the base has", async () => {
  const [mask, old] = [Uint8Array.of(1, 0, 0, 1), Uint8Array.of(1, 1, 0, 0)];
  await withPair([["h.0.mask", "BOOL", [4], old]], [["h.0.mask", "BOOL", [4], mask]], async ({ raw, tuned, diff }) => {
    const report = await makeDiff({ raw, tuned, diff });
    assert.deepEqual([...report.inexact], [["h.0.mask", 1]]);
    const [stored] = (await manifestOf(diff)).tensors;
    assert.equal(stored?.sha256, sha256(mask));
    const { tensors } = await recover({ raw, diff });
    assert.equal(tensors[0]?.sha256, sha256(Uint8Array.of(1, 1, 0, 1)));
  });
});

test("additive refuses what it cannot hold, every tensor at once", async () => {
  const tuned = [["a", "F16", [2]] as const, ["b", "F16", [2]] as const, ["c", "I32", [2]] as const];
  await withPair([["c", "I64", [2]]], tuned, async ({ raw, tuned, diff }) => {
    await assert.rejects(makeDiff({ raw, tuned, diff }), (error) => {
      assert.ok(error instanceof WeightDiffError && error.code === "MISMATCH", String(error));
      assert.match(error.message, /do not fit: 3 tensors, the first of them: "a" /);
      assert.match(error.problems.join("\n"), /^"a".*\n"b".*\n"c": I64 .* and I32 /);
      return true;
    });
    assert.deepEqual(await readdir(join(diff, "..")), ["base", "tuned"]);
  });
});

test("the base as the tuned model is refused, by whatever way it is reached", async () => {
  await withPair([NORM], [NORM], async ({ raw, tuned, diff }) => {
    const link = join(raw, "../link");
    await symlink(raw, link);
    for (const same of [raw, join(raw, "model.safetensors"), join(raw, "../tuned/../base"), link]) {
      await refuses(() => makeDiff({ raw, tuned: same, diff }), "USAGE", /^base and tuned model are the same files: /);
    }
    assert.deepEqual((await readdir(join(raw, ".."))).sort(), ["base", "link", "tuned"]);
    for (const encoding of ["additive", "exact"] as const) {
      const warnings: string[] = [];
      const onWarning = (text: string): number => warnings.push(text);
      await makeDiff({ raw, tuned, encoding, onWarning });
      assert.deepEqual(warnings, [
        "every tensor of the tuned model has the same bits as the base's: the diff is all zeros",
      ]);
    }
  });
});

test("a model with one trained tensor is not called unchanged", async () => {
  const trained = ["model.norm.weight", "F16", [5], halves(8, 5)] as const;
  const rest = ["lm_head.weight", "F16", [4, 5], halves(9, 20)] as const;
  await withPair([NORM, rest], [trained, rest], async ({ raw, tuned }) => {
    const warnings: string[] = [];
    await makeDiff({ raw, tuned, ignore: GUARDS, onWarning: (text) => warnings.push(text) });
    assert.deepEqual(warnings, []);
  });
});

test("refuses a tuned model with fewer rows, another width, or more rows than --rows allows", async () => {
  const base = [[EMBEDDING, "F16", [4, 3]]] as const;
  for (const [shape, more, words] of [
    [[3, 3], {}, /the base has 1 row too many/],
    [[4, 4], {}, /\[4, 3\] in the base .*, \[4, 4\] in the tuned/],
    [[5, 3], { rows: "refuse" }, /1 new row, which you asked to refuse/],
    [[69, 3], {}, /65 new rows; more than 64 must be asked for/],
  ] as const) {
    await withPair(base, [[EMBEDDING, "F16", shape]], async (paths) => {
      await refuses(() => makeDiff({ ...paths, ...more }), "MISMATCH", words);
    });
  }
  await withPair(base, [[EMBEDDING, "F16", [69, 3]]], async (paths) => {
    assert.deepEqual([...(await makeDiff({ ...paths, rows: "mean" })).newRows], [[EMBEDDING, 65]]);
    for (const rows of [null, "mean"] as const) {
      const { newRows } = await recover({ raw: paths.raw, diff: paths.diff, rows });
      assert.deepEqual([...newRows], [[EMBEDDING, 65]]);
    }
  });
});

test("a NaN that bfloat16 cannot give back is counted, and recover --dtype bfloat16 does not stumble over it", async () => {
  const tuned = Uint16Array.of(0x7fc1, 0x3f80, 0xffff, 0x8000);
  await withPair([["t", "BF16", [4]]], [["t", "BF16", [4], tuned]], async ({ raw, tuned, diff }) => {
    const report = await makeDiff({ raw, tuned, diff });
    // 0x7fc1 becomes 0xffff, and -0 + 0 is 0.
    assert.deepEqual([...report.inexact], [["t", 2]]);
    assert.equal((await recover({ raw, diff, dtype: "BF16" })).outcome, "checked");
  });
});

const SIDE_FILES = {
  "config.json": '{"model_type": "llama", "torch_dtype": "bfloat16", "rope_scaling": 1.0, "vocab_size": 1}\n',
  "tokenizer.json": '{"big": 1e+30}\n',
  "LICENSE.txt": "made up\n",
  NOTICE: "made up too\n",
  "training_args.bin": "left behind",
  "README.md": "the tuned model's own",
};
const DEMO = { raw: join(FIXTURES, "demo/base"), tuned: join(FIXTURES, "demo/diff"), ignore: STAND_INS };

for (const encoding of ["additive", "exact"] as const) {
  test(`${encoding}: side files are copied, and every digest of the manifest is that of the file`, async () => {
    await withPair([["t", "F16", [3]]], [["t", "BF16", [3]]], async ({ raw, tuned, diff }) => {
      await writeFiles(tuned, SIDE_FILES);
      const notes: string[] = [];
      const options = { raw, tuned, diff, encoding, onNote: (text: string) => notes.push(text) };
      await makeDiff(options);
      assert.ok(notes.includes("not copied from the tuned model: README.md, training_args.bin"), notes.join("\n"));
      const written = (await readdir(diff)).sort();
      assert.deepEqual(written, [
        ...["LICENSE.txt", "NOTICE", "README.md", "config.json", "model.safetensors", "tokenizer.json"],
        "weight-diff.json",
      ]);
      for (const file of ["tokenizer.json", "LICENSE.txt", "NOTICE"] as const) {
        assert.equal(await readFile(join(diff, file), "utf8"), SIDE_FILES[file]);
      }
      // An additive diff is float32; of an exact one, config and weights are the tuned model's.
      const dtype = encoding === "additive" ? "float32" : "bfloat16";
      assert.equal(
        await readFile(join(diff, "config.json"), "utf8"),
        SIDE_FILES["config.json"].replace("bfloat16", dtype),
      );
      const { files, side_files } = await manifestOf(diff);
      for (const { file, size, sha256: digest } of [...files, ...side_files]) {
        const bytes = await readFile(join(diff, file));
        assert.deepEqual([size, digest], [bytes.length, sha256(bytes)], file);
      }
      assert.deepEqual(side_files.map(({ file }) => file).sort(), [
        "LICENSE.txt",
        "NOTICE",
        "README.md",
        "config.json",
        "tokenizer.json",
      ]);
    });
  });
}

test("every shard has its digest in the manifest and the mark of a diff", async () => {
  for (const encoding of ["additive", "exact"] as const) {
    await withFolder(async (folder) => {
      const diff = join(folder, "diff");
      await makeDiff({ ...DEMO, diff, encoding, maxShardSize: 100_000, threads: 2 });
      const { files, digest, ...rest } = JSON.parse(await readFile(join(diff, "weight-diff.json"), "utf8"));
      assert.ok(files.length > 3 && /^[0-9a-f]{64}$/.test(digest));
      assert.deepEqual(
        files.map((entry: { file: string }) => entry.file),
        (await readdir(diff)).filter((file) => file.endsWith(".safetensors")).sort(),
      );
      for (const entry of files) {
        const bytes = await readFile(join(diff, entry.file));
        assert.equal(entry.sha256, sha256(bytes));
        const header = JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE(0))));
        assert.equal(header.__metadata__.weight_diff, encoding);
      }
      assert.ok(!JSON.stringify(rest).includes(folder), "no path is in the manifest");
    });
  }
});

async function card(options: Partial<MakeDiffOptions>, body: (text: string, notes: readonly string[]) => void) {
  await withFolder(async (folder) => {
    const notes: string[] = [];
    const diff = join(folder, "diff");
    await makeDiff({ ...DEMO, diff, ...options, onNote: (text) => notes.push(text) });
    body(await readFile(join(diff, "README.md"), "utf8"), notes);
  });
}

test("the model card names the base, the command and the digest of every file", async () => {
  await card({ baseModel: "org/base-7b", maxShardSize: 200_000 }, (text, notes) => {
    assert.equal(
      text.slice(0, text.indexOf("# A weight diff, not a model")),
      `---
base_model: org/base-7b
base_model_relation: finetune
license: other
library_name: transformers
tags:
- weight-diff
---

`,
    );
    assert.match(text, /^pip install weight-diff .*npm install --global weight-diff$/m);
    assert.match(
      text,
      /^weight-diff recover --path_raw org\/base-7b --path_diff <this folder> --path_tuned <output folder>$/m,
    );
    assert.equal(text.match(/^\| model-0000\d-of-0000\d\.safetensors \| [\d.]+ kB \| `[0-9a-f]{64}` \|$/gm)?.length, 4);
    assert.ok(!notes.some((note) => note.includes("README.md:")));
  });
});

test("the card lists every file that it lies beside, as the manifest has them", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    await makeDiff({ ...DEMO, diff });
    const rows = (await readFile(join(diff, "README.md"), "utf8")).matchAll(/^\| (\S+) \| [^|]+ \| `(\w+)` \|$/gm);
    const listed = [...rows].map(([, file, digest]) => `${file} ${digest}`);
    const there = (await readdir(diff)).filter((file) => file !== "README.md" && file !== "weight-diff.json");
    assert.deepEqual(listed.sort(), there.map((file) => `${file} ${sha256(readFileSync(join(diff, file)))}`).sort());
  });
});

test("the card says what the model needs and the diff does not bring", async () => {
  await card({}, (text) => assert.doesNotMatch(text, /has no tokenizer|code of its own/));
  const bare = join(FIXTURES, "odd/plain");
  await card({ raw: join(bare, "base"), tuned: join(bare, "diff"), ignore: GUARDS }, (text) => {
    assert.match(text, /It has no tokenizer: the base's serves if it has the same vocabulary\.$/m);
  });
  await withFolder(async (folder) => {
    const tuned = join(folder, "tuned");
    cpSync(join(bare, "diff"), tuned, { recursive: true });
    const config = JSON.parse(readFileSync(join(tuned, "config.json"), "utf8"));
    const text = JSON.stringify({ ...config, auto_map: { AutoModel: "modeling_x.X" } });
    await writeFile(join(tuned, "config.json"), text);
    await card({ raw: join(bare, "base"), tuned, ignore: GUARDS }, (page) => {
      assert.match(page, /needs code of its own \(`auto_map` in config\.json\), which is not here\./);
    });
  });
});

test("the card's command keeps the buffers that the diff has", async () => {
  await card({ invFreq: "keep" }, (text) => assert.match(text, /--path_tuned <output folder> --inv-freq keep$/m));
  await card({}, (text) => assert.doesNotMatch(text, /--inv-freq/));
});

test("the fine-tuned model's own card tells its licence", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "tuned");
    cpSync(DEMO.tuned, tuned, { recursive: true });
    await writeFile(join(tuned, "README.md"), "---\nlicense: apache-2.0\ntags: [x]\n---\nlicense: mit\n");
    await card({ tuned }, (text) => assert.match(text, /^---\n[^-]*^license: apache-2\.0\n/m));
  });
});

for (const [what, page, lines] of [
  ["one licence", "---\nlicense: mit\n---\n", ["license: mit"]],
  [
    "a licence with a name and an address, line ends of Windows",
    "\ufeff---\r\nlicense: other\r\nlicense_name: llama2\r\nlicense_link: https://x.org/l\r\n---\r\n",
    ["license: other", "license_name: llama2", "license_link: https://x.org/l"],
  ],
  ["no front matter", "license: mit\n", []],
  ["a front matter without an end", "---\nlicense: mit\n", []],
  ["a licence below the front matter", "---\ntags: [x]\n---\nlicense: mit\n", []],
  ["more than a word", "---\nlicense: mit\u0007\nlicense: [a, b]\nlicense: `rm`\n---\n", []],
  ["nothing", "", []],
] as const) {
  test(`a card's licence: ${what}`, () => assert.deepEqual(licenceOf(page), lines));
}

test("the card says whether the Python scripts can read the diff", async () => {
  await card({}, (text) => assert.match(text, /^The `recover` of Stanford Alpaca's .* gives the same tensors\.$/m));
  await card({ encoding: "exact" }, (text) => assert.match(text, /^The Python scripts of 2023 cannot read this/m));
  for (const [name, words] of [
    [
      "recover/rows-none",
      "gives the same tensors, if the base's tokenizer has a padding token: it adds one vocabulary row",
    ],
    [
      "recover/zip-single",
      "gives the same tensors, if the base's tokenizer has no padding token: it adds one vocabulary row",
    ],
    ["recover/rows-three", "this diff has 3 new rows, so they may refuse it."],
    ["recover/zip-sharded", "gives the same tensors."],
  ] as const) {
    const pair = join(FIXTURES, name);
    await card({ raw: join(pair, "base"), tuned: join(pair, "diff"), ignore: ["not-a-model"] }, (text) => {
      assert.ok(text.includes(words), `${name}: ${text}`);
    });
  }
});

test("without a name for the base the card leaves the place open, and that is said", async () => {
  await card({}, (text, notes) => {
    assert.match(text, /^---\n# base_model: the base's name on the Hub belongs here\nlicense: other\n/);
    assert.match(text, /against `base`/);
    assert.ok(notes.includes("README.md: the base's name on the Hub is not known: fill it in"));
  });
});

test("a base that is a single file has a name on the card too", async () => {
  const pair = join(FIXTURES, "recover/safetensors-single");
  await card({ raw: join(pair, "base/model.safetensors"), tuned: join(pair, "diff") }, (text) => {
    assert.match(text, /against `model\.safetensors`/);
    assert.match(text, /--path_raw <folder of model\.safetensors>/);
  });
});

test("a README.md that is there is never overwritten, everything else is", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    await makeDiff({ ...DEMO, diff });
    await writeFile(join(diff, "README.md"), "mine");
    await writeFile(join(diff, "LICENSE.txt"), "old");
    await makeDiff({ ...DEMO, diff, encoding: "exact", mode: "force" });
    assert.equal(await readFile(join(diff, "README.md"), "utf8"), "mine");
    assert.equal(
      await readFile(join(diff, "LICENSE.txt"), "utf8"),
      readFileSync(join(DEMO.tuned, "LICENSE.txt"), "utf8"),
    );
    assert.equal((await manifestOf(diff)).encoding, "exact");
  });
});

test("--resume verifies a finished diff, refuses another encoding, and finds a flipped byte", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    await makeDiff({ ...DEMO, diff });
    const { outcome } = await makeDiff({ ...DEMO, diff, mode: "resume" });
    assert.equal(outcome, "verified");
    await refuses(
      () => makeDiff({ ...DEMO, diff, mode: "resume", encoding: "exact" }),
      "OUTPUT_REFUSED",
      /made otherwise: another encoding/,
    );
    const path = join(diff, "model.safetensors");
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(path, bytes);
    await refuses(() => makeDiff({ ...DEMO, diff, mode: "resume" }), "CHECK_FAILED", /1 of \d+ tensors are not what/);
  });
});

test("refuses an output that is or lies in an input, and a quantised model, before anything is written", async () => {
  for (const diff of [DEMO.raw, DEMO.tuned, join(DEMO.tuned, "diff")]) {
    await refuses(() => makeDiff({ ...DEMO, diff, mode: "force" }), "OUTPUT_REFUSED", /input/);
  }
  const quantised = join(FIXTURES, "refuse/gptq-base/base");
  await refuses(() => makeDiff({ ...DEMO, tuned: quantised }), "FORMAT_UNSUPPORTED", /^tuned model .*quantised/);
  await refuses(() => makeDiff({ ...DEMO, raw: quantised }), "FORMAT_UNSUPPORTED", /^base .*quantised/);
});
