/** `-` in place of OUT: one file on stdout, the same bytes as in a directory, and no whole file where anything went wrong. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { withFolder } from "../support/checkpoints.js";
import { publish } from "../support/diffs.js";
import { FIXTURES } from "../support/fixtures.js";
import { midSize, writePair } from "../support/models.js";
import { BASE, BIN, DIFF, shell, weightDiff } from "./command.js";

const DEMO = ["recover", "--path_raw", BASE, "--path_diff", DIFF, "--path_tuned", "-"];

/** Runs the program. @returns the bytes of stdout, and what it said. */
function streamed(args: readonly string[]): {
  readonly code: number | null;
  readonly bytes: Buffer;
  readonly said: string;
} {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args], { maxBuffer: 1 << 28 });
  return { code: status, bytes: stdout, said: stderr.toString() };
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const PAIRS = {
  "open-instruct with the mean of rows": { raw: "demo/base", diff: "demo/diff", scheme: "open-instruct" },
  llava: { raw: "schemes/base-f16", diff: "schemes/llava/diff", scheme: "llava" },
  "a tied embedding": { raw: "ties/base-tied/base", diff: "ties/base-tied/diff", scheme: "alpaca" },
  "sharded torch files": {
    raw: "recover/zip-sharded/base",
    diff: "recover/zip-sharded/diff",
    scheme: "open-instruct",
  },
} as const;

for (const [what, { scheme, ...pair }] of Object.entries(PAIRS)) {
  test(`recover -: ${what}: the bytes of the file in a directory, whatever --threads says`, async () => {
    await withFolder(async (folder) => {
      const [raw, diff] = [join(FIXTURES, pair.raw), join(FIXTURES, pair.diff)];
      const ignore = ["bit-census"] as const;
      await recover({ raw, diff, scheme, ignore, tuned: join(folder, "out"), maxShardSize: 1e12 });
      const file = await readFile(join(folder, "out/model.safetensors"));
      const args = ["recover", "--path_raw", raw, "--path_diff", diff, "--scheme", scheme, "--ignore", "bit-census"];
      for (const threads of ["1", "3"]) {
        const { code, bytes, said } = streamed([...args, "--path_tuned", "-", "--threads", threads]);
        assert.equal(code, 0, said);
        assert.equal(sha256(bytes), sha256(file));
      }
    });
  });
}

test("an exact diff, a compressed one and an additive one go out and come back, byte for byte", async () => {
  await withFolder(async (folder) => {
    const { base, tuned } = await publish(folder);
    for (const encoding of ["additive", "exact"] as const) {
      await makeDiff({ raw: base, tuned, diff: join(folder, encoding), encoding });
      const { code, bytes, said } = streamed([
        ...["make-diff", "--path_raw", base, "--path_tuned", tuned, "--path_diff", "-", "--encoding", encoding],
      ]);
      assert.equal(code, 0, said);
      assert.equal(sha256(bytes), sha256(await readFile(join(folder, encoding, "model.safetensors"))));
    }
    await makeDiff({ raw: base, tuned, diff: join(folder, "compressed"), compress: true });
    for (const encoding of ["exact", "compressed"]) {
      const { code, bytes, said } = streamed(["recover", base, join(folder, encoding), "-"]);
      assert.equal(code, 0, said);
      assert.equal(sha256(bytes), sha256(await readFile(join(tuned, "model.safetensors"))));
    }
  });
});

test("the result, an error and a document go to stderr; the manifest to its own file, with the stream's sha256", async () => {
  await withFolder(async (folder) => {
    const manifest = join(folder, "m.json");
    const { code, bytes, said } = streamed([...DEMO, "--manifest-out", manifest, "--no-progress"]);
    assert.equal(code, 0);
    assert.match(said, /^recovered 21 tensors as float32 on stdout$/m);
    const { files, tensors } = JSON.parse(await readFile(manifest, "utf8"));
    assert.deepEqual(
      [files.length, files[0].file, files[0].size, files[0].sha256, tensors.length],
      [1, "model.safetensors", bytes.length, sha256(bytes), 21],
    );
    const again = streamed([...DEMO, "--manifest-out", manifest]);
    assert.deepEqual([again.code, again.bytes.length], [4, 0]);
    assert.match(again.said, /m\.json: is there already/);

    const document = streamed([...DEMO, "--json", "--quiet"]);
    assert.equal(sha256(document.bytes), sha256(bytes));
    assert.equal(JSON.parse(document.said).output, "-");
    const events = streamed([...DEMO, "--json", "--events"])
      .said.trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(events.at(-1).event, "result");
    assert.equal(events.at(-1).result.outcome, "recovered");
    const refused = streamed([...DEMO, "--json", "--resume"]);
    assert.deepEqual([refused.code, refused.bytes.length], [2, 0]);
    assert.match(refused.said, /"code": "USAGE"/);
    const planned = streamed([...DEMO, "--dry-run"]);
    assert.match(planned.bytes.toString(), /^would write - as float32\n/);
  });
});

for (const [what, more, expected] of [
  ["--resume", ["--resume"], /--resume and --path_tuned - contradict each other/],
  ["--force", ["--force"], /--force and --path_tuned - contradict each other/],
  ["--max-shard-size", ["--max-shard-size", "1GB"], /contradict each other: a stream is one file/],
] as const) {
  test(`${what} is no option of a stream`, () => {
    const { code, bytes, said } = streamed([...DEMO, ...more]);
    assert.deepEqual([code, bytes.length], [2, 0]);
    assert.match(said, expected);
  });
}

