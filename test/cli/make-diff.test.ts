/** make-diff as a user runs it: help, flags, whole lines, exit codes, and the command that its model card prints. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { BASE, type Outcome, recoverDemo, weightDiff } from "./command.js";

/** The demo's model in bfloat16: one new row, a tokenizer, licences. */
const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
const TUNED = join(HOME, "tuned");
const INPUTS = ["--path_raw", BASE, "--path_tuned", TUNED];
before(async () => {
  assert.equal((await recoverDemo("--path_tuned", TUNED, "--dtype", "bfloat16")).code, 0);
  await writeFiles(TUNED, { "README.md": "the model's own", "training_args.bin": "x" });
});
after(() => rmSync(HOME, { recursive: true }));
const makeDemo = (...more: readonly string[]): Promise<Outcome> => weightDiff(["make-diff", ...INPUTS, ...more]);
const TOOK = /^ {2}took {5}\d+\.\d\d s: read 665 kB, wrote (665 kB|0 B), [\d.]+ [kM]B\/s, peak memory [\d.]+ MB$/;
const BUFFERS =
  'weight-diff: 2 buffers ("model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq"), which models compute, are in the base only: not needed';
const SAID = [
  BUFFERS,
  "weight-diff: model.embed_tokens.weight: 1 new row - the mean of the base's",
  "weight-diff: lm_head.weight: 1 new row - the mean of the base's",
];

test("make-diff --help names every flag and hides those of other scripts", async () => {
  const { code, out } = await weightDiff(["make-diff", "--help"]);
  assert.equal(code, 0);
  assert.match(out, /^weight-diff make-diff: tuned - base -> a diff that can be published\n\nusage:\n/);
  const flags = [
    ...["--path_raw", "--path_tuned", "--path_diff", "--encoding", "--base-model", "--max-shard-size", "--inv-freq"],
    ...["--rows", "--dry-run", "--force", "--resume", "--ignore", "--json", "--quiet", "--no-progress", "--threads"],
  ];
  assert.deepEqual(
    flags.filter((flag) => !new RegExp(`^  ${flag}\\b`, "m").test(out)),
    [],
  );
  assert.doesNotMatch(out, /--device|--scheme|--dtype/);
});

test("--report puts what changed beside the diff and into its card; in parts too; verify knows the files, recover leaves them", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    const asked = ["--encoding", "exact", "--report", "--base-model", "my-org/my-base", "--quiet"];
    assert.equal((await makeDemo("--path_diff", diff, ...asked)).code, 0);
    const card = await readFile(join(diff, "README.md"), "utf8");
    assert.match(
      card,
      /## What changed\n\nThe fine-tune changed \d+ of 166208 elements, relative change [\d.e-]+\. `report\.html` has .*\n\n!\[Relative change by module and layer\]\(change-map\.svg\)\n/,
    );
    const page = await readFile(join(diff, "report.html"), "utf8");
    assert.match(page, /"base":"my-org\/my-base","path":"tuned","scheme":null,/);
    assert.ok(!page.includes(HOME), "where the models lie is nobody's business");
    assert.match(await readFile(join(diff, "change-map.svg"), "utf8"), /^<svg /);
    const listed = JSON.parse(await readFile(join(diff, "weight-diff.json"), "utf8")).side_files;
    const names = listed.map(({ file }: { file: string }) => file);
    assert.ok(names.includes("report.html") && names.includes("change-map.svg"), names.join());
    assert.equal((await weightDiff(["verify", diff, "--require", "digests", "--quiet"])).code, 0);
    // The same from parts.
    const parted = join(folder, "parted");
    for (const part of ["0/2", "1/2"]) {
      const one = await makeDemo("--path_diff", parted, ...asked, "--max-shard-size", "100kB", "--part", part);
      assert.equal(one.code, 0, one.said.join("\n"));
    }
    assert.equal((await weightDiff(["finalize", parted, "--quiet"])).code, 0);
    assert.equal(await readFile(join(parted, "report.html"), "utf8"), page);
    // A page that somebody changed is a warning, as a card is.
    await writeFile(join(diff, "report.html"), "changed");
    const { code, out, said } = await weightDiff(["verify", diff]);
    assert.equal(code, 0);
    assert.match(`${out}${said.join("\n")}`, /report\.html/);
    const back = join(folder, "back");
    assert.equal(
      (await weightDiff(["recover", "--path_raw", BASE, "--path_diff", diff, "--path_tuned", back])).code,
      0,
    );
    assert.ok(!(await readdir(back)).some((name) => name === "report.html" || name === "change-map.svg"));
  });
});

