/** A publisher that starts over while a chain is read: what was read is of two runs, and nothing is made of it. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainFold } from "../../../../src/commands/chain/fold.js";
import { chainMaterialize } from "../../../../src/commands/chain/materialize.js";
import { EXIT_CODES, WeightDiffError } from "../../../../src/errors.js";
import { canEncode } from "../../../../src/formats/zstd/encoder.js";
import { placeIn, type State, TRAINERS, writeModel, writeSteps } from "../../../support/chain-layouts.js";
import { withFolder } from "../../../support/checkpoints.js";

const STATES: readonly State[] = [0, 1, 2].map((step) => ({
  a: Uint8Array.from({ length: 20 }, (_, i) => i + step),
}));
const quiet = { onNote: () => {}, onWarning: () => {}, threads: 0 } as const;

for (const trainer of TRAINERS) {
  for (const [what, again] of [
    ["is published again", (file: string) => writeFileSync(file, readFileSync(file, "utf8").replace("}", " }"))],
    ["is deleted", (file: string) => rmSync(file)],
  ] as const) {
    test(`${trainer}: a version that ${what} during the run ends it, and nothing is left under the output's name`, () =>
      withFolder(async (folder) => {
        const chain = join(folder, "chain");
        const raw = await writeModel(join(folder, "base"), STATES[0] as State);
        const { folder: place, last } = placeIn(trainer, 1);
        const output = join(folder, "out");
        for (const run of [
          (onProgress: () => void) => chainMaterialize({ chain, raw, tuned: output, ...quiet, onProgress }),
          ...(canEncode() ? [(onProgress: () => void) => chainFold({ chain, raw, output, ...quiet, onProgress })] : []),
        ]) {
          await writeSteps(trainer, chain, STATES);
          let told = false;
          const error = await run(() => {
            if (!told) {
              told = true;
              again(join(chain, place, last));
            }
          }).catch((thrown: unknown) => thrown);
          assert.ok(told);
          assert.ok(error instanceof WeightDiffError, String(error));
          assert.deepEqual([error.code, EXIT_CODES[error.code]], ["INPUT_CHANGED", 4]);
          assert.match(error.message, /is not what it was when the run began: the version was published again/);
          for (const file of ["model.safetensors", "weight-diff.json", "weight_v000002/model.safetensors.index.json"]) {
            assert.ok(!existsSync(join(output, file)), file);
          }
          rmSync(output, { recursive: true, force: true });
          rmSync(chain, { recursive: true, force: true });
        }
      }));
  }
}
