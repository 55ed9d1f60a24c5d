/** What a user does wrong: the message says what it is, and what its remedy says works. */
import assert from "node:assert/strict";
import { readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainFold } from "../../../../src/commands/chain/fold.js";
import { chainInspect } from "../../../../src/commands/chain/inspect.js";
import { chainMake } from "../../../../src/commands/chain/make.js";
import { chainMaterialize } from "../../../../src/commands/chain/materialize.js";
import { chainVerify } from "../../../../src/commands/chain/verify.js";
import { recover } from "../../../../src/commands/recover.js";
import { WeightDiffError } from "../../../../src/errors.js";
import { canEncode } from "../../../../src/formats/zstd/encoder.js";
import { rawFrame, writeStep, xorPayload } from "../../../support/chain-files.js";
import { placeIn, type State, TRAINERS, writeModel, writeSteps } from "../../../support/chain-layouts.js";
import { CHAINS } from "../../../support/chains.js";
import { withFolder } from "../../../support/checkpoints.js";
import { refusalOf } from "../../../support/refusal.js";

const STATES: readonly State[] = [0, 1, 2, 3, 4].map((step) => ({
  a: Uint8Array.from({ length: 600 }, (_, i) => (i % 7 === 0 ? i + step : i) & 255),
  b: Uint8Array.of(step, 1, 2, 3),
}));
const notes: string[] = [];
const quiet = { onNote: (text: string) => void notes.push(text), onWarning: () => {}, threads: 0 } as const;
const coded = { encoding: "exact-compressed" } as const;

/** A chain, and the model of each of its versions. */
async function written(folder: string, trainer: (typeof TRAINERS)[number] = "slime") {
  const chain = join(folder, "chain");
  await writeSteps(trainer, chain, STATES);
  const models = [await writeModel(join(folder, "base"), STATES[0] as State)];
  for (let to = 1; to < STATES.length; to++) {
    const tuned = join(folder, `model-${to}`);
    await chainMaterialize({ chain, raw: models[0] ?? "", tuned, to, ...quiet });
    models.push(tuned);
  }
  return { chain, models };
}

for (const trainer of TRAINERS) {
  test(`${trainer}: a chain in the base's place, or one of its versions, is no model`, () =>
    withFolder(async (folder) => {
      const { chain, models } = await written(folder, trainer);
      const { folder: place } = placeIn(trainer, 1);
      for (const raw of [chain, join(chain, place)]) {
        const error = await refusalOf(() => chainMaterialize({ chain, raw, ...quiet }));
        // SkyRL names its payloads in no metadata.
        if (trainer !== "skyrl" || raw === chain) {
          assert.equal(error.why, "wrong-base", error.message);
          assert.match(error.message, /the base holds updates of a chain, and no model/);
        }
      }
      const swapped = await refusalOf(() => chainMaterialize({ chain: models[0] ?? "", raw: chain, ...quiet }));
      assert.equal(swapped.hint, `${chain} is one: exchange the two paths`);
    }));
}

test("the folder of one version is that version, and nobody says that its publisher points at it", () =>
  withFolder(async (folder) => {
    const { chain, models } = await written(folder);
    notes.length = 0;
    const { folder: place } = placeIn("slime", 2);
    const report = await chainMaterialize({ chain: join(chain, place), raw: models[0] ?? "", ...quiet });
    assert.equal(report.chain.version, "000002");
    assert.ok(notes.includes("the path is that of version 000002, and 000004 is there too"), notes.join("\n"));
    assert.equal((await chainInspect({ chain: join(chain, place) })).pointer, 2);
  }));

test("a fold with the base of another version says where to begin, and that works", () =>
  withFolder(async (folder) => {
    const { chain, models } = await written(folder);
    const fold = { chain, raw: models[2] ?? "", output: join(folder, "out"), ...coded, ...quiet };
    const error = await refusalOf(() => chainFold(fold));
    assert.equal(error.why, "already-applied");
    assert.deepEqual(error.advice, [{ to: "go on from there", option: "from", value: "2" }]);
    renameSync(join(chain, placeIn("slime", 1).folder), join(folder, "away"));
    const unreachable = await refusalOf(() => chainFold(fold));
    assert.equal(unreachable.why, "base-unreachable");
    assert.deepEqual(unreachable.advice, [{ to: "if the base is that version, say so", option: "from", value: "1" }]);
    const { output } = await chainFold({ ...fold, from: 2 });
    assert.deepEqual(readdirSync(output).includes("model.safetensors.index.json"), true);
  }));

test("an archive of every second version is a chain of its own: what number a model has in the other one does not matter", () =>
  withFolder(async (folder) => {
    const { chain, models } = await written(folder);
    const archive = join(folder, "archive");
    const make = (raw: number, tuned: number, to = archive) =>
      chainMake({ chain: to, raw: models[raw] ?? "", tuned: models[tuned] ?? "", ...coded, ...quiet });
    assert.equal((await make(0, 2)).version, "000001");
    assert.equal((await make(2, 4)).version, "000002");
    const { tensors } = await chainMaterialize({ chain: archive, raw: models[0] ?? "", ...quiet });
    const direct = await chainMaterialize({ chain, raw: models[0] ?? "", ...quiet });
    assert.deepEqual(tensors, direct.tensors);
    // On the chain that it is of, an earlier version is told by its name.
    const error = await refusalOf(() => make(2, 3, chain));
    assert.equal(error.why, "wrong-base");
    assert.match(error.message, /is version 000002 of this chain, and the newest is 000004/);
    const other = await refusalOf(() => make(0, 4));
    assert.equal(other.why, "wrong-base");
    assert.match(other.message, /tensor "[ab]" of the model before is not as in version 000002/);
  }));

