/** weight-diff.json: what is written is what is read; anything else is noticed. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { recover } from "../../../src/commands/recover.js";
import type { Manifest } from "../../../src/manifest/manifest.js";
import { readManifest } from "../../../src/manifest/read.js";
import { digestOf, writeManifest } from "../../../src/manifest/write.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { refuses } from "../../support/refusal.js";

const DIGEST = "0123456789abcdef".repeat(4);
const SOURCE = { repo: "org/name", commit: null, files: [{ file: "a.bin", size: 3, header: DIGEST }] };
const MANIFEST: Manifest = {
  schema: 1,
  tool: "weight-diff 0.0.0",
  operation: "recover",
  scheme: "alpaca",
  dtype: "float32",
  raw: SOURCE,
  diff: SOURCE,
  tensors: [
    { name: "__proto__", dtype: "F32", shape: [2, 3], sha256: DIGEST },
    { name: 'a\u001b"\ud83d\ude00', dtype: "I64", shape: [], sha256: DIGEST },
  ],
  files: [{ file: "model.safetensors", size: 4096, header: DIGEST }],
  sums: { without_inv_freq: -1.5, with_inv_freq: null },
};

const WRITTEN = [...writeManifest(MANIFEST)].join("");

const readText = (text: string | Uint8Array): Promise<Manifest> =>
  withFolder(async (folder) => readManifest(join(await writeFiles(folder, { "m.json": text }), "m.json")));

test("reads back what it wrote, hostile names included", async () => {
  assert.deepEqual(await readText(WRITTEN), MANIFEST);
});

test("is one text, whatever the pieces in which it is written", () => {
  const tensors = Array.from({ length: 2000 }, (_, k) => ({
    name: `t.${k}`,
    dtype: "F32" as const,
    shape: [k],
    sha256: DIGEST,
  }));
  const many = { ...MANIFEST, tensors, files: [] };
  const pieces = [...writeManifest(many)];
  assert.ok(pieces.length > 5);
  assert.equal(pieces.join(""), `${JSON.stringify({ ...many, digest: digestOf(many) }, null, 2)}\n`);
});

test("ends with its own digest and a line end", () => {
  assert.match(WRITTEN, /,\n {2}"digest": "[0-9a-f]{64}"\n}\n$/);
});

test("gives every order of keys and spelling of white space one digest", async () => {
  const value = JSON.parse(WRITTEN);
  const reversed = JSON.stringify(Object.fromEntries(Object.entries(value).reverse()), null, 7);
  assert.deepEqual(await readText(reversed), MANIFEST);
  assert.equal(digestOf({ a: [1, { c: null, b: "x" }] }), digestOf({ a: [1, { b: "x", c: null }] }));
  assert.notEqual(digestOf({ a: [1, 2] }), digestOf({ a: [2, 1] }));
});

for (const [what, edit] of [
  ["a digest", (text: string) => text.replace("0123", "0124")],
  ["a shape", (text: string) => text.replace("3\n      ]", "4\n      ]")],
  ["a sum", (text: string) => text.replace("-1.5", "-1.25")],
  ["the scheme", (text: string) => text.replace('"alpaca"', '"open-instruct"')],
] as const) {
  test(`notices that ${what} was edited`, async () => {
    const text = edit(WRITTEN);
    assert.notEqual(text, WRITTEN);
    await refuses(() => readText(text), "CHECK_FAILED", /m\.json: damaged or edited/);
  });
}

const HOSTILE: readonly (readonly [what: string, text: string | Uint8Array])[] = [
  ["empty", ""],
  ["null", "null"],
  ["a list", "[]"],
  ["an empty object", "{}"],
  ["cut off", WRITTEN.slice(0, -40)],
  ["of another schema", WRITTEN.replace('"schema": 1', '"schema": 2')],
  ["without its digest", JSON.stringify(MANIFEST)],
  ["of negative sizes", WRITTEN.replace('"size": 3', '"size": -3')],
  ["of sizes past 2^53", WRITTEN.replace('"size": 3', '"size": 1e300')],
  ["of an unknown dtype", WRITTEN.replace('"F32"', '"constructor"')],
  ["not UTF-8", Buffer.from([0x7b, 0xff])],
  ["a key twice", WRITTEN.replace('"schema"', '"tool": "x",\n  "schema"')],
];
for (const [what, text] of HOSTILE) {
  test(`refuses a manifest that is ${what}`, async () => {
    await refuses(() => readText(text), "FORMAT_INVALID", /m\.json/);
  });
}

test("refuses lists longer than any model's, and elements larger than any tensor's", async () => {
  const tensor = JSON.stringify({ name: "a", dtype: "U8", shape: [], sha256: DIGEST });
  const listing = (tensors: string): string =>
    JSON.stringify({ ...MANIFEST, tensors: [] }).replace('"tensors":[]', `"tensors":[${tensors}]`);
  await refuses(
    () => readText(listing(`${`${tensor},`.repeat(250_000)}${tensor}`)),
    "LIMIT",
    /lists more than 250000 tensors and files/,
  );
  const deep = tensor.replace("[]", `[${"0,".repeat(1000)}0]`);
  await refuses(() => readText(listing(deep)), "LIMIT", /m\.json holds more than \d+ values/);
});

test("names a manifest that is not there, and does not wait for a pipe", { timeout: 10_000 }, async () => {
  await refuses(() => readManifest("/no/such/weight-diff.json"), "NOT_FOUND", /weight-diff\.json: no such file/);
  await withFolder(async (folder) => {
    execFileSync("mkfifo", [join(folder, "m.json")]);
    await refuses(() => readManifest(join(folder, "m.json")), "NOT_FOUND", /not a regular file/);
  });
});

test("the same inputs give the same bytes, whatever the place, the threads and the time", async () => {
  await withFolder(async (folder) => {
    const texts: string[] = [];
    for (const threads of [0, 2]) {
      const tuned = join(folder, `out-${threads}`);
      await recover({ raw: join(FIXTURES, "demo/base"), diff: join(FIXTURES, "demo/diff"), tuned, threads });
      texts.push(await readFile(join(tuned, "weight-diff.json"), "utf8"));
    }
    const [first = "", second = ""] = texts;
    assert.equal(first, second);
    for (const secret of [folder, FIXTURES, hostname(), "threads", "seconds", "/", String(new Date().getFullYear())]) {
      assert.ok(!first.replaceAll(/[0-9a-f]{64}/g, "").includes(secret), secret);
    }
  });
});

test("steps of a chain may have any number of shards", async () => {
  const { dtype: _, diff: __, sums: ___, ...rest } = MANIFEST as Extract<Manifest, { operation: "recover" }>;
  const files = Array.from({ length: 700 }, (_, k) => ({ file: `model-${k}.safetensors`, size: k, header: DIGEST }));
  const step = { version: "000001", base_version: "000000", encoding: "xor", checksum: "blake3", index: DIGEST, files };
  const chain = { layout: "slime", repo: null, commit: null, version: "000001", base_version: "000000", steps: [step] };
  const manifest: Manifest = { ...rest, operation: "materialize", scheme: "chain", chain };
  assert.deepEqual(await readText([...writeManifest(manifest)].join("")), manifest);
  const odd = { ...manifest, chain: { ...chain, steps: [{ ...step, files: [...files, { file: 1 }] }] } };
  const text = JSON.stringify({ ...odd, digest: digestOf(odd) });
  await refuses(() => readText(text), "FORMAT_INVALID", /chain\.steps\.0\.files\.700\.file: /);
});
