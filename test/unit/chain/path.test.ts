/** The way from a version to where it starts: what is missing, unfinished or nameless on it is told as it is, in each layout. */
import assert from "node:assert/strict";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainError } from "../../../src/chain/chain.js";
import { openChain } from "../../../src/chain/open.js";
import { pathTo } from "../../../src/chain/path.js";
import { chainMaterialize } from "../../../src/commands/chain/materialize.js";
import type { WeightDiffError } from "../../../src/errors.js";
import {
  placeIn,
  type State,
  TRAINERS,
  type Trainer,
  writeModel,
  writeSteps,
  writeUpdate,
} from "../../support/chain-layouts.js";
import { withFolder } from "../../support/checkpoints.js";
import { refusalOf } from "../../support/refusal.js";

/** The third step changes nothing. */
const STATES: readonly State[] = [0, 1, 2, 2, 3].map((step) => ({
  a: Uint8Array.from({ length: 20 }, (_, i) => i + step),
}));

async function way(chain: string, base = 0, to: number | null = null): Promise<readonly string[]> {
  const { steps } = await pathTo(await openChain(chain, null), { to, base, maxSteps: 1000 });
  return steps.map(({ id, base: link }) => `${Number(link)}>${Number(id)}`);
}

function refusal(chain: string, base = 0, to: number | null = null): Promise<WeightDiffError> {
  return refusalOf(() => way(chain, base, to));
}

const adviceOf = (error: WeightDiffError): unknown =>
  error.advice.map((one) => ("option" in one ? [one.option, one.value] : []));

function without(trainer: Trainer, chain: string, ...versions: readonly number[]): void {
  for (const version of versions) {
    rmSync(join(chain, placeIn(trainer, version).folder), { recursive: true });
  }
}

function unfinished(trainer: Trainer, chain: string, version: number): void {
  const { folder, last } = placeIn(trainer, version);
  rmSync(join(chain, folder, last));
}

for (const trainer of TRAINERS) {
  test(`${trainer}: every version on the way is opened once, and the faults of two are told together`, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps(trainer, chain, STATES);
      const found = await openChain(chain, null);
      const opened: string[] = [];
      const failing = new Set<string>();
      const versions = found.versions.map((version) => ({
        ...version,
        open() {
          opened.push(version.id);
          return failing.has(version.id)
            ? Promise.reject(chainError("incomplete", `${version.id} fails`, undefined, { file: version.place }))
            : version.open();
        },
      }));
      const ids = versions.map(({ id }) => id);
      const options = { to: null, base: 0, maxSteps: 1000 };
      const { steps } = await pathTo({ ...found, versions }, options);
      assert.deepEqual([steps.map(({ id }) => id), opened], [ids, ids]);
      const [first = "", , third = ""] = ids;
      failing.add(first).add(third);
      const error = await refusalOf(() => pathTo({ ...found, versions }, options));
      assert.deepEqual(
        error.problems.map((problem) => /(\S+) fails/.exec(problem)?.[1]),
        [first, third],
      );
      assert.deepEqual(opened, [...ids, ...ids]);
    }));

  test(`${trainer}: a version that is missing on the way is named, whatever the steps after it change`, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps(trainer, chain, STATES);
      assert.deepEqual(await way(chain), ["0>1", "1>2", "2>3", "3>4"]);
      without(trainer, chain, 2);
      for (const to of [3, 4]) {
        const error = await refusal(chain, 0, to);
        assert.equal(error.why, "version-gap", error.message);
        assert.equal(error.at.version, trainer === "modelexpress" ? "3" : "000003");
      }
      assert.deepEqual(await way(chain, 0, 1), ["0>1"]);
      assert.deepEqual(await way(chain, 2), ["2>3", "3>4"]);
    }));

  test(`${trainer}: a version without its last file is passed over at the end, and refused on the way`, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps(trainer, chain, STATES);
      unfinished(trainer, chain, 4);
      assert.deepEqual(await way(chain), ["0>1", "1>2", "2>3"]);
      const asked = await refusal(chain, 0, 4);
      assert.deepEqual([asked.why, adviceOf(asked)], ["incomplete", [["to", "3"]]]);
      unfinished(trainer, chain, 2);
      const middle = await refusal(chain);
      if (trainer === "modelexpress") {
        // Its name was in the index that is not there.
        assert.equal(middle.why, "version-gap");
        assert.match(middle.hint ?? "", /v2 cannot be read \(has .*\), and may be the one that is meant/);
      } else {
        assert.deepEqual([middle.why, adviceOf(middle)], ["incomplete", [["to", "1"]]]);
        assert.match(middle.message, /is not complete, and .*3 is made on it/);
      }
    }));

  test(`${trainer}: of a chain whose first versions are gone, the base must be said, or proves itself`, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps(trainer, chain, STATES);
      without(trainer, chain, 1);
      assert.deepEqual(await way(chain, 1), ["1>2", "2>3", "3>4"]);
      if (trainer === "modelexpress") {
        const { notes } = await pathTo(await openChain(chain, null), { to: null, base: 0, maxSteps: 9 });
        assert.match(
          notes.join("\n"),
          /v2 is made on "mx-[0-9a-f]{8}", a name that no version here has: taken for the base/,
        );
        const raw = await writeModel(join(folder, "base"), STATES[0] as State);
        await assert.rejects(chainMaterialize({ chain, raw, threads: 0 }), /the base is another one/);
      } else {
        const error = await refusal(chain);
        assert.deepEqual([error.why, adviceOf(error)], ["base-unreachable", [["baseVersion", "1"]]]);
      }
    }));

  test(`${trainer}: a version that is not there, or not after the base, is told`, () =>
    withFolder(async (folder) => {
      const chain = join(folder, "chain");
      await writeSteps(trainer, chain, STATES);
      const none = await refusal(chain, 0, 9);
      assert.equal(none.why, "version-gap");
      assert.match(
        none.message,
        trainer === "modelexpress"
          ? /version 9 is not there \(there are 1 to 4\)/
          : /version 000009 is not there \(there are 000001 to 000004\)/,
      );
      assert.match((await refusal(chain, 4)).message, /the base already is version 0*4: nothing is to be applied/);
      assert.match((await refusal(chain, 7)).message, /version 0*4 is earlier than the base, which is version 0*7/);
      const { folder: place } = placeIn(trainer, 5);
      mkdirSync(join(chain, place));
      assert.deepEqual(await way(chain), ["0>1", "1>2", "2>3", "3>4"]);
    }));
}

test("ModelExpress: after a full version, the first name that nothing has is its own, and another one is missing", () =>
  withFolder(async (folder) => {
    const chain = join(folder, "chain");
    await writeSteps("modelexpress", chain, STATES.slice(0, 3));
    without("modelexpress", chain, 2);
    await writeModel(join(chain, "v2"), STATES[2] as State);
    const update = (version: number, base: number) =>
      writeUpdate("modelexpress", chain, { version, base, before: STATES[2] as State, after: STATES[4] as State });
    await update(3, 2);
    const { start, steps, notes } = await pathTo(await openChain(chain, null), { to: null, base: 0, maxSteps: 9 });
    assert.deepEqual([start?.id, steps.map(({ id }) => id)], ["2", ["3"]]);
    assert.match(notes.join("\n"), /taken for version 2, the full one before it/);
    await update(5, 4);
    const error = await refusal(chain);
    assert.deepEqual([error.why, error.at.version], ["version-gap", "5"]);
    // The base's own name again: it is not the full version's.
    await update(5, 0);
    assert.deepEqual([(await refusal(chain)).why], ["version-gap"]);
  }));