test("--report is refused where there is nothing to put it beside", async () => {
  const none = await makeDemo("--report");
  assert.deepEqual([none.code, none.said.at(-1)], [2, "weight-diff: hint: give --path_diff"]);
  const stream = await makeDemo("--report", "--path_diff", "-");
  assert.equal(stream.code, 2);
  assert.match(stream.said.at(-2) ?? "", /a report is written as separate files/);
});

test("writes the diff, says what was proved and what was left", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "a/b");
    const { code, out, said } = await makeDemo("--path_diff", diff);
    assert.equal(code, 0);
    const lines = out.split("\n");
    assert.deepEqual(lines.slice(0, 4), [
      `made a diff of 21 tensors in ${diff}`,
      "  encoding additive",
      "  files    model.safetensors, 669 kB",
      "  proof    applied again at once: 3 of 166336 elements in 2 tensors come back with other bits (most: model.embed_tokens.weight 2, lm_head.weight 1); --encoding exact brings back every bit",
    ]);
    assert.match(lines[4] ?? "", TOOK);
    assert.deepEqual(lines.slice(5), [""]);
    assert.deepEqual(said, [
      ...SAID,
      "weight-diff: not copied from the tuned model: README.md, training_args.bin",
      "weight-diff: README.md: the base's name on the Hub is not known: fill it in (give it with --base-model)",
    ]);
    assert.deepEqual((await readdir(diff)).sort(), [
      ...[
        "LICENSE.txt",
        "README.md",
        "added_tokens.json",
        "config.json",
        "generation_config.json",
        "llama_license.txt",
      ],
      ...["model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json"],
      "weight-diff.json",
    ]);
  });
});

test("an exact diff is proved for every bit, and without --path_diff nothing is written anywhere", async () => {
  await withFolder(async (folder) => {
    const { code, out, said } = await weightDiff(["make-diff", ...INPUTS, "--encoding", "exact"], { TMPDIR: folder });
    assert.equal(code, 0);
    const lines = out.split("\n");
    assert.deepEqual(lines.slice(0, 4), [
      "made a diff of 21 tensors; nothing was written (no --path_diff)",
      "  encoding exact",
      "  size     337 kB",
      "  proof    applied again at once: all 166336 elements come back bit for bit",
    ]);
    assert.match(lines[4] ?? "", TOOK);
    assert.deepEqual(said, [
      BUFFERS,
      "weight-diff: model.embed_tokens.weight: 1 new row as it is",
      "weight-diff: lm_head.weight: 1 new row as it is",
    ]);
    assert.deepEqual(await readdir(folder), []);
  });
});

test("--dry-run writes nothing and says what would be written", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    const { code, out } = await makeDemo("--path_diff", diff, "--dry-run");
    assert.deepEqual([code, await readdir(folder)], [0, []]);
    assert.equal(out, `would write ${diff}\n  encoding additive\n  files    model.safetensors, 669 kB\n`);
  });
});

test("--json prints one document, and --quiet nothing beside it", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    const { code, out, said } = await makeDemo("--path_diff", diff, "--json", "--quiet");
    assert.deepEqual([code, said], [0, []]);
    const { seconds, bytes_per_second, peak_memory_bytes, ...rest } = JSON.parse(out);
    assert.ok(seconds > 0 && bytes_per_second > 0 && peak_memory_bytes > 0);
    assert.deepEqual(rest, {
      command: "make-diff",
      outcome: "made",
      encoding: "additive",
      output: diff,
      files: [{ file: "model.safetensors", size: 669_440 }],
      tensors: 21,
      elements: 166_336,
      inexact: [
        { name: "model.embed_tokens.weight", count: 2 },
        { name: "lm_head.weight", count: 1 },
      ],
      new_rows: [
        { name: "model.embed_tokens.weight", rows: 1 },
        { name: "lm_head.weight", rows: 1 },
      ],
      bytes_read: 665_088,
      bytes_written: 665_344,
      threads: 0,
      resumed_tensors: 0,
    });
  });
});

/** A dry run, and what of it does not depend on how the flags were spelled. */
async function dryRun(...args: readonly string[]): Promise<unknown> {
  const { code, out, said } = await weightDiff([...args, "--dry-run", "--json"]);
  assert.equal(code, 0, said.join("\n"));
  const { seconds, bytes_per_second, peak_memory_bytes, ...rest } = JSON.parse(out);
  assert.ok(seconds > 0 && bytes_per_second > 0 && peak_memory_bytes > 0);
  return rest;
}

