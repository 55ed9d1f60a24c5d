/** verify on the command line: the table, annotations, the document, exit codes. */
import assert from "node:assert/strict";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../support/checkpoints.js";
import { publish } from "../support/diffs.js";
import { BASE, DIFF, recoverDemo, weightDiff } from "./command.js";

/** Without the line that tells the time. */
function shown(out: string): readonly string[] {
  const lines = out.split("\n");
  assert.match(lines.at(-2) ?? "", /^ {2}took {5}\d+\.\d\d s: read \d/);
  return lines.slice(0, -2);
}

async function flip(path: string, position: number): Promise<void> {
  const file = await open(path, "r+");
  await file.write(Buffer.from([0x55]), 0, 1, position);
  await file.close();
}

test("a published diff is sound, with its digests and with its base", async () => {
  await withFolder(async (folder) => {
    const { base, diff } = await publish(folder);
    const { code, out, said } = await weightDiff(["verify", diff, "--path_raw", base, "--require", "digests"]);
    assert.deepEqual([code, said], [0, []]);
    assert.deepEqual(
      shown(out).filter((line) => !line.startsWith("note")),
      [
        `sound: ${diff}: diff of 21 tensors in 1 file`,
        "  checked  structure, values, digests of weight-diff.json; 21 of 21 recovered tensors",
      ],
    );
  });
});

test("damage is a line for each finding, a summary, and exit code 3", async () => {
  await withFolder(async (folder) => {
    const { diff } = await publish(folder);
    await flip(join(diff, "model.safetensors"), 4096 + 400);
    await writeFile(join(diff, "new, file.txt"), "");
    const { code, out, said } = await weightDiff(["verify", diff]);
    assert.deepEqual([code, said], [3, []]);
    const lines = shown(out);
    assert.match(
      lines[0] ?? "",
      /^error {4}digests {2}model\.safetensors model\S+ +differs: its sha256 is not the one in the manifest$/,
    );
    assert.match(lines[1] ?? "", /^warning {2}digests {2}new, file\.txt +extra: the manifest does not list it$/);
    assert.deepEqual(lines.slice(2), [
      `failed: ${diff}: diff of 21 tensors in 1 file: 1 error, 1 warning`,
      "  checked  structure, values, digests of weight-diff.json",
    ]);
  });
});

test("a summary that cannot be written is told before anything is read, in one document", async () => {
  await withFolder(async (folder) => {
    const summary = join(folder, "no-folder", "summary.md");
    const { code, out } = await weightDiff(["verify", BASE, "--json", "--summary", summary]);
    assert.equal(code, 4);
    assert.equal(JSON.parse(out).error.at.file, summary);
  });
});

test("--format github writes annotations, escaped, and the summary as text", async () => {
  await withFolder(async (folder) => {
    const { diff } = await publish(folder);
    await writeFile(join(diff, "config.json"), "{}");
    await writeFile(join(diff, "a,b:100%.txt"), "");
    await writeFile(join(diff, "c\n::error::d\r\u009b\u202e.txt"), "");
    const { code, out } = await weightDiff(["verify", diff, "--format", "github"]);
    assert.equal(code, 3);
    assert.deepEqual(shown(out), [
      `::error file=${diff}/config.json,title=weight-diff verify%3A digests::has 2 bytes, the manifest says 176`,
      `::warning file=${diff}/a%2Cb%3A100%25.txt,title=weight-diff verify%3A digests::extra: the manifest does not list it`,
      `::warning file=${diff}/c%0A%3A%3Aerror%3A%3Ad%0D\\u009b\\u202e.txt,title=weight-diff verify%3A digests::extra: the manifest does not list it`,
      `failed: ${diff}: diff of 21 tensors in 1 file: 1 error, 2 warnings`,
      "  checked  structure, values, digests of weight-diff.json",
    ]);
  });
});

