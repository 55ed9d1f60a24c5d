/** A journal is no evidence: whatever a resumed run finds in it, what it writes is what an undisturbed run writes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MANIFEST, STAGING } from "../../src/output/state.js";
import { withFolder } from "../support/checkpoints.js";
import { treeOf } from "../support/models.js";
import { forgetHolder, writers } from "../support/storm.js";
import { watchDisk } from "../support/watched-disk.js";

const disk = watchDisk();

interface Line {
  readonly id: number;
  readonly sha256: string;
  readonly sum: number;
  readonly overflow: number;
  readonly proof?: {
    readonly raw: string;
    readonly tuned: string;
    readonly recovered: string;
    readonly inexact: number;
  };
}

/** Rewrites the journal's lines of tensors, each with a checksum that fits. @returns how many lines were changed. */
async function forge(out: string, change: (line: Line) => object): Promise<number> {
  const path = join(out, STAGING, "journal");
  const [head = "", ...lines] = (await readFile(path, "utf8")).trimEnd().split("\n");
  const salt = head.slice(0, head.indexOf(" "));
  let changed = 0;
  const forged = lines.map((line) => {
    const value = JSON.parse(line.slice(line.indexOf(" ") + 1)) as Line;
    const json = JSON.stringify("sha256" in value ? change(value) : value);
    changed += line.endsWith(json) ? 0 : 1;
    return `${createHash("sha256").update(salt).update(json).digest("hex").slice(0, 32)} ${json}`;
  });
  await writeFile(path, `${[head, ...forged].join("\n")}\n`);
  return changed;
}

const other = (digest: string): string => digest.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));

const FORGERIES: Readonly<Record<string, (line: Line) => object>> = {
  "another digest": (line) => ({ ...line, sha256: other(line.sha256) }),
  "another sum": (line) => ({ ...line, sum: line.sum + 1 }),
  "another digest of the base": ({ proof, ...line }) =>
    proof === undefined ? line : { ...line, proof: { ...proof, raw: other(proof.raw ?? "0") } },
  "another digest of the tuned model": ({ proof, ...line }) =>
    proof === undefined ? line : { ...line, proof: { ...proof, tuned: other(proof.tuned) } },
  "another digest of what comes back": ({ proof, ...line }) =>
    proof === undefined ? line : { ...line, proof: { ...proof, recovered: other(proof.recovered) } },
  "another count of what does not come back": ({ proof, ...line }) =>
    proof === undefined ? line : { ...line, proof: { ...proof, inexact: proof.inexact + 1 } },
  "no proof": ({ proof: _, ...line }) => line,
  "the number of another tensor": (line) => ({ ...line, id: line.id === 0 ? 1 : 0 }),
  "a number that no tensor has": (line) => ({ ...line, id: line.id + 1e6 }),
  "other keys": (line) => ({ sha256: line.sha256 }),
};

for (const name of ["recover", "make-diff", "make-diff, exact", "convert", "xor"]) {
  test(`${name}: no forged claim of the journal reaches the output`, async (t) => {
    await withFolder(async (folder) => {
      const { [name]: writer } = await writers(join(folder, "inputs"));
      assert.ok(writer !== undefined);
      const [whole, late, out] = [join(folder, "whole"), join(folder, "late"), join(folder, "out")];
      const calls = await disk.watch(async () => void (await writer.run(whole, "new")));
      const expected = await treeOf(whole);
      // All is made and in the journal, and no manifest yet.
      const end = calls.findIndex(({ path }) => path === join(whole, STAGING, MANIFEST));
      await assert.rejects(disk.watch(async () => void (await writer.run(late, "new")), end));
      await forgetHolder(late);
      for (const [what, change] of Object.entries(FORGERIES)) {
        await cp(late, out, { recursive: true, preserveTimestamps: true });
        const changed = await forge(out, change);
        await writer.run(out, "resume");
        assert.deepEqual(await treeOf(out), expected, what);
        t.diagnostic(`${what}: ${changed} lines`);
        await rm(out, { recursive: true });
      }
    });
  });
}
