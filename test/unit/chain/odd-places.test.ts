/** Names and links that no publisher writes: what lies outside of a version's folder is not read, and what is nearly a version is told. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openChain } from "../../../src/chain/open.js";
import { chainInspect } from "../../../src/commands/chain/inspect.js";
import { chainMaterialize } from "../../../src/commands/chain/materialize.js";
import { EXIT_CODES, WeightDiffError } from "../../../src/errors.js";
import { placeIn, type State, TRAINERS, writeModel, writeSteps } from "../../support/chain-layouts.js";
import { withFolder } from "../../support/checkpoints.js";

const STATES: readonly State[] = [0, 1, 2].map((step) => ({ a: Uint8Array.from({ length: 20 }, (_, i) => i + step) }));
const skip = process.platform === "win32" ? "links need rights there" : false;

for (const trainer of TRAINERS) {
  test(
    `${trainer}: a file that is a link out of its version's folder is refused, and a linked version is read`,
    { skip },
    () =>
      withFolder(async (folder) => {
        const raw = await writeModel(join(folder, "base"), STATES[0] as State);
        for (const which of ["last", "shard", "folder"] as const) {
          const chain = join(folder, which);
          await writeSteps(trainer, chain, STATES);
          const { folder: place, last } = placeIn(trainer, 1);
          const shard = readdirSync(join(chain, place)).find((name) => name.endsWith(".safetensors")) ?? "";
          const moved = which === "folder" ? join(chain, place) : join(chain, place, which === "last" ? last : shard);
          renameSync(moved, join(folder, `${which}-moved`));
          symlinkSync(join(folder, `${which}-moved`), moved);
          const run = chainMaterialize({ chain, raw, threads: 0 });
          if (which === "folder") {
            assert.equal((await run).outcome, "checked");
            continue;
          }
          const error = await run.catch((thrown: unknown) => thrown);
          assert.ok(error instanceof WeightDiffError, String(error));
          if (trainer === "modelexpress" && which === "last") {
            // What its index would call it is not known.
            assert.equal(error.why, "version-gap");
            assert.match(error.hint ?? "", /v1 cannot be read \(a link leads out of its folder/);
            continue;
          }
          assert.deepEqual([error.why, EXIT_CODES[error.code]], ["index-path", 4], error.message);
          assert.match(error.message, /a link leads out of its folder/);
          assert.equal(error.hint, "put the file itself in place of the link");
        }
      }),
  );
}

for (const [trainer, odd] of [
  ["slime", ["weight_v0000003", "weight_v3", "Weight_v000003", "weight_v999999999999999999999"]],
  ["skyrl", ["delta-3", "delta-000000003"]],
] as const) {
  test(`${trainer}: folders that are called nearly as versions are told, and passed over`, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps(trainer, chain, STATES);
      for (const name of [...odd, "logs"]) {
        mkdirSync(join(chain, name));
      }
      const { versions } = await openChain(chain, null);
      assert.deepEqual(
        versions.map(({ number }) => number),
        [1, 2],
      );
      const { notes } = await chainInspect({ chain });
      const [note = ""] = notes;
      assert.ok(odd.every((name) => note.includes(`"${name}"`)) && !note.includes("logs"), note);
    }));
}