test("a model's folder is no place for a chain", () =>
  withFolder(async (folder) => {
    const { models } = await written(folder);
    const [raw = "", tuned = ""] = models;
    for (const chain of models.slice(0, 3)) {
      const error = await refusalOf(() => chainMake({ chain, raw, tuned, ...coded, ...quiet }));
      assert.equal(error.code, "OUTPUT_REFUSED");
      assert.match(error.message, /holds a model, and no version of a chain/);
      assert.ok(!readdirSync(chain).includes("weight_v000001"));
    }
    const { version } = await chainMake({ chain: join(folder, "new"), raw, tuned, ...coded, ...quiet });
    assert.equal(version, "000001");
  }));

test("a Node without zstd says what it can write", { skip: canEncode() && "this Node writes it" }, async () => {
  const error = await chainMake({ chain: "c", raw: "a", tuned: "b" }).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof WeightDiffError && error.code === "USAGE", String(error));
  assert.deepEqual(error.advice, [
    { to: "write what only weight-diff reads", option: "encoding", value: "exact-compressed" },
  ]);
});

test("recover tells of a diff that is not there before it judges the base, which a chain may well have", async () => {
  const diff = "org/chain/weight_v000002";
  const options = { raw: join(CHAINS, "base"), diff, tuned: "out", ...quiet };
  const error = await refusalOf(() => recover(options));
  assert.deepEqual([error.code, error.at.file], ["NOT_FOUND", diff]);
  assert.match(error.hint ?? "", /in the repository org\/chain on the Hub, write hf:\/\/org\/chain\/weight_v000002$/);
});

test("verify without the base names the tensor of each damaged frame, and says what its publisher must change", () =>
  withFolder(async (folder) => {
    const wide = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3, 1, 0, 0]);
    const dictionary = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 0, 1, 0, 0]);
    const { a, b } = { a: Uint8Array.of(1, 2), b: Uint8Array.of(3, 4) };
    const chain = join(folder, "chain");
    await writeStep(chain, {
      ...{ version: 1, encoding: "xor", tensors: { cut: [a, b], wide: [a, b], "with a dictionary": [a, b] } },
      frames: { cut: rawFrame(xorPayload(a, b)).subarray(0, -1), wide, "with a dictionary": dictionary },
    });
    const { findings } = await chainVerify({ chain, threads: 0 });
    const told = findings.map(({ tensor, message, hint }) => [tensor, message.replace(/^.*safetensors: /, ""), hint]);
    const frame = (name: string, what: string): string => `tensor "${name}": the zstd frame ${what}`;
    assert.deepEqual(told.sort(), [
      ["cut", frame("cut", "is cut off after 13 bytes"), "the download is incomplete: fetch the file again"],
      [
        "wide",
        frame("wide", "wants a window of 16777216 bytes; 8388608 is the most"),
        "ask its publisher to compress with a level of at most 19 and no longer window",
      ],
      [
        "with a dictionary",
        frame("with a dictionary", "wants a dictionary"),
        "ask its publisher to compress without one",
      ],
    ]);
  }));

test("a number before the newest is refused with one that can be taken", () =>
  withFolder(async (folder) => {
    const { chain, models } = await written(folder);
    const make = (version: number) =>
      chainMake({ chain, raw: models[4] ?? "", tuned: models[1] ?? "", version, ...coded, ...quiet });
    const error = await refusalOf(() => make(2));
    assert.deepEqual(error.advice, [{ to: "give a later number", option: "version", value: "5" }]);
    assert.equal((await make(5)).version, "000005");
  }));

test("a later version is only advised where there is one", () =>
  withFolder(async (folder) => {
    const { chain, models } = await written(folder);
    const at = (number: number) =>
      refusalOf(() =>
        chainMaterialize({ chain, raw: models[number] ?? "", baseVersion: number, to: number, ...quiet }),
      );
    const last = await at(4);
    assert.deepEqual([last.why, last.hint, last.advice], ["already-applied", "use it as it is", []]);
    assert.deepEqual((await at(3)).advice, [{ to: "choose a later version", option: "to" }]);
  }));

test("a fold up to a full version is refused, and a later update is advised only where there is one", () =>
  withFolder(async (folder) => {
    const { chain, models } = await written(folder);
    const [third = "", fourth = ""] = models.slice(3);
    await chainMake({ chain, raw: fourth, tuned: third, full: true, ...quiet });
    const fold = async (): Promise<WeightDiffError> => {
      const error = await chainFold({ chain, output: join(folder, "out"), to: 5, ...coded, ...quiet }).catch(
        (e: unknown) => e,
      );
      assert.ok(error instanceof WeightDiffError && error.code === "USAGE", String(error));
      return error;
    };
    assert.deepEqual([(await fold()).hint, (await fold()).advice], ["use it as it is", []]);
    const plain = await writeModel(join(folder, "plain"), STATES[3] as State);
    await chainMake({ chain, raw: plain, tuned: fourth, ...coded, ...quiet });
    assert.deepEqual((await fold()).advice, [{ to: "choose an update after it", option: "to" }]);
  }));