test("what needs files, or a length that is known only at the end, is refused before a byte goes out", async () => {
  const make = ["make-diff", "--path_raw", BASE, "--path_tuned", BASE, "--path_diff", "-"];
  for (const more of [["--compress"], ["--sign-key", "k.pem"], ["--push", "me/x"]]) {
    const { code, bytes } = streamed([...make, ...more]);
    assert.deepEqual([code, bytes.length], [2, 0], more.join(" "));
  }
  const { code, said } = await weightDiff([...DEMO.slice(0, -1), "out", "--manifest-out", "m.json"]);
  assert.equal(code, 2);
  assert.match(said.join("\n"), /only a stream has its manifest in another place/);
  const payload = join(FIXTURES, "xor");
  const xor = streamed(["recover", join(payload, "base"), join(payload, "oa-plain/payload"), "-"]);
  assert.deepEqual([xor.code, xor.bytes.length], [2, 0]);
  const decoded = streamed(["xor", "-", join(payload, "oa-plain/payload"), join(payload, "base")]);
  assert.deepEqual([decoded.code, decoded.bytes.length, existsSync("-")], [2, 0, false], decoded.said);
});

test("a reader that closes early ends the run with one error, and leaves no manifest", async () => {
  await withFolder(async (folder) => {
    const { raw, diff } = await writePair(folder, midSize());
    const manifest = join(folder, "m.json");
    const args = ["recover", raw, diff, "-", "--scheme", "open-instruct", "--quiet", "--manifest-out", manifest];
    for (const reader of ["head -c 100000 > /dev/null", "true"]) {
      const { code, text } = shell(`set -o pipefail; "$@" | { ${reader}; }`, [
        ...args,
        "--ignore",
        "not-a-diff,wrong-base,swapped,bit-census",
      ]);
      assert.equal(code, 5, text);
      assert.match(
        text,
        /^weight-diff: error: stdout: the reader closed it after some \d+ of \d+ bytes\nweight-diff: hint: .*\n$/,
      );
      assert.equal(existsSync(manifest), false);
    }
    // The bytes of a reader that takes its time are the same; and the disk behind it may be full.
    const all = [...args.slice(0, -2), "--ignore", "not-a-diff,wrong-base,swapped,bit-census"];
    const slow = shell(`"$@" | { head -c 3000000; sleep 0.5; cat; } | sha256sum`, all);
    const fast = shell(`"$@" | sha256sum`, all);
    assert.equal(slow.text.split("\n")[0], fast.text.split("\n")[0]);
    const full = shell(`set -o pipefail; "$@" | (ulimit -f 4000; trap '' XFSZ; cat > ${folder}/x 2> /dev/null)`, all);
    assert.match(full.text, /the reader closed it after some/);
    for (const [redirected, words] of [
      ["> /dev/full", /stdout: cannot write at byte 0: no room left on the disk/],
      [`> ${folder}/y`, /stdout: cannot write at byte \d+: the file would be larger/],
    ] as const) {
      const { code, text } = shell(`ulimit -f 4000; "$@" ${redirected}`, all);
      assert.equal(code, 5);
      assert.match(text, words);
      assert.doesNotMatch(text, /--resume|--max-shard-size|at .*\.js/);
    }
  });
});

test("SIGTERM ends a run whose reader does not read", async () => {
  await withFolder(async (folder) => {
    const { raw, diff } = await writePair(folder, midSize());
    const ignore = ["--ignore", "not-a-diff,wrong-base,swapped,bit-census", "--scheme", "open-instruct"];
    const child = spawn(process.execPath, [BIN, "recover", raw, diff, "-", ...ignore], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    // The first byte is there, and no other is taken.
    await new Promise((resolve) => child.stdout.once("readable", resolve));
    child.kill("SIGTERM");
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.on("exit", (...end) => resolve(end)),
    );
    assert.ok(code === 143 || signal === "SIGTERM", `${code} ${signal} ${said}`);
    assert.match(said, /error: interrupted/);
  });
});

test("a result that is not what the diff's manifest says never becomes a whole file", async () => {
  await withFolder(async (folder) => {
    const { base, diff } = await publish(folder);
    const whole = streamed(["recover", base, diff, "-"]);
    assert.equal(whole.code, 0, whole.said);
    // The manifest promises another value: as it would be found to do at the very end.
    const path = join(diff, "model.safetensors");
    const bytes = await readFile(path);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    await writeFile(path, bytes);
    const { code, bytes: sent, said } = streamed(["recover", base, diff, "-"]);
    assert.notEqual(code, 0);
    assert.match(said, /weight-diff: error: /);
    assert.equal(sent.length, whole.bytes.length - 1, said);
  });
});

test("a terminal is refused", {
  skip: spawnSync("script", ["--version"]).error !== undefined && "there is no script(1)",
}, () => {
  const line = [process.execPath, BIN, ...DEMO].map((word) => `'${word}'`).join(" ");
  const { stdout } = spawnSync("script", ["-qec", line, "/dev/null"], { encoding: "utf8" });
  assert.match(stdout, /error: stdout is a terminal, and would show the bytes of the tensors/);
});
