/** A base that stands elsewhere on the chain than it is said to: each layout tells which version it is, and what to do. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainFold } from "../../../../src/commands/chain/fold.js";
import { chainMaterialize } from "../../../../src/commands/chain/materialize.js";
import { chainVerify } from "../../../../src/commands/chain/verify.js";
import { EXIT_CODES, WeightDiffError } from "../../../../src/errors.js";
import { canEncode } from "../../../../src/formats/zstd/encoder.js";
import { writeStep } from "../../../support/chain-files.js";
import { type State, TRAINERS, writeModel, writeSteps, writeTrlSteps } from "../../../support/chain-layouts.js";
import { withFolder } from "../../../support/checkpoints.js";

/** "a" changes in every step but the third, which is empty; "b" in the second and fourth, where it becomes what it was; "c" never. */
function states(): readonly State[] {
  const make = (a: number, b: number): State => ({
    a: Uint8Array.from({ length: 600 }, (_, i) => (i % 7 === 0 ? (i + a) & 255 : i & 255)),
    b: Uint8Array.of(b, 1, 2, 3),
    c: Uint8Array.of(9, 9),
  });
  return [make(0, 5), make(1, 5), make(2, 6), make(2, 6), make(3, 5)];
}

const quiet = { onNote: () => {}, onWarning: () => {}, threads: 0 } as const;

async function failure(run: () => Promise<unknown>): Promise<WeightDiffError> {
  const error = await run().catch((thrown: unknown) => thrown);
  assert.ok(error instanceof WeightDiffError, String(error));
  return error;
}

/** [the version that the base is, the one it is said to be, the wanted one] -> why, what is said, what is advised. */
const CASES = [
  [
    2,
    0,
    4,
    "already-applied",
    /already is version 0*2 of this chain \(by all 2 tensors that were compared\)/,
    { baseVersion: "2" },
  ],
  [1, 0, 1, "already-applied", /already is version 0*1 of this chain, which is the wanted one/, { to: undefined }],
  [4, 0, 4, "already-applied", /already is version 0*4 of this chain, which is the wanted one/, {}],
  [4, 0, 1, "already-applied", /already is version 0*4 of this chain, later than the wanted 0*1/, {}],
  [2, 0, 1, "already-applied", /already is version 0*2 of this chain, later than the wanted 0*1/, {}],
  [0, 2, 4, "wrong-base", /is version 0+ of this chain, and not 0*2/, { baseVersion: "0" }],
  [1, 2, 4, "wrong-base", /is version 0*1 of this chain, and not 0*2/, { baseVersion: "1" }],
] as const;

for (const trainer of TRAINERS) {
  test(`${trainer}: a base that is another version is told by name, and nothing is written`, () =>
    withFolder(async (folder) => {
      const all = states();
      await writeSteps(trainer, join(folder, "chain"), all);
      for (const [number, state] of all.entries()) {
        await writeModel(join(folder, `at-${number}`), state);
      }
      for (const [is, said, to, why, words, advice] of CASES) {
        const name = `${is}, said ${said}, to ${to}`;
        const options = {
          chain: join(folder, "chain"),
          raw: join(folder, `at-${is}`),
          baseVersion: said,
          to,
          ...quiet,
        };
        const error = await failure(() => chainMaterialize({ ...options, tuned: join(folder, "out") }));
        assert.equal(error.why, why, `${name}: ${error.message}`);
        assert.equal(EXIT_CODES[error.code], 4, name);
        assert.match(error.message, words, name);
        assert.deepEqual(
          Object.fromEntries(error.advice.map((one) => ("option" in one ? [one.option, one.value] : []))),
          advice,
          name,
        );
        const { verdict, findings } = await chainVerify(options);
        assert.deepEqual([verdict, findings.map((one) => one.why)], ["failed", [why]], name);
        if (canEncode()) {
          const { baseVersion: from, ...rest } = options;
          const folded = await failure(() => chainFold({ ...rest, from, output: join(folder, "out") }));
          assert.deepEqual([folded.why, folded.message], [why, error.message], name);
        }
      }
      // The third step changes nothing: version 3 is version 2.
      const made = await chainMaterialize({
        chain: join(folder, "chain"),
        raw: join(folder, "at-3"),
        baseVersion: 2,
        ...quiet,
      });
      assert.equal(made.outcome, "checked");
    }));
}

test("a sha256 over the whole model tells the same, but of the version before the first", () =>
  withFolder(async (folder) => {
    const all = states();
    await writeTrlSteps(join(folder, "chain"), all);
    for (const [number, state] of all.entries()) {
      await writeModel(join(folder, `at-${number}`), state);
    }
    const run = (is: number, said: number, to: number) => () =>
      chainMaterialize({
        chain: join(folder, "chain"),
        raw: join(folder, `at-${is}`),
        baseVersion: said,
        to,
        ...quiet,
      });
    assert.match(
      (await failure(run(2, 0, 1))).message,
      /already is version 000002 of this chain, later than the wanted/,
    );
    assert.match((await failure(run(1, 2, 3))).message, /is version 000001 of this chain, and not 000002/);
    const other = await failure(run(0, 2, 3));
    assert.deepEqual([other.why, other.code], ["checksum", "CHECK_FAILED"]);
    // Elements are replaced: what was replaced before comes out the same.
    assert.equal((await run(2, 0, 4)()).outcome, "checked");
  }));

