/** The vectors of chains, whole: every version to the digest, every refusal by its rule, its place and its exit code. */
import assert from "node:assert/strict";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { hintText } from "../../src/cli/output/advice.js";
import { chainMaterialize } from "../../src/commands/chain/materialize.js";
import { chainVerify } from "../../src/commands/chain/verify.js";
import { recover } from "../../src/commands/recover.js";
import { EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import { CHAINS, ODD_VECTORS, optionsOf, stateOf, VECTORS } from "../support/chains.js";
import { withFolder } from "../support/checkpoints.js";

/** Small windows: the tensors of the large vectors take many. */
const WINDOW = { windowBytes: 65_536 } as const;
/** On two threads as well: one of each encoding and layout. */
const THREADED = /^(mixed|big-overwrite|resharded-base|modelexpress|skyrl|trl-a|fireworks-zlib)$/;

test("the vectors are all there", () => {
  assert.equal(VECTORS.cases.length, 86);
  assert.equal(ODD_VECTORS.cases.length, 87);
  assert.ok(CHAINS.endsWith("chains"));
});

for (const [vectors, vector] of [VECTORS, ODD_VECTORS].flatMap((all) => all.cases.map((one) => [all, one] as const))) {
  const { name, about, expect } = vector;
  const { to, versions } = expect;
  if (to === undefined || versions === undefined) {
    test(`refuses ${name}: ${about}`, () =>
      withFolder(async (folder) => {
        const error = await chainMaterialize({
          ...(await optionsOf(vector, folder, vectors.root)),
          ...WINDOW,
          threads: 0,
        }).catch((thrown) => thrown);
        assert.ok(error instanceof WeightDiffError, String(error));
        assert.ok(expect.exit.includes(EXIT_CODES[error.code]), `${error.code}: ${error.message}`);
        assert.ok(expect.why?.includes(error.why ?? ""), `${error.why}: ${error.message}`);
        if (expect.version !== undefined) {
          assert.equal(Number(error.at.version), Number(expect.version), error.message);
        }
        if (expect.tensor !== undefined) {
          assert.equal(error.at.tensor, expect.tensor, error.message);
        }
        assert.ok(error.at.file?.endsWith(expect.file ?? "") === true, error.message);
        const { tuned: _, ...asked } = await optionsOf(vector, folder, vectors.root);
        const { findings } = await chainVerify({ ...asked, ...WINDOW, threads: 0 });
        for (const { why, message, hint, advice } of findings) {
          const said = hintText({ hint: hint ?? undefined, advice }, "chain-verify", false);
          assert.ok(said !== undefined, `${why}: ${message}: nothing says what to do`);
        }
      }));
    continue;
  }
  test(`reads ${name}: ${about}`, () =>
    withFolder(async (folder) => {
      const options = { ...(await optionsOf(vector, folder, vectors.root)), ...WINDOW };
      const first = options.baseVersion ?? 0;
      const wanted = Object.keys(versions).flatMap((version) => (Number(version) > first ? [Number(version)] : []));
      for (const [version, threads] of [
        ...wanted.map((one) => [one, 0] as const),
        [undefined, THREADED.test(name) ? 2 : 0] as const,
      ]) {
        const report = await chainMaterialize({
          ...options,
          ...(version === undefined ? {} : { to: version }),
          threads,
        });
        const label: string = versions[version ?? to] ?? "";
        assert.deepEqual(
          Object.fromEntries(report.tensors.map((one) => [one.name, one.sha256])),
          stateOf(label, vectors),
          `${version}`,
        );
        if (version === undefined) {
          assert.ok(expect.warn?.every((word) => report.chain.warnings.some((code) => code === word)));
        }
      }
    }));
}

test("a Fireworks upload that lacks tensors of the base is incomplete, and none is taken from the base", () =>
  withFolder(async (folder) => {
    const chain = `${folder}/upload`;
    await cp(`${CHAINS}/good/fireworks-zstd`, chain, { recursive: true });
    await rm(`${chain}/model-00002-of-00002.safetensors`);
    const error = await chainMaterialize({ chain, raw: `${CHAINS}/base-fw` }).catch((thrown) => thrown);
    assert.ok(error instanceof WeightDiffError && error.why === "incomplete", String(error));
    assert.match(error.message, /no payload, but this layout needs one for every tensor/);
    assert.equal(EXIT_CODES[error.code], 4);
  }));

test("damage in a Fireworks upload names the tensor, whatever the compression, and verify lists it", () =>
  withFolder(async (folder) => {
    for (const name of ["fireworks-zlib", "fireworks-zstd"]) {
      const chain = `${folder}/${name}`;
      await cp(`${CHAINS}/good/${name}`, chain, { recursive: true });
      const file = `${chain}/model-00001-of-00002.safetensors`;
      const bytes = await readFile(file);
      const start = 8 + Number(bytes.readBigUInt64LE(0));
      const header: { [name: string]: { readonly data_offsets: readonly [number, number] } } = JSON.parse(
        bytes.toString("utf8", 8, start),
      );
      const [, end = 0] = header["model.embed_tokens.weight"]?.data_offsets ?? [];
      bytes.fill(0xff, start + end - 40, start + end);
      await writeFile(file, bytes);
      const options = { chain, raw: `${CHAINS}/base-fw`, threads: 0 } as const;
      const error = await chainMaterialize(options).catch((thrown) => thrown);
      assert.ok(error instanceof WeightDiffError && error.why === "frame", String(error));
      assert.match(error.message, /tensor "[^"]+": the (zlib data|zstd frame) /);
      assert.notEqual(error.at.tensor, undefined);
      const { verdict, findings } = await chainVerify(options);
      assert.deepEqual([verdict, findings[0]?.why, findings[0]?.tensor], ["failed", "frame", error.at.tensor]);
    }
  }));

test("recover knows a chain, and gives the same bytes", () =>
  withFolder(async (folder) => {
    const report = await recover({
      raw: `${CHAINS}/base`,
      diff: `${CHAINS}/good/mixed`,
      tuned: `${folder}/out`,
      to: 3,
    });
    assert.equal(report.outcome, "recovered");
    assert.equal(report.chain?.version, "000003");
    assert.deepEqual(Object.fromEntries(report.tensors.map(({ name, sha256 }) => [name, sha256])), stateOf("A3"));
    for (const odd of [{ dtype: "F32" }, { scheme: "fastchat" }, { rows: "mean" }, { expectSum: 1 }] as const) {
      const error = await recover({ raw: `${CHAINS}/base`, diff: `${CHAINS}/good/mixed`, ...odd }).catch(
        (thrown) => thrown,
      );
      assert.ok(error instanceof WeightDiffError && error.code === "USAGE", String(error));
    }
  }));
