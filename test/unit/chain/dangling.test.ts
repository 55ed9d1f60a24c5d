/** Links that lead nowhere, and a pointer that says nothing: only the version that they belong to cannot be had. */
import assert from "node:assert/strict";
import { readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainInspect } from "../../../src/commands/chain/inspect.js";
import { chainMaterialize } from "../../../src/commands/chain/materialize.js";
import { placeIn, type State, TRAINERS, writeModel, writeSteps, writeTrlSteps } from "../../support/chain-layouts.js";
import { withFolder } from "../../support/checkpoints.js";
import { refusalOf } from "../../support/refusal.js";

const STATES: readonly State[] = [0, 1, 2, 3].map((step) => ({
  a: Uint8Array.from({ length: 20 }, (_, i) => i + step),
}));
const skip = process.platform === "win32" ? "links need rights there" : false;
const quiet = { onNote: () => {}, onWarning: () => {}, threads: 0 } as const;

/** Puts a link that leads nowhere in a file's or folder's place. */
function breakLink(path: string): void {
  rmSync(path, { recursive: true });
  symlinkSync(`${path}-gone`, path);
}

for (const trainer of TRAINERS) {
  for (const which of ["folder", "shard", "last"] as const) {
    test(`${trainer}: where a version's ${which} is a link that leads nowhere, the others are read`, { skip }, () =>
      withFolder(async (folder) => {
        const chain = join(folder, "chain");
        await writeSteps(trainer, chain, STATES);
        const raw = await writeModel(join(folder, "base"), STATES[0] as State);
        symlinkSync("nowhere", join(chain, "notes.txt"));
        const { folder: place, last } = placeIn(trainer, 2);
        const shard = readdirSync(join(chain, place)).find((name) => name.endsWith(".safetensors")) ?? "";
        breakLink(which === "folder" ? join(chain, place) : join(chain, place, which === "last" ? last : shard));
        const options = { chain, raw, ...quiet };
        assert.equal((await chainMaterialize({ ...options, to: 1 })).outcome, "checked");

        const asked = await refusalOf(() => chainMaterialize({ ...options, to: 2 }));
        assert.equal(asked.why, "incomplete", asked.message);
        assert.match(asked.message, /a link that leads nowhere/);
        assert.deepEqual(
          asked.advice.map((one) => "option" in one && [one.option, one.value]),
          [["to", "1"]],
        );
        const onTheWay = await refusalOf(() => chainMaterialize(options));
        // What a version of ModelExpress is called is in its index, which cannot be read.
        assert.equal(onTheWay.why, trainer === "modelexpress" ? "version-gap" : "incomplete", onTheWay.message);
        assert.match(`${onTheWay.message} ${onTheWay.hint}`, /a link that leads nowhere/);

        const { versions } = await chainInspect(options);
        assert.deepEqual(versions.map(({ complete, fault }) => [complete, fault?.why ?? null]).slice(0, 2), [
          [true, null],
          [false, "incomplete"],
        ]);
      }),
    );
  }

  test(`${trainer}: a newest version that is a link that leads nowhere is passed over`, { skip }, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps(trainer, chain, STATES);
      const raw = await writeModel(join(folder, "base"), STATES[0] as State);
      breakLink(join(chain, placeIn(trainer, 3).folder));
      const notes: string[] = [];
      const report = await chainMaterialize({ chain, raw, ...quiet, onNote: (text) => void notes.push(text) });
      assert.equal(Number(report.chain.version), 2);
      assert.match(notes.join("\n"), /not complete yet, or interrupted; the newest complete version is 0*2/);
    }),
  );
}

test("trl: a step that is a link that leads nowhere is told where it is needed", { skip }, () =>
  withFolder(async (folder) => {
    const chain = join(folder, "chain");
    await writeTrlSteps(chain, STATES);
    const raw = await writeModel(join(folder, "base"), STATES[0] as State);
    breakLink(join(chain, "deltas/step_000002.safetensors"));
    assert.equal((await chainMaterialize({ chain, raw, to: 1, ...quiet })).outcome, "checked");
    const error = await refusalOf(() => chainMaterialize({ chain, raw, ...quiet }));
    assert.deepEqual([error.why, error.at.version], ["incomplete", "000002"]);
    assert.match(error.message, /step_000002\.safetensors: a link that leads nowhere/);
  }),
);

for (const [what, write, words] of [
  [
    "says nothing",
    (path: string) => writeFileSync(path, "the newest"),
    /points at "the newest", which is not a version/,
  ],
  ["is no text", (path: string) => writeFileSync(path, Buffer.of(0xff, 0xfe, 0x80)), /latest: /],
  ["is a link that leads nowhere", (path: string) => symlinkSync("nowhere", path), /a link that leads nowhere/],
] as const) {
  test(`a pointer that ${what} is refused, and what its hint says works`, { skip }, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps("slime", join(chain, "run"), STATES);
      renameSync(join(chain, "run"), join(chain, "updates"));
      const raw = await writeModel(join(folder, "base"), STATES[0] as State);
      write(join(chain, "latest"));
      const error = await refusalOf(() => chainMaterialize({ chain, raw, ...quiet }));
      assert.equal(error.why, "link");
      assert.match(error.message, words);
      assert.deepEqual(
        error.advice.map((one) => "option" in one && one.option),
        ["to"],
      );
      assert.equal((await chainMaterialize({ chain, raw, to: 2, ...quiet })).outcome, "checked");
      const { fault, versions } = await chainInspect({ chain });
      assert.deepEqual([fault?.why, versions.length], ["link", 3]);
    }),
  );
}