test("a base whose checksums are right where it is said to stand clears it: the payload is damaged", () =>
  withFolder(async (folder) => {
    const all = states();
    await writeSteps("slime", join(folder, "chain"), all.slice(0, 2));
    const a = all[1]?.a as Uint8Array;
    const damaged = { a: [a, a.map((byte) => byte ^ 3)] } as const;
    await writeStep(join(folder, "chain"), {
      version: 2,
      encoding: "xor",
      tensors: damaged,
      sums: { a: "0".repeat(32) },
    });
    await writeModel(join(folder, "at-1"), all[1] as State);
    const error = await failure(() =>
      chainMaterialize({ chain: join(folder, "chain"), raw: join(folder, "at-1"), baseVersion: 1, ...quiet }),
    );
    assert.deepEqual([error.why, EXIT_CODES[error.code]], ["checksum", 3]);
    assert.match(
      error.hint ?? "",
      /the base is what it is said to be, by the only tensor that was compared: the payload is/,
    );
  }));

test("a version that one probed tensor suggests is believed only if other tensors fit it", () =>
  withFolder(async (folder) => {
    const all = states();
    await writeSteps("slime", join(folder, "chain"), all);
    const run = async (name: string, state: State) =>
      failure(async () =>
        chainMaterialize({
          ...{ chain: join(folder, "chain"), raw: await writeModel(join(folder, name), state) },
          ...{ to: 1, ...quiet },
        }),
      );
    // Version 1 changes "a" alone, so nothing else is probed; version 2 changes "b", too.
    const fits = await run("fits", all[2] as State);
    assert.match(fits.message, /already is version 000002 .* \(by all 2 tensors that were compared\)/);
    const differs = await run("differs", { ...all[2], b: Uint8Array.of(1, 1, 1, 1) } as State);
    assert.equal(differs.why, "wrong-base", differs.message);
    await writeSteps("slime", join(folder, "one"), [all[0] as State, { ...all[0], a: all[1]?.a } as State]);
    const only = await failure(() =>
      chainMaterialize({ chain: join(folder, "one"), raw: join(folder, "fits"), to: 1, ...quiet }),
    );
    assert.equal(only.why, "wrong-base", only.message);
    const one = await run("one-changed", all[1] as State);
    assert.match(one.message, /already is version 000001 .* \(by the only tensor that was compared\)/);
  }));

const skipLocks =
  process.platform !== "linux"
    ? "only Linux lists locks"
    : spawnSync("flock", ["--version"]).status === 0
      ? false
      : "there is no flock to hold one with";

/** Where the engine keeps it, from its checkpoint; its lock; and what it says of a copy that is half written. */
for (const [place, lock, half] of [
  [".weight_sync", "lock", { version: "000002", valid: false }],
  ["../.skyrl_weight_sync", "writer.lock", { version: 2, write_in_progress: true, target_version: 3 }],
] as const) {
  test(`an engine's ${place}/state.json is a hint: what it says is told, and the checksums decide`, () =>
    withFolder(async (folder) => {
      const all = states();
      const raw = await writeModel(join(folder, "weights"), all[0] as State);
      mkdirSync(join(raw, place));
      const say = (state: object | string): void =>
        writeFileSync(join(raw, place, "state.json"), typeof state === "string" ? state : JSON.stringify(state));
      await writeSteps("slime", join(folder, "chain"), all);
      const notes: string[] = [];
      const options = { chain: join(folder, "chain"), raw, ...quiet, onNote: (text: string) => void notes.push(text) };

      say({ version: "000002" });
      assert.equal((await chainMaterialize(options)).outcome, "checked");
      assert.match(
        notes.join("\n"),
        /state\.json says that the base is version 000002, and by their checksums 2 of its tensors/,
      );

      say(half);
      const stopped = await failure(() => chainMaterialize(options));
      assert.equal(stopped.why, "wrong-base");
      assert.match(stopped.message, /from version 000002, and did not finish/);

      say({ version: "000009" });
      await writeModel(raw, { ...all[0], a: new Uint8Array(600), b: new Uint8Array(4) });
      const other = await failure(() => chainMaterialize(options));
      assert.equal(other.why, "wrong-base");
      assert.match(other.hint ?? "", /state\.json says that an engine made it version 000009/);

      // Nothing is changed, so no checksum can tell.
      await writeSteps("slime", join(folder, "still"), [all[0] as State, all[0] as State, all[0] as State]);
      say({ version: "000001" });
      const still = { ...options, chain: join(folder, "still") };
      const told = await failure(() => chainMaterialize(still));
      assert.equal(told.why, "already-applied");
      assert.match(told.message, /state\.json says so, and no checksum can tell/);
      assert.equal((await chainMaterialize({ ...still, baseVersion: 1 })).outcome, "checked");

      for (const text of ["", "[]", "{", '{"version": "../x"}', '{"version": -1}', "null", "x".repeat(200_000)]) {
        say(text);
        assert.equal((await chainMaterialize(still)).outcome, "checked", text.slice(0, 20));
      }
    }));

  test(`a process that holds an engine's ${place}/${lock} is told`, { skip: skipLocks }, () =>
    withFolder(async (folder) => {
      const all = states();
      const raw = await writeModel(join(folder, "weights"), all[0] as State);
      await writeSteps("slime", join(folder, "chain"), all);
      mkdirSync(join(raw, place));
      const warnings: string[] = [];
      const onWarning = (text: string): void => void warnings.push(text);
      const run = () => chainMaterialize({ chain: join(folder, "chain"), raw, ...quiet, onWarning });
      writeFileSync(join(raw, place, lock), "");
      await run();
      assert.deepEqual(warnings, [], "a lock file that nobody holds says nothing");
      const engine = spawn("flock", [join(raw, place, lock), "sh", "-c", "echo held; read _"]);
      await once(engine.stdout, "data");
      await run();
      engine.stdin.end();
      assert.equal(warnings.length, 1);
      assert.match(
        warnings[0] ?? "",
        new RegExp(`^a process holds .*/${lock.replace(".", "\\.")}: an engine may be changing`),
      );
    }),
  );
}
