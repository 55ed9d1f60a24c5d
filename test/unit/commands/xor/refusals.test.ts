/** What an XOR payload can be spoiled by, and what the user is told: before anything is written where that is possible. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { recover } from "../../../../src/commands/recover.js";
import { findXorPayload } from "../../../../src/commands/xor/payload.js";
import { xor } from "../../../../src/commands/xor.js";
import type { ErrorCode } from "../../../../src/errors.js";
import { withFolder, writeFiles } from "../../../support/checkpoints.js";
import { refuses } from "../../../support/refusal.js";
import {
  BASE,
  decode,
  encryptedFile,
  encryptedFiles,
  type Files,
  lay,
  modelFiles,
  noise,
  payloadOf,
  TUNED,
  xored,
} from "../../../support/xor-payloads.js";

const PAYLOAD = payloadOf(TUNED, BASE);
const KEY = noise("key", 5000);
const ENC = encryptedFiles(TUNED, KEY);
const config = TUNED["config.json"] ?? new Uint8Array();
const weights = PAYLOAD["model.safetensors"] ?? new Uint8Array();
const without = (files: Files, name: string): Files =>
  Object.fromEntries(Object.entries(files).filter(([file]) => file !== name));
const crlf = (bytes: Uint8Array): Uint8Array =>
  Buffer.from(Buffer.from(bytes).toString("latin1").replaceAll("\n", "\r\n"), "latin1");
const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
const spoilable = Buffer.from(
  JSON.stringify(Object.fromEntries([["_name_or_path", "x".repeat(300)]])).replace(/x+/, (xs) =>
    [...xs].map((_, at) => String.fromCharCode(0x61 + (at % 26))).join(""),
  ),
);
const POINTER = Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
const HTML = Buffer.from("<!DOCTYPE html><title>Sign in</title>");

interface Case {
  readonly what: string;
  readonly base?: Files;
  readonly payload: Files;
  readonly scheme?: string;
  readonly compress?: boolean;
  readonly code: ErrorCode;
  readonly message: RegExp;
}

const CASES: readonly Case[] = [
  {
    what: "a base of another format",
    base: { ...BASE, "model.safetensors": noise("other", 3000) },
    payload: PAYLOAD,
    code: "MISMATCH",
    message:
      /base\/model\.safetensors: not the file .* model\.safetensors would not be a safetensors file: it would begin with [0-9a-f]{2} /,
  },
  {
    what: "a base of another shape",
    base: { ...BASE, "model.safetensors": modelFiles("base", 23)["model.safetensors"] ?? new Uint8Array() },
    payload: PAYLOAD,
    code: "MISMATCH",
    message: /model\.safetensors would not be a safetensors file: /,
  },
  {
    what: "another config in the base",
    base: { ...BASE, "config.json": Buffer.from('{"model_type":"llama","vocab_size":16,"pad_token_id":0}') },
    payload: PAYLOAD,
    code: "MISMATCH",
    message: /base\/config\.json: not the file .* config\.json would not be JSON text/,
  },
  {
    what: "another tokenizer in the base",
    base: { ...BASE, "tokenizer.model": noise("tokenizer", 40) },
    payload: PAYLOAD,
    code: "MISMATCH",
    message: /tokenizer\.model would not be a sentencepiece model/,
  },
  {
    what: "weights that the base lacks",
    base: without(BASE, "model.safetensors"),
    payload: PAYLOAD,
    code: "MISMATCH",
    message: /base: has no model\.safetensors/,
  },
  {
    what: "a JSON file that the base lacks and that is none by itself",
    base: without(BASE, "config.json"),
    payload: PAYLOAD,
    code: "MISMATCH",
    message: /base: has no config\.json/,
  },
  {
    what: "a git-lfs pointer in the payload",
    payload: { ...PAYLOAD, "config.json": POINTER },
    code: "NOT_WEIGHTS",
    message: /payload\/config\.json: a git-lfs pointer/,
  },
  {
    what: "a git-lfs pointer in the base",
    base: { ...BASE, "model.safetensors": POINTER },
    payload: PAYLOAD,
    code: "NOT_WEIGHTS",
    message: /base\/model\.safetensors: a git-lfs pointer/,
  },
  {
    what: "an HTML page in the payload",
    payload: { ...PAYLOAD, "tokenizer.model": HTML },
    code: "NOT_WEIGHTS",
    message: /payload\/tokenizer\.model: an HTML page/,
  },
  {
    what: "an .enc file that is a git-lfs pointer",
    payload: { ...ENC, [encryptedFile("x.bin", noise("x", 9), KEY)[0]]: POINTER },
    code: "NOT_WEIGHTS",
    message: /\.enc: a git-lfs pointer/,
  },
  {
    what: "plain JSON where OpenAssistant's rule is asked for",
    payload: { ...PAYLOAD, "config.json": config },
    scheme: "oa-xor",
    code: "MISMATCH",
    message: /payload\/config\.json: is plain JSON text, not XORed/,
  },
  {
    what: "an index that lists a shard which is not there",
    payload: {
      ...PAYLOAD,
      "model.safetensors.index.json": Buffer.from('{"weight_map":{"a":"model-00002-of-00002.safetensors"}}'),
    },
    code: "NOT_FOUND",
    message: /model-00002-of-00002\.safetensors: model\.safetensors\.index\.json lists it/,
  },
  {
    what: "a gzip file that ends too early",
    payload: { ...PAYLOAD, "model.safetensors": gzipSync(weights).subarray(0, 900) },
    code: "TRUNCATED",
    message: /payload\/model\.safetensors: the gzip data ends too early/,
  },
  {
    what: "a gzip file with a wrong checksum",
    payload: { ...PAYLOAD, "model.safetensors": flipped(gzipSync(weights), gzipSync(weights).length - 6) },
    code: "FORMAT_INVALID",
    message: /payload\/model\.safetensors: damaged gzip data: incorrect data check/,
  },
  {
    what: "a gzip file without end",
    payload: {
      ...PAYLOAD,
      "model.safetensors": gzipSync(Buffer.concat([weights, Buffer.alloc(80_000_000)]), { level: 1 }),
    },
    code: "MISMATCH",
    message: /payload\/model\.safetensors: inflates to more than \d+ bytes/,
  },
  {
    what: "a payload that is not compressed, where that is asked for",
    payload: PAYLOAD,
    compress: true,
    code: "FORMAT_INVALID",
    message: /damaged gzip data: incorrect header check/,
  },
  {
    what: "an .enc file whose name and content state different digests",
    payload: { ...ENC, [`x.json.${"0".repeat(64)}.enc`]: noise("enc", 100) },
    code: "FORMAT_INVALID",
    message: /begins with the sha256 [0-9a-f]{64}, its name says 0{64}/,
  },
  {
    what: "an .enc file of a few bytes",
    payload: { ...ENC, [`x.json.${"0".repeat(64)}.enc`]: noise("enc", 31) },
    code: "TRUNCATED",
    message: /has 31 bytes, not even the 32 of its sha256/,
  },
  {
    what: "an .enc file without a digest in its name",
    payload: { ...ENC, "pytorch_model.bin.enc": noise("enc", 100) },
    code: "FORMAT_INVALID",
    message: /pytorch_model\.bin\.enc: not the name of an encrypted file/,
  },
  {
    what: "an .enc file that would go to the parent directory",
    payload: { ...ENC, [`...${"0".repeat(64)}.enc`]: noise("enc", 100) },
    code: "FORMAT_INVALID",
    message: /not the name of an encrypted file/,
  },
  {
    what: "an .enc file that would become the manifest",
    payload: { ...ENC, [`weight-diff.json.${"0".repeat(64)}.enc`]: noise("enc", 100) },
    code: "FORMAT_INVALID",
    message: /not the name of an encrypted file/,
  },
  {
    what: "another key",
    base: { "consolidated.00.pth": noise("another key", 5000) },
    payload: ENC,
    code: "MISMATCH",
    message: /consolidated\.00\.pth: not the file .* would not be /,
  },
  {
    what: "an empty key",
    base: { "consolidated.00.pth": new Uint8Array() },
    payload: ENC,
    code: "NOT_WEIGHTS",
    message: /consolidated\.00\.pth: is empty/,
  },
  {
    what: "a larger model's key",
    base: { "consolidated.00.pth": KEY, "consolidated.01.pth": KEY },
    payload: ENC,
    code: "MISMATCH",
    message: /in several parts: the key is the 7B model's consolidated\.00\.pth/,
  },
  {
    what: "a converted model in place of the key",
    base: BASE,
    payload: ENC,
    code: "NOT_FOUND",
    message: /base: holds no consolidated\.00\.pth/,
  },
  {
    what: "a key that differs far from its beginning",
    base: { "consolidated.00.pth": flipped(KEY, 4800) },
    payload: ENC,
    code: "CHECK_FAILED",
    message: /model\.safetensors: the result has sha256 [0-9a-f]{64}, .* states [0-9a-f]{64}/,
  },
];

for (const { what, base, payload, scheme = "auto", compress = false, code, message } of CASES) {
  test(`refuses ${what}, and leaves no output`, async () => {
    await withFolder(async (folder) => {
      const encrypted = Object.keys(payload).some((file) => file.endsWith(".enc"));
      const places = await lay(folder, base ?? (encrypted ? { "consolidated.00.pth": KEY } : BASE), payload);
      await refuses(() => decode(places, { scheme, compress }), code, message);
      assert.equal(existsSync(places.out), false);
    });
  });
}

test("refuses a flipped byte of an .enc file, and names the file", async () => {
  for (const [file, bytes] of Object.entries(ENC)) {
    await withFolder(async (folder) => {
      const at = bytes.length - 3;
      const places = await lay(folder, { "consolidated.00.pth": KEY }, { ...ENC, [file]: flipped(bytes, at) });
      const plain = file.replace(/\.[0-9a-f]{64}\.enc$/, "");
      const code = plain.endsWith(".json") ? /MISMATCH|CHECK_FAILED/ : /CHECK_FAILED/;
      await assert.rejects(decode(places), (error: Error & { code: string }) => {
        assert.match(error.code, code);
        assert.ok(error.message.includes(plain), error.message);
        return true;
      });
      assert.equal(existsSync(places.out), false);
    });
  }
});

test("tells that git turned LF into CR LF", async () => {
  await withFolder(async (folder) => {
    const key = spoilable.map((byte, at) => (at % 40 === 39 ? byte ^ 0x0a : byte ^ (at % 7)));
    const payload = { ...PAYLOAD, "generation_config.json": crlf(xored(spoilable, key)) };
    assert.ok(payload["generation_config.json"].length > spoilable.length, "there is something to mangle");
    const places = await lay(folder, { ...BASE, "generation_config.json": key }, payload);
    await refuses(() => decode(places), "FORMAT_INVALID", /damaged by git: .* CR LF/);
  });
});

test("tells that base and payload are swapped, whichever command is used", async () => {
  await withFolder(async (folder) => {
    const { base, payload, out } = await lay(folder, BASE, PAYLOAD);
    const swapped = { base: payload, payload: base, out };
    await refuses(() => decode(swapped), "NOT_A_DIFF", /swapped/);
    await refuses(
      () => decode(swapped, { scheme: "oa-xor" }),
      "NOT_A_DIFF",
      /swapped: .*base\/model\.safetensors is a safetensors file/,
    );
    await refuses(() => recover({ raw: payload, diff: base }), "NOT_A_DIFF", /swapped/);
  });
});

test("refuses a model in place of the payload", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, TUNED);
    assert.equal(await findXorPayload({ diff: places.payload, raw: places.base, scheme: "auto" }), null);
    await refuses(
      () => decode(places, { scheme: "oa-xor" }),
      "NOT_A_DIFF",
      /is a safetensors file already, no payload/,
    );
  });
});

test("refuses to encode what is no model", async () => {
  await withFolder(async (folder) => {
    const { base, payload, out } = await lay(folder, BASE, PAYLOAD);
    const encode = { direction: "encode", scheme: "oa-xor" } as const;
    await refuses(() => decode({ base, payload, out }, encode), "NOT_A_MODEL", /one of the model should be/);
    await writeFiles(payload, TUNED);
    await writeFile(join(base, "model.safetensors"), noise("x", 900));
    await refuses(() => decode({ base, payload, out }, encode), "NOT_A_MODEL", /one of the base .* should be/);
  });
});

test("refuses a link that leads nowhere", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    await symlink(join(folder, "gone"), join(places.payload, "model-00002-of-00002.safetensors"));
    await refuses(() => decode(places, { scheme: "oa-xor" }), "NOT_FOUND", /leads nowhere/);
  });
});

test("refuses an output that is, holds or lies in an input", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, PAYLOAD);
    for (const out of [places.payload, places.base, folder, join(places.payload, "out")]) {
      await refuses(() => decode({ ...places, out }), "OUTPUT_REFUSED", /the input/);
    }
  });
});

test("leaves directories, notes and its own names behind, and says so", async () => {
  await withFolder(async (folder) => {
    const extra = {
      "README.md": Buffer.from("# payload\n"),
      journal: noise("j", 9),
      "LICENSE.txt": Buffer.from("free\n"),
    };
    const places = await lay(folder, BASE, { ...PAYLOAD, ...extra });
    await mkdir(join(places.payload, "runs"));
    const said: string[] = [];
    await decode(places, { onNote: (text) => said.push(text) });
    assert.ok(said.includes("not copied from the payload: runs/, README.md, journal"), said.join("\n"));
    const names = [...Object.keys(TUNED), "LICENSE.txt", "weight-diff.json"].sort();
    assert.deepEqual((await readdir(places.out)).sort(), names);
  });
});

test("finds the payload one directory further in, as the published repositories have it", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, BASE, { "README.md": Buffer.from("# x\n") });
    await writeFiles(join(places.payload, "xor_encoded_files"), PAYLOAD);
    const report = await decode(places);
    assert.equal(report.files.length, Object.keys(TUNED).length);
    assert.match(report.schemeReason, /which has a weight file's name but is not one/);
  });
});

test("finds the key in the 7B folder of the whole download, and takes plain side files along", async () => {
  await withFolder(async (folder) => {
    const { base, payload, out } = await lay(folder, { "7B/consolidated.00.pth": KEY, "7B/params.json": config }, ENC);
    await writeFiles(payload, { "tokenizer_config.json": config, "config.json": noise("stale", 20) });
    const report = await decode({ base, payload, out });
    assert.deepEqual(
      report.files.filter(({ how }) => how === "copied").map(({ file }) => file),
      ["tokenizer_config.json"],
    );
  });
});

test("goes on with --ignore wrong-base, and still checks what the payload states", async () => {
  await withFolder(async (folder) => {
    const places = await lay(folder, { ...BASE, "config.json": Buffer.from("{}") }, PAYLOAD);
    const report = await decode(places, { ignore: ["wrong-base"] });
    assert.equal(report.outcome, "made");
  });
  await withFolder(async (folder) => {
    const places = await lay(folder, { "consolidated.00.pth": noise("another", 5000) }, ENC);
    await refuses(() => decode(places, { ignore: ["wrong-base"] }), "CHECK_FAILED", /states/);
  });
});

test("flags of tensors have no place with whole files", async () => {
  await withFolder(async (folder) => {
    const { base, payload } = await lay(folder, BASE, PAYLOAD);
    await refuses(
      () => recover({ raw: base, diff: payload, dtype: "F16" }),
      "USAGE",
      /this payload gives whole files, .*: a dtype cannot be asked of it/,
    );
  });
});

test("a path that leads nowhere is named, whichever it is", async () => {
  await withFolder(async (folder) => {
    const { payload, base, out } = await lay(folder, BASE, PAYLOAD);
    const nowhere = join(folder, "nowhere");
    for (const [options, message] of [
      [{ payload: nowhere, raw: base }, /nowhere: no such file or directory/],
      [{ payload: nowhere, raw: nowhere }, /nowhere: no such file or directory/],
      [{ payload, raw: nowhere }, /nowhere: no such (file|directory)/],
      [{ payload: base, raw: nowhere }, /nowhere: no such (file|directory)/],
      [{ payload: join(base, "config.json"), raw: base }, /config\.json: not a directory/],
    ] as const) {
      await refuses(() => xor({ ...options, output: out }), "NOT_FOUND", message);
    }
    assert.ok(!existsSync(out));
  });
});