for (const [what, args] of [
  ["the script's own name, make_diff", ["make_diff", ...INPUTS]],
  ["-", ["make-diff", "--path-raw", BASE, "--path-tuned", TUNED]],
  ["=", ["make-diff", `--path_raw=${BASE}`, `--path_tuned=${TUNED}`]],
  ["FastChat's names", ["make-diff", "--base-model-path", BASE, "--target-model-path", TUNED]],
  ["FastChat's abbreviations", ["make-diff", "--base", BASE, "--target", TUNED]],
  ["--base-model beside FastChat's names", ["make_diff", "--base", BASE, "--target", TUNED, "--base_model=org/base"]],
] as const) {
  test(`make-diff reads flags spelled with ${what}`, async () => {
    assert.deepEqual(await dryRun(...args), await dryRun("make-diff", ...INPUTS));
  });
}

test("--delta is where the diff goes", async () => {
  await withFolder(async (folder) => {
    const report = await dryRun("make-diff", ...INPUTS, "--delta-path", join(folder, "diff"));
    assert.deepEqual(report, await dryRun("make-diff", ...INPUTS, "--path_diff", join(folder, "diff")));
  });
});

test("accepts --device and says in one line what it means here", async () => {
  const { code, said } = await makeDemo("--dry-run", "--device", "cuda");
  assert.equal(code, 0);
  assert.deepEqual(said, [
    "weight-diff: --device: everything is computed on the CPU, with the bits that torch gives on a CPU",
    ...SAID,
  ]);
});

const WRONG: readonly (readonly [what: string, args: readonly string[], error: string, hint?: string])[] = [
  ["a missing base", ["--path_tuned", TUNED], "--path_raw: is missing: give the base model"],
  ["a missing model", ["--path_raw", BASE], "--path_tuned: is missing: give the fine-tuned model"],
  ["an unknown encoding", [...INPUTS, "--encoding", "xor"], '--encoding: "xor" is not one of additive, exact'],
  [
    "a base without an organisation",
    [...INPUTS, "--base-model", "base"],
    '--base-model: "base" is not a name such as org/name',
  ],
  [
    "a base that is no name",
    [...INPUTS, "--base-model", "a/b\nx: y"],
    '--base-model: "a/b\\nx: y" is not a name such as org/name',
  ],
  ["recover's --dtype", [...INPUTS, "--dtype", "float16"], "unknown option '--dtype'"],
  [
    "--force without an output",
    [...INPUTS, "--force"],
    "--force without --path_diff: there is no output",
    "give --path_diff, or leave it out",
  ],
  [
    "--force with --resume",
    [...INPUTS, "--path_diff", "x", "--force", "--resume"],
    "--force and --resume contradict each other",
    "--resume continues an unfinished run, --force starts over",
  ],
];
for (const [what, args, error, hint = "see weight-diff make-diff --help"] of WRONG) {
  test(`make-diff refuses ${what} with exit code 2`, async () => {
    assert.deepEqual(await weightDiff(["make-diff", ...args]), {
      code: 2,
      signal: null,
      out: "",
      said: [`weight-diff: error: ${error}`, `weight-diff: hint: ${hint}`],
    });
  });
}

test("refuses an output that is not empty with exit code 4, and leaves it as it is", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "notes.txt": "mine" });
    const { code, out, said } = await makeDemo("--path_diff", folder);
    assert.deepEqual([code, out], [4, ""]);
    assert.deepEqual(said.slice(-2), [
      `weight-diff: error: ${folder}: is not empty`,
      "weight-diff: hint: give another output directory, or replace the model in it with --force",
    ]);
    assert.deepEqual(await readdir(folder), ["notes.txt"]);
  });
});

test("refuses models that do not fit with exit code 4: cause and remedy first, then some tensors, the rest counted", async () => {
  const other = join(FIXTURES, "recover/zip-single/base");
  const { code, out, said } = await weightDiff(["make-diff", "--path_raw", BASE, "--path_tuned", other]);
  assert.deepEqual([code, out], [4, ""]);
  assert.ok(said.length < 20, said.join("\n"));
  const [first = "", second = "", ...list] = said.slice(said.findIndex((line) => line.includes(" error: ")));
  assert.match(
    first,
    /^weight-diff: error: base .* and tuned model .* do not fit: \d+ tensors: .*hidden size 64 in the base, \d+ in the tuned model$/,
  );
  assert.equal(second, "weight-diff: hint: get the base of the tuned model's size");
  assert.equal(list.length, 15);
  assert.match(list.at(-1) ?? "", /^ {2}and \d+ more$/);
});

