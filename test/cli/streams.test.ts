/** stdout carries the result and nothing else; readers may leave; disks may fill. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder } from "../support/checkpoints.js";
import { publish } from "../support/diffs.js";
import { BASE, DIFF, recoverDemo, shell, weightDiff } from "./command.js";

const ARGS = ["recover", "--path_raw", BASE, "--path_diff", DIFF];

test("recover prints its result on stdout, all else on stderr", async () => {
  const { code, out, said } = await recoverDemo();
  assert.equal(code, 0);
  const lines = out.split("\n");
  assert.deepEqual(lines.slice(0, 4), [
    "computed 21 tensors as float32; nothing was written (no --path_tuned)",
    "  scheme   open-instruct: every float tensor of the diff is F32 and one vocabulary row is new",
    "  checked  every name and shape paired; CRC-32 of every .bin record read; inputs unchanged during the run; sha256 of every tensor",
    "  sum      139.073288, with inv_freq 141.998734",
  ]);
  assert.match(
    lines[4] ?? "",
    /^ {2}took {5}\d+\.\d\d s: read 998 kB, wrote 0 B, [\d.]+ [kM]B\/s, peak memory [\d.]+ MB$/,
  );
  assert.deepEqual(lines.slice(5), [""]);
  assert.deepEqual(said, [
    "weight-diff: scheme open-instruct: every float tensor of the diff is F32 and one vocabulary row is new",
    "weight-diff: 2 rotary_emb.inv_freq buffers are not written: models recompute them (write them with --inv-freq keep)",
    "weight-diff: model.embed_tokens.weight: 1 new row = the diff's + the mean of the base's 512",
    "weight-diff: lm_head.weight: 1 new row = the diff's + the mean of the base's 512",
    "weight-diff: the base is the one the diff was made with: 100 % of 34483 sampled sums are exact in bfloat16, as the tuned model was saved",
  ]);
});

test("speaks of checksums only where a record has one, and of files only where some are written", async () => {
  await withFolder(async (folder) => {
    const { base, diff } = await publish(folder);
    const args = ["recover", "--path_raw", base, "--path_diff", diff, "--quiet"];
    const checked = await weightDiff(args);
    assert.equal(checked.code, 0, checked.said.join("\n"));
    assert.match(
      checked.out,
      /^ {2}checked {2}every name and shape paired; inputs unchanged during the run; sha256 of every tensor$/m,
    );
    const planned = await weightDiff([...args, "--dry-run"]);
    assert.match(planned.out, /^would write nothing \(no --path_tuned\) as float32\n {2}scheme .*\n {2}reads .*\n$/);
    const written = await weightDiff([...args, "--dry-run", "--path_tuned", join(folder, "out")]);
    assert.match(written.out, /^ {2}writes {3}model\.safetensors, /m);
  });
});

test("--quiet says nothing on stderr, and the same on stdout", async () => {
  const { code, out, said } = await recoverDemo("--quiet");
  assert.deepEqual([code, said], [0, []]);
  assert.match(out, /^computed 21 tensors as float32; /);
});

test("--quiet keeps errors", async () => {
  const { code, said } = await weightDiff(["inspect", "--quiet", "./no/such"]);
  assert.deepEqual([code, said.length], [4, 2]);
});

for (const [what, args, outcome] of [
  ["recover", ARGS, "checked"],
  ["recover --dry-run", [...ARGS, "--dry-run"], "planned"],
] as const) {
  test(`${what} --json prints one JSON document`, async () => {
    const { code, out } = await weightDiff([...args, "--json"]);
    assert.equal(code, 0);
    const value = JSON.parse(out);
    assert.equal(`${JSON.stringify(value, null, 2)}\n`, out);
    assert.deepEqual(
      [value.command, value.outcome, value.scheme, value.dtype, value.output, value.new_rows],
      [
        "recover",
        outcome,
        "open-instruct",
        "float32",
        null,
        [
          { name: "model.embed_tokens.weight", rows: 1 },
          { name: "lm_head.weight", rows: 1 },
        ],
      ],
    );
    assert.equal(value.tensors.length, outcome === "checked" ? 21 : 0);
    assert.equal(value.bytes_read, 997_888);
  });
}

/** One document, as json() prints it. */
const failure = (error: object): string => `${JSON.stringify({ error }, null, 2)}\n`;

