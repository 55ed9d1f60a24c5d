/** Files whose tensors are many times as large: honest ones pass with a note, those made to fill a disk are refused before anything starts. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { convert } from "../../../src/commands/convert.js";
import { inspect } from "../../../src/commands/inspect.js";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { verify } from "../../../src/commands/verify.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { dictOf, pickleOf, tensorPickle, torchZip } from "../../support/hostile-files.js";
import { refuses } from "../../support/refusal.js";

/** `names` tensors on one storage of 256 floats: the whole of it, or its elements over and over (16 MiB). */
function shared(names: number, how: "whole" | "repeated"): Uint8Array {
  const view = how === "whole" ? { size: [16, 16], stride: [16, 1] } : { size: [16_384, 256], stride: [0, 1] };
  const tensor = tensorPickle({ type: "FloatStorage", key: "0", numel: 256, ...view });
  const entries = Array.from({ length: names }, (_, k) => [`model.layers.${k}.weight`, tensor]);
  return torchZip(pickleOf(dictOf(Object.fromEntries(entries))), [Buffer.alloc(1024, 1)]);
}

const put = (folder: string, bin: Uint8Array): Promise<string> =>
  writeFiles(folder, { "pytorch_model.bin": bin, "config.json": "{}" });

const TOO_MUCH = /its files have \d+ bytes, its tensors 2013265920 once each is written in full: .*; at most 64 times/;

test("a .bin of 22 kB whose 120 names claim 2 GB is refused by every command, and nothing is written", async () => {
  await withFolder(async (folder) => {
    const evil = await put(join(folder, "evil"), shared(120, "repeated"));
    assert.ok((await stat(join(evil, "pytorch_model.bin"))).size < 30_000);
    const honest = await put(join(folder, "honest"), shared(120, "whole"));
    const out = join(folder, "out");
    for (const [what, run] of Object.entries({
      inspect: () => inspect({ path: evil }),
      verify: () => verify({ path: evil }),
      "a lone file": () => verify({ path: join(evil, "pytorch_model.bin") }),
      convert: () => convert({ source: evil, output: out }),
      "recover, base": () => recover({ raw: evil, diff: honest, tuned: out }),
      "recover, diff": () => recover({ raw: honest, diff: evil, tuned: out }),
      "a dry run": () => recover({ raw: honest, diff: evil, tuned: out, dryRun: true }),
      "make-diff": () => makeDiff({ raw: honest, tuned: evil, diff: out }),
    })) {
      await refuses(run, "LIMIT", TOO_MUCH).catch((error: unknown) => assert.fail(`${what}: ${error}`));
      assert.ok(!existsSync(out), what);
    }
  });
});

test("less than a gigabyte is read with a note, whatever the file's size", async () => {
  await withFolder(async (folder) => {
    const model = await put(folder, shared(60, "repeated"));
    const { notes, stateDict } = await openCheckpoint(model);
    assert.equal(stateDict.size, 60);
    const { size } = await stat(join(model, "pytorch_model.bin"));
    const note = `its files have ${size} bytes, its tensors ${60 * 2 ** 24} once each is written in full: names share what is stored, or views repeat it`;
    assert.deepEqual(notes, [note]);
    assert.deepEqual((await inspect({ path: model })).notes, [note]);
  });
});

test("names that share a storage are reported before anything starts, even in a dry run", async () => {
  await withFolder(async (folder) => {
    // The pickle takes more than the data: only many names make the tensors twice the file.
    const model = await put(join(folder, "model"), shared(200, "whole"));
    const { size } = await stat(join(model, "pytorch_model.bin"));
    const few = await put(join(folder, "few"), shared(4, "whole"));
    assert.deepEqual((await openCheckpoint(few)).notes, []);
    const note = `its files have ${size} bytes, its tensors ${200 * 1024} once each`;
    assert.ok(size * 2 < 200 * 1024, `${size}`);
    const { findings } = await verify({ path: model });
    assert.ok(findings.some(({ level, message }) => level === "note" && message.startsWith(note)));
    const notes: string[] = [];
    const other = await put(join(folder, "other"), shared(200, "whole"));
    await makeDiff({
      raw: other,
      tuned: model,
      diff: join(folder, "out"),
      dryRun: true,
      onNote: (text) => notes.push(text),
    });
    assert.ok(
      notes.some((text) => text.startsWith(`tuned: ${note}`)),
      notes.join("\n"),
    );
  });
});
