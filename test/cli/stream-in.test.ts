/** `verify -` and `inspect -`: a safetensors file that comes through stdin, in one pass; whatever else comes is refused. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { recover } from "../../src/commands/recover.js";
import { safetensors, withFolder } from "../support/checkpoints.js";
import { publish } from "../support/diffs.js";
import { BASE, BIN, DIFF, shell, weightDiff } from "./command.js";

/** Runs the program with `input` on stdin. */
function fed(
  args: readonly string[],
  input: Uint8Array,
): { readonly code: number | null; readonly out: string; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args], { input, encoding: "utf8" });
  return { code: status, out: stdout, said: stderr };
}

function header(length: number, text: string): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length));
  return Buffer.concat([prefix, Buffer.from(text)]);
}

test("says of a stream what it says of the file, and compares it with a manifest", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "out");
    await recover({ raw: BASE, diff: DIFF, tuned: out });
    const file = join(out, "model.safetensors");
    const manifest = join(out, "weight-diff.json");
    const bytes = await readFile(file);

    const inspected = JSON.parse(fed(["inspect", "-", "--digest", "--json"], bytes).out);
    const there = JSON.parse((await weightDiff(["inspect", file, "--digest", "--json"])).out);
    assert.deepEqual({ ...inspected, path: file }, there);

    const { code, out: told } = fed(["verify", "-", "--manifest", manifest, "--require", "digests"], bytes);
    assert.equal(code, 0, told);
    assert.match(told, /^sound: -: full model of 21 tensors in 1 file$/m);
    const spoilt = Buffer.from(bytes);
    spoilt[spoilt.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    assert.equal(fed(["verify", "-"], spoilt).code, 0);
    const damaged = fed(["verify", "-", "--manifest", manifest], spoilt);
    assert.equal(damaged.code, 3);
    assert.match(damaged.out, /^error +digests +model\.safetensors /m);

    const summed = JSON.parse(fed(["verify", "-", "--expect-sum", "139.073288", "--json"], bytes).out);
    assert.equal(summed.sum_check.verdict, "pass");
    assert.equal(summed.sums.without_inv_freq, JSON.parse(await readFile(manifest, "utf8")).sums.without_inv_freq);
  });
});

test("takes what recover and make-diff stream, with the manifest that they wrote", async () => {
  await withFolder(async (folder) => {
    const { base, tuned, diff } = await publish(folder);
    const made = shell(`set -o pipefail; "$@" | "$1" "$2" verify - --json`, [
      ...[
        "make-diff",
        "--path_raw",
        base,
        "--path_tuned",
        tuned,
        "--path_diff",
        "-",
        "--quiet",
        "--manifest-out",
        join(folder, "m.json"),
      ],
    ]);
    assert.equal(made.code, 0, made.text);
    assert.match(made.text, /"kind": "diff"/);
    const both = shell(
      `set -o pipefail; "$@" | tee >(cat > /dev/null) | "$1" "$2" verify - --manifest ${join(diff, "weight-diff.json")}`,
      ["make-diff", "--path_raw", base, "--path_tuned", tuned, "--path_diff", "-", "--quiet"],
    );
    assert.equal(both.code, 0, both.text);
    assert.match(both.text, /^sound: -: diff of/m);
  });
});

const TENSOR = safetensors(["a", "F32", [3], Float32Array.of(1, 2, 3)]);
for (const [what, input, code, expected] of [
  ["nothing", Buffer.alloc(0), 4, /stdin: is empty/],
  ["text", Buffer.from("hello\n"), 4, /stdin: is text, not weights/],
  ["a page", Buffer.from("<!doctype html><html>"), 4, /stdin: is an HTML page/],
  ["zeros", Buffer.alloc(100_000), 4, /stdin: is not a safetensors file, and nothing else can be read from a stream/],
  ["a zip file", Buffer.from("PK\x03\x04 and so on"), 4, /stdin: /],
  ["half of the length of a header", Buffer.from(TENSOR.subarray(0, 6)), 4, /stdin: /],
  ["a part of a header", TENSOR.subarray(0, 20), 4, /stdin: .*header/],
  [
    "a header that claims 24 MB and does not come",
    header(24_000_000, "{".padEnd(1000)),
    4,
    /stdin: ends at byte 1008, but its header goes on to byte 24000008/,
  ],
  ["a header of 25 PB", header(25e15, "{}"), 4, /stdin: /],
  [
    "a tensor that claims 8 PB",
    header(72, `{"a":{"dtype":"U8","shape":[9000000000000000],"data_offsets":[0,9000000000000000]}}`.slice(0, 72)),
    4,
    /stdin: /,
  ],
  [
    "overlapping tensors",
    header(
      118,
      `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`.padEnd(
        118,
      ),
    ),
    4,
    /overlap or leave a hole/,
  ],
  ["no tensor", safetensors(), 4, /stdin: no tensor in it/],
  [
    "a file without its last byte",
    TENSOR.subarray(0, -1),
    4,
    /stdin: ends at byte \d+, but its header describes \d+ bytes/,
  ],
  [
    "a file and one byte more",
    Buffer.concat([TENSOR, Buffer.from("x")]),
    4,
    /stdin: goes on after byte \d+, where it ends by its header/,
  ],
  ["a value that is no number", safetensors(["a", "F32", [2], Float32Array.of(Number.NaN, 1)]), 3, /^$/],
] as const) {
  test(`${what}: ${code === 3 ? "is among the findings" : "is refused"}`, () => {
    const { code: found, said } = fed(["verify", "-", "--no-progress"], input);
    assert.equal(found, code, said);
    assert.match(said, expected);
    assert.doesNotMatch(said, /bug|at .*\.js/);
    if (what.startsWith("a file")) {
      assert.equal(fed(["inspect", "-", "--no-progress"], input).code, 4);
    }
  });
}

test("what needs a stream's values twice, or files beside it, is a wrong use", () => {
  for (const more of [
    ["--against", BASE],
    ["--path_raw", BASE],
    ["--verify-key", "k.pub"],
  ]) {
    const { code, said } = fed(["verify", "-", ...more], TENSOR);
    assert.equal(code, 2);
    assert.match(said, /a stream can be read only once/);
  }
});

test("bytes may dribble in; SIGTERM ends a read that nobody writes for", async () => {
  const dribble = shell(`cat ${BIN} > /dev/null; { for i in 1 2 3 4; do head -c 7; sleep 0.02; done; cat; } | "$@"`, [
    "verify",
    "-",
  ]);
  assert.match(dribble.text, /stdin: is empty/);
  const child = spawn(process.execPath, [BIN, "verify", "-"], { stdio: ["pipe", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  child.stdin.write(TENSOR.subarray(0, -4));
  setTimeout(() => child.kill("SIGTERM"), 1000);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.on("exit", (...end) => resolve(end)),
  );
  assert.ok(code === 143 || signal === "SIGTERM", `${code} ${signal} ${said}`);
});