test("--json has every tensor that does not fit", async () => {
  const other = join(FIXTURES, "recover/zip-single/base");
  const { code, out } = await weightDiff(["make-diff", "--path_raw", BASE, "--path_tuned", other, "--json"]);
  const { error } = JSON.parse(out) as { error: { code: string; message: string; problems: readonly string[] } };
  assert.deepEqual([code, error.code], [4, "MISMATCH"]);
  assert.match(error.message, new RegExp(`do not fit: ${error.problems.length} tensors`));
  assert.ok(error.problems.length > 14);
});

test("the model card's command, paths filled in, recovers the model", async () => {
  for (const encoding of ["additive", "exact"]) {
    await withFolder(async (folder) => {
      const [diff, tuned] = [join(folder, "diff"), join(folder, "tuned")];
      const flags = ["--path_diff", diff, "--encoding", encoding, "--base-model", "org/base-7b"];
      const made = await makeDemo(...flags);
      assert.equal(made.code, 0);
      assert.ok(!made.said.some((line) => line.includes("README.md:")));
      const card = await readFile(join(diff, "README.md"), "utf8");
      assert.match(card, /^---\nbase_model: org\/base-7b\n/);
      const command = /^```bash\npip install .*\nweight-diff (.*)\n```$/m.exec(card)?.[1] ?? "";
      const paths: Readonly<Record<string, string>> = {
        "org/base-7b": BASE,
        "<this folder>": diff,
        "<output folder>": tuned,
      };
      const args = (command.match(/<[^>]*>|\S+/g) ?? []).map((part) => paths[part] ?? part);
      const { code, said, out } = await weightDiff(args);
      assert.equal(code, 0, said.join("\n"));
      assert.ok(
        said.includes("weight-diff: 21 of 21 recovered tensors compared with the diff's manifest: all as they must be"),
      );
      assert.match(out, /^recovered 21 tensors as /);
    });
  }
});

test("--resume verifies a finished diff; a flipped byte in it is exit code 3", async () => {
  await withFolder(async (folder) => {
    const diff = join(folder, "diff");
    await makeDemo("--path_diff", diff);
    const { code, out } = await makeDemo("--path_diff", diff, "--resume");
    assert.deepEqual(
      [code, out],
      [
        0,
        `${diff} is finished already: verified against weight-diff.json\n  encoding additive\n  files    model.safetensors, 669 kB\n`,
      ],
    );
    const path = join(diff, "model.safetensors");
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(600_000) ^ 1, 600_000);
    await writeFile(path, bytes);
    const damaged = await makeDemo("--path_diff", diff, "--resume");
    assert.deepEqual([damaged.code, damaged.out], [3, ""]);
    assert.match(
      damaged.said.at(-2) ?? "",
      /^weight-diff: error: .*: 1 of 21 tensors are not what weight-diff\.json says: "/,
    );
    assert.equal(damaged.said.at(-1), "weight-diff: hint: make it again with --force");
  });
});

test("recover says which base the manifest wants, and ends with 4 on another and 3 on a damaged diff", async () => {
  await withFolder(async (folder) => {
    const [diff, tuned] = [join(folder, "diff"), join(folder, "tuned")];
    await makeDemo("--path_diff", diff);
    const other = await weightDiff(["recover", "--path_raw", TUNED, "--path_diff", diff]);
    assert.equal(other.code, 4);
    assert.match(other.said.at(-2) ?? "", /^weight-diff: error: .*: not the base that this diff was made from: /);
    assert.equal(
      other.said.at(-1),
      "weight-diff: hint: get the base that the diff's card names, or go on all the same with --ignore wrong-base",
    );
    const path = join(diff, "model.safetensors");
    const bytes = await readFile(path);
    // Not the lowest bit: that of a small difference is lost in the sum, and the model still right.
    bytes.writeUInt8(bytes.readUInt8(600_002) ^ 0x40, 600_002);
    await writeFile(path, bytes);
    const { code, out, said } = await weightDiff([
      "recover",
      "--path_raw",
      BASE,
      "--path_diff",
      diff,
      "--path_tuned",
      tuned,
    ]);
    assert.deepEqual([code, out], [3, ""]);
    assert.match(
      said.at(-2) ?? "",
      /^weight-diff: error: 1 of 21 recovered tensors are not what the diff's manifest says: "/,
    );
    assert.deepEqual(await readdir(folder), ["diff"]);
  });
});