test("--json prints one document", async () => {
  const { code, out, said } = await weightDiff(["verify", DIFF, "--json"]);
  assert.deepEqual([code, said], [0, []]);
  const { seconds, ...report } = JSON.parse(out);
  assert.ok(seconds > 0);
  assert.deepEqual(report, {
    command: "verify",
    path: DIFF,
    sound: true,
    verdict: "sound",
    kind: "diff",
    kind_reason:
      "its 5 norm weights scatter around 0 with a mean size of 0.000622: a full model's lie on one side, far from it",
    coverage: "structure only",
    manifest: null,
    files: 3,
    tensors: 23,
    findings: [],
    sums: null,
    sum_check: null,
    recovered: null,
    comparison: null,
    bytes_read: 665_408,
  });
});

test("without digests it says structure only; --require digests makes that exit code 3", async () => {
  const { code, out } = await weightDiff(["verify", DIFF]);
  assert.equal(code, 0);
  assert.deepEqual(shown(out), [
    `sound: ${DIFF}: diff of 23 tensors in 3 files`,
    "  checked  structure only: no digests to check against; values",
  ]);
  const required = await weightDiff(["verify", DIFF, "--require", "digests"]);
  assert.equal(required.code, 3);
});

test("--against: identical and equal after rounding are exit code 0, different is 3", async () => {
  await withFolder(async (folder) => {
    const [full, half] = [join(folder, "full"), join(folder, "half")];
    await recoverDemo("--path_tuned", full, "--max-shard-size", "100kB");
    await recoverDemo("--path_tuned", half, "--dtype", "float16");
    const against = async (one: string, two: string): Promise<readonly [number | null, string | undefined]> => {
      const { code, out } = await weightDiff(["verify", one, "--against", two]);
      return [code, shown(out).at(-1)];
    };
    assert.deepEqual(await against(full, full), [0, `  against  ${full}: identical, 21 tensors compared`]);
    assert.deepEqual(await against(full, half), [0, `  against  ${half}: equal after rounding, 21 tensors compared`]);
    assert.deepEqual(await against(half, full), [0, `  against  ${full}: equal after rounding, 21 tensors compared`]);
    assert.deepEqual(await against(full, BASE), [
      3,
      `  against  ${BASE}: different, 19 of 21 tensors could be compared`,
    ]);
    const [square, row] = [join(folder, "square"), join(folder, "row")];
    const same: TensorSpec = ["b", "F32", [2], new Float32Array(2)];
    await writeFiles(square, { "model.safetensors": safetensors(["a", "F32", [2, 2], new Float32Array(4)], same) });
    await writeFiles(row, { "model.safetensors": safetensors(["a", "F32", [4], new Float32Array(4)], same) });
    assert.deepEqual(await against(square, row), [3, `  against  ${row}: different, 1 of 2 tensors could be compared`]);
  });
});

test("the sum of a recovered model, right and wrong", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "tuned");
    await recoverDemo("--path_tuned", tuned);
    const right = await weightDiff(["verify", tuned, "--expect-sum", "141.9987"]);
    assert.equal(right.code, 0);
    assert.match(
      right.out,
      /^note {2}sum .*is 141\.99794, expected 141\.9987: within 0\.01 with the inv_freq buffers/m,
    );
    const wrong = await weightDiff(["verify", tuned, "--known", "alpaca-7b"]);
    assert.equal(wrong.code, 3);
    assert.match(wrong.out, /^error {2}sum .*expected 50637\.1836: off by 50495/m);
    assert.match(wrong.out, /; sum: fail$/m);
  });
});

test("what is no checkpoint is exit code 4, wrong flags are 2", async () => {
  const nowhere = await weightDiff(["verify", join(DIFF, "nowhere")]);
  assert.equal(nowhere.code, 4);
  assert.equal(nowhere.out, "");
  for (const flags of [
    ["--require", "luck"],
    ["--known", "nobody"],
    ["--format", "xml"],
    ["--json", "--format", "github"],
    ["--known", "alpaca-7b", "--expect-sum", "1"],
  ]) {
    const { code, out } = await weightDiff(["verify", DIFF, ...flags]);
    assert.equal(code, 2, flags.join(" "));
    assert.equal(out !== "", flags.includes("--json"), out);
  }
});
