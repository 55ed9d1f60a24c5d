/** XOR codecs on failing disks, killed, interrupted, and continued. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { verify } from "../../src/commands/verify.js";
import { WeightDiffError } from "../../src/errors.js";
import { withFolder } from "../support/checkpoints.js";
import { errno, faultyDisk } from "../support/faulty-disk.js";
import { treeOf } from "../support/models.js";
import { refuses } from "../support/refusal.js";
import { BASE, decode, encryptedFiles, lay, modelFiles, noise, payloadOf, TUNED } from "../support/xor-payloads.js";
import { start } from "./program.js";

const PAYLOAD = payloadOf(TUNED, BASE);

test("a disk that fills up leaves finished tensors for --resume, which gives the same output", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    const whole = await decode({ ...places, out: join(folder, "whole") });
    const full = faultyDisk({
      before(action, path, position) {
        if (action === "write" && path.endsWith("model.safetensors") && position >= 2000) {
          throw errno("ENOSPC");
        }
      },
      cut: (_, length) => Math.min(length, 300),
    });
    await refuses(() => decode(places, { disk: full, windowBytes: 1000 }), "DISK_FULL", /no room left/);
    assert.deepEqual(await readdir(places.out), [".weight-diff"]);
    await refuses(() => decode(places), "OUTPUT_REFUSED", /unfinished run/);
    const report = await decode(places, { mode: "resume" });
    assert.equal(report.resumed, Object.keys(TUNED).length - 1);
    assert.deepEqual(report.files, whole.files);
    assert.deepEqual(await treeOf(places.out), await treeOf(join(folder, "whole")));
  });
});

test("a finished file that was damaged since is made again", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    const broken = faultyDisk({
      before(action, path) {
        if (action === "write" && path.endsWith("model.safetensors")) {
          throw errno("EIO");
        }
      },
    });
    await refuses(() => decode(places, { disk: broken }), "IO", /cannot write/);
    await writeFile(join(places.out, ".weight-diff", "config.json"), "{}");
    const report = await decode(places, { mode: "resume" });
    assert.equal(report.resumed, Object.keys(TUNED).length - 2);
    assert.deepEqual(await readFile(join(places.out, "config.json")), Buffer.from(TUNED["config.json"] ?? []));
  });
});

test("an input that has changed is refused on resume, and a finished output of the old input is not taken for its result", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    const broken = faultyDisk({
      before(action, path) {
        if (action === "write" && path.endsWith("model.safetensors")) {
          throw errno("EIO");
        }
      },
    });
    await refuses(() => decode(places, { disk: broken }), "IO", /cannot write/);
    await utimes(join(places.base, "config.json"), 1, 1);
    await refuses(() => decode(places, { mode: "resume" }), "OUTPUT_REFUSED", /what differs is raw config\.json/);
    await decode(places, { mode: "force" });
    assert.equal((await decode(places, { mode: "resume" })).outcome, "verified");
    const other = await lay(join(folder, "other"), BASE, payloadOf(modelFiles("third", 31), BASE));
    await refuses(() => decode({ ...other, out: places.out }, { mode: "resume" }), "OUTPUT_REFUSED", /made otherwise/);
  });
});

test("an input that is written to during the run ends it, and nothing stays", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    const path = join(places.payload, "model.safetensors");
    const disk = faultyDisk({
      async before(action, file) {
        if (action === "write" && file.endsWith("model.safetensors")) {
          await utimes(path, 7, 7);
        }
      },
    });
    await refuses(() => decode(places, { disk }), "INPUT_CHANGED", /payload\/model\.safetensors: the input changed/);
    assert.equal(existsSync(places.out), false);
  });
});

test("a flipped byte of a finished output is found by --resume and by verify", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    await decode(places);
    // The weights are noise, with NaN among them: that is another check's business.
    const digests = async () =>
      (await verify({ path: places.out })).findings.filter(
        ({ check, level }) => check === "digests" && level === "error",
      );
    assert.deepEqual(await digests(), []);
    const path = join(places.out, "tokenizer.model");
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(5) ^ 1, 5);
    await writeFile(path, bytes);
    await refuses(() => decode(places, { mode: "resume" }), "CHECK_FAILED", /1 of 4 files .*: tokenizer\.model/);
    assert.deepEqual(
      (await digests()).map(({ file, message }) => [file, message]),
      [["tokenizer.model", "differs: its sha256 is not the one in the manifest"]],
    );
  });
});

test("verify finds an XOR manifest whose text was changed, even if its values were not", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    await decode(places);
    const path = join(places.out, "weight-diff.json");
    const text = await readFile(path, "utf8");
    const manifest = JSON.parse(text);
    const [first = ["", 0], ...others] = Object.entries(manifest);
    for (const changed of [
      text.replace("\n", "\r\n"),
      `${JSON.stringify(Object.fromEntries([...others, first]), null, 2)}\n`,
      text.replace('"xor"', '"\\u0078or"'),
      `${text} `,
    ]) {
      assert.notEqual(changed, text);
      await writeFile(path, changed);
      const { findings } = await verify({ path: places.out });
      assert.deepEqual(
        findings.filter(({ check }) => check === "digests").map(({ level, file, message }) => [level, file, message]),
        [["error", "weight-diff.json", "its text was changed since it was written, though not its values"]],
      );
    }
  });
});

test("an interrupted run says so and can be continued", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    const stop = new AbortController();
    const ended = decode(places, {
      signal: stop.signal,
      windowBytes: 64,
      onProgress: ({ tensor }) => {
        if (tensor === "model.safetensors") {
          stop.abort(new WeightDiffError("INTERRUPTED", "interrupted"));
        }
      },
    });
    await refuses(() => ended, "INTERRUPTED", /interrupted/);
    assert.equal((await decode(places, { mode: "resume" })).resumed, 3);
  });
});

test("after kill -9 at several moments, --resume ends as an undisturbed run", async () => {
  await withFolder(async (folder) => {
    const key = noise("key", 70_000);
    const tuned = { ...modelFiles("tuned", 60_000), "extra.json": Buffer.from("{}") };
    const places = await lay(folder, { "consolidated.00.pth": key }, encryptedFiles(tuned, key));
    const args = (out: string): readonly string[] => ["xor", out, places.payload, places.base, "--quiet", "--resume"];
    const whole = join(folder, "whole");
    const began = performance.now();
    assert.equal((await start(args(whole)).ended).code, 0);
    const duration = performance.now() - began;
    for (const share of [0.4, 0.6, 0.7, 0.8, 0.9]) {
      const program = start(args(places.out));
      await Promise.race([pause(duration * share), program.ended]);
      program.child.kill("SIGKILL");
      await program.ended;
    }
    const last = await start(args(places.out)).ended;
    assert.equal(last.code, 0, last.stderr);
    assert.deepEqual(await treeOf(places.out), await treeOf(whole));
  });
});