test("--json prints a failure as a document, too, and stderr says what it always says", async () => {
  const args = ["recover", "--path_raw", BASE, "--path_diff", "./no/such"];
  const [plain, asJson] = [await weightDiff(args), await weightDiff([...args, "--json"])];
  assert.deepEqual([plain.code, plain.out], [4, ""]);
  assert.deepEqual(asJson, {
    ...plain,
    out: failure({
      code: "NOT_FOUND",
      message: "./no/such: no such file or directory",
      hint: `check the path: ${process.cwd()} has no "no"`,
      at: { file: "./no/such" },
    }),
  });
});

for (const [what, args, error] of [
  [
    "a wrong command line",
    ["recover", "--json", "--threads", "0"],
    {
      code: "USAGE",
      message: "--path_raw: is missing: give the base model; --path_diff: is missing: give the diff",
      hint: "see weight-diff recover --help",
      at: null,
    },
  ],
  [
    "an unknown flag",
    ["verify", BASE, "--bogus", "--format", "json"],
    { code: "USAGE", message: "unknown option '--bogus'", hint: "see weight-diff verify --help", at: null },
  ],
  [
    "an unknown command",
    ["recovr", "--json"],
    {
      code: "USAGE",
      message: "unknown command 'recovr' (Did you mean recover?)",
      hint: "see weight-diff --help",
      at: null,
    },
  ],
] as const) {
  test(`--json prints ${what} as a document`, async () => {
    const { code, out, said } = await weightDiff(args);
    assert.deepEqual([code, out], [2, failure(error)]);
    assert.deepEqual(said, [`weight-diff: error: ${error.message}`, `weight-diff: hint: ${error.hint}`]);
  });
}

for (const args of [ARGS, ["inspect", "--json", DIFF], ["--help"]]) {
  test(`ends quietly when nobody reads the result of ${args[0]}`, () => {
    assert.deepEqual(shell('"$@" 2>/dev/null | head -c 0; echo "$PIPESTATUS"', args), { code: 0, text: "0\n" });
    assert.deepEqual(shell('"$@" 2>&1 >/dev/full | head -c 0; true', args).text, "");
  });
}

test("survives a stderr that nobody reads, or whose disk is full", () => {
  assert.equal(shell('"$@" 2>&1 >/dev/null | head -c 0; exit "$PIPESTATUS"', ARGS).code, 0);
  assert.equal(shell('"$@" >/dev/null 2>/dev/full', ARGS).code, 0);
});

test("a full disk under stdout is exit code 5", { skip: !existsSync("/dev/full") }, () => {
  const { code, text } = shell('"$@" 2>&1 >/dev/full', [...ARGS, "--quiet"]);
  assert.equal(code, 5);
  assert.match(text, /^weight-diff: error: stdout: ENOSPC.*\nweight-diff: hint: check where the output goes\n$/);
});

test("with --events every line of stderr is JSON: notes, progress, and the error at the end", async () => {
  const events = ({ said }: { readonly said: readonly string[] }) =>
    said.map((line) => JSON.parse(line) as { readonly event: string; readonly done?: number; readonly total?: number });
  const good = events(await weightDiff([...ARGS, "--events"]));
  assert.deepEqual(new Set(good.map(({ event }) => event)), new Set(["note", "progress"]));
  assert.equal(good.at(-1)?.done, good.at(-1)?.total);
  const bad = events(await weightDiff(["recover", "--path_raw", BASE, "--path_diff", "./no/such", "--events"]));
  assert.equal(bad.at(-1)?.event, "error");
});
