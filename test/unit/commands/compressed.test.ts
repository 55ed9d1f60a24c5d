/** Compressed diffs as files of strangers: damaged, from a newer version, or with another base; and from the Hub by range. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { inspect } from "../../../src/commands/inspect.js";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { push } from "../../../src/commands/push.js";
import { recover } from "../../../src/commands/recover.js";
import { verify } from "../../../src/commands/verify.js";
import { GUARDS } from "../../../src/evidence/guard-names.js";
import { writeIndex } from "../../../src/formats/coded/index.js";
import { WINDOW_UNITS } from "../../../src/formats/coded/units.js";
import { layOutCoded } from "../../../src/plan/coded.js";
import { filesOf } from "../../hub/repo.js";
import { startHub } from "../../hub/server.js";
import { safetensors, withFolder, writeFiles } from "../../support/checkpoints.js";
import { hashed } from "../../support/kernels.js";
import { treeOf } from "../../support/models.js";
import { refuses } from "../../support/refusal.js";

const ELEMENTS = 600_000;
const weights = Uint16Array.from(hashed(21, ELEMENTS), (bits) => (bits & 0x807f) | (0x3c00 - (bits & 0x300)));
const near = weights.map((bits, i) => bits + ((hashed(22, 1, i)[0] ?? 0) % 5));
const ignore = GUARDS.filter((guard) => guard !== "wrong-base");

const model = (units: Uint16Array, name = "w"): Uint8Array =>
  safetensors(
    [name, "BF16", [600, 1000], new Uint8Array(units.buffer)],
    ["bias", "F32", [2], new Uint8Array(8).fill(7)],
  );

interface Made {
  readonly folder: string;
  readonly raw: string;
  readonly tuned: string;
  readonly diff: string;
  /** The diff's file, and where the tensor of two windows lies in it. */
  readonly file: string;
  readonly begin: number;
  readonly end: number;
}

async function made(body: (made: Made) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const [raw, tuned, diff] = ["raw", "tuned", "diff"].map((name) => join(folder, name)) as [string, string, string];
    await writeFiles(raw, { "model.safetensors": model(weights) });
    await writeFiles(tuned, { "model.safetensors": model(near) });
    await makeDiff({ raw, tuned, diff, compress: true });
    const file = join(diff, "model.safetensors");
    const bytes = readFileSync(file);
    const start = 8 + Number(bytes.readBigUInt64LE());
    const [begin = 0, end = 0] = (JSON.parse(bytes.subarray(8, start).toString()) as Header).w.data_offsets;
    await body({ folder, raw, tuned, diff, file, begin: start + begin, end: start + end });
  });
}

interface Header {
  readonly w: { readonly data_offsets: readonly number[] };
}

function change(file: string, how: (bytes: Buffer) => void): void {
  const bytes = readFileSync(file);
  how(bytes);
  writeFileSync(file, bytes);
}

/** Of window `number`, in the index behind a tensor of two windows. */
const entryAt = (end: number, number: number): number => end - 16 + 8 * number;

test("a damaged window is refused by its checksum, and no file gets its name", async () => {
  await made(async ({ folder, raw, diff, file, begin }) => {
    change(file, (bytes) => bytes.writeUInt8(bytes.readUInt8(begin + 5000) ^ 1, begin + 5000));
    const out = join(folder, "out");
    await refuses(() => recover({ raw, diff, tuned: out, ignore }), "CRC_MISMATCH", /"w" is damaged: a coded window/);
    assert.equal(existsSync(join(out, "model.safetensors")), false);
    const { sound, findings } = await verify({ path: diff });
    assert.equal(sound, false);
    assert.ok(findings.some(({ tensor, check }) => tensor === "w" && check === "digests"));
  });
});

test("a window whose checksum fits, and that does not end where its units do, is refused", async () => {
  await made(async ({ raw, diff, file, begin, end }) => {
    change(file, (bytes) => {
      const length = bytes.readUInt32LE(entryAt(end, 0));
      bytes.writeUInt8(bytes.readUInt8(begin + length - 1) ^ 255, begin + length - 1);
      bytes.writeUInt32LE(crc32(bytes.subarray(begin, begin + length)), entryAt(end, 0) + 4);
    });
    await refuses(() => recover({ raw, diff, ignore }), "FORMAT_INVALID", /a coded window/);
  });
});

test("an index that does not add up is refused before a window is read", async () => {
  await made(async ({ raw, diff, file, end }) => {
    change(file, (bytes) => bytes.writeUInt32LE(bytes.readUInt32LE(entryAt(end, 1)) + 1, entryAt(end, 1)));
    await refuses(
      () => recover({ raw, diff, ignore }),
      "FORMAT_INVALID",
      /"w" is no coded tensor: windows and index take/,
    );
    change(file, (bytes) => bytes.writeUInt32LE(0xffffffff, entryAt(end, 0)));
    await refuses(
      () => recover({ raw, diff, ignore }),
      "FORMAT_INVALID",
      /"w" is no coded tensor: window 0 has 4294967295/,
    );
  });
});

for (const [what, from, to, code, message] of [
  [
    "another codec",
    '"weight_diff_codec":"1"',
    '"weight_diff_codec":"2"',
    "FORMAT_UNSUPPORTED",
    /by codec "2".*codec "1"/,
  ],
  [
    "another rule",
    '\\"bits\\"',
    '\\"bitz\\"',
    "FORMAT_INVALID",
    /metadata weight_diff_coded is not what make-diff writes/,
  ],
  ["another name", '[[\\"w\\"', '[[\\"v\\"', "FORMAT_INVALID", /tensor "w" is not in metadata weight_diff_coded/],
  ["fewer elements than bytes", "[600,1000]", "[600,   1]", "FORMAT_INVALID", /is not what make-diff writes/],
  ["unchanged units left out", ',\\"bits\\",', ',\\"bits\\" ', "FORMAT_INVALID", /weight_diff_coded/],
] as const) {
  test(`metadata with ${what} is refused`, async () => {
    await made(async ({ raw, diff, file }) => {
      change(file, (bytes) => {
        const at = bytes.indexOf(from);
        assert.ok(at > 0, from);
        bytes.write(to, at);
      });
      await refuses(() => recover({ raw, diff, ignore }), code, message);
    });
  });
}

test("another base is refused by the manifest's digests, and where these are not believed, nothing else is claimed", async () => {
  await made(async ({ folder, diff }) => {
    const other = await writeFiles(join(folder, "other"), { "model.safetensors": model(near) });
    await refuses(() => recover({ raw: other, diff, ignore }), "MISMATCH", /not the base that this diff was made from/);
  });
});

test("a base in a wider dtype that holds the same values gives the same model", async () => {
  await made(async ({ folder, diff, tuned }) => {
    const wide = new Uint8Array(Uint32Array.from(weights, (bits) => bits << 16).buffer);
    const bias = ["bias", "F32", [2], new Uint8Array(8).fill(7)] as const;
    const raw = await writeFiles(join(folder, "wide"), {
      "model.safetensors": safetensors(["w", "F32", [600, 1000], wide], bias),
    });
    const out = join(folder, "out");
    await recover({ raw, diff, tuned: out, ignore });
    assert.ok(readFileSync(join(out, "model.safetensors")).includes(Buffer.from(near.buffer)));
    assert.equal((await verify({ path: diff, raw })).sound, true);
    assert.ok(existsSync(tuned));
  });
});

test("an additive diff is not compressed", async () => {
  await refuses(
    () => makeDiff({ raw: "a", tuned: "b", compress: true, encoding: "additive" }),
    "USAGE",
    /only bit patterns can/,
  );
});

test("from the Hub by range, nothing is kept and the model is that of a local run", async () => {
  await made(async ({ folder, raw, diff }) => {
    const hub = await startHub();
    try {
      hub.add("org/base", filesOf(raw));
      hub.add("org/diff", filesOf(diff));
      const [local, remote] = [join(folder, "local"), join(folder, "remote")];
      await recover({ raw, diff, tuned: local, ignore });
      const place = { endpoint: hub.endpoint, cache: null, environment: { HF_HOME: join(folder, "home") } };
      await recover({ raw: "org/base", diff: "org/diff", tuned: remote, ignore, hub: place });
      const weightsOf = (path: string): Buffer => readFileSync(join(path, "model.safetensors"));
      assert.ok(weightsOf(remote).equals(weightsOf(local)));
    } finally {
      await hub.close();
    }
  });
});

test("pushed, verified there, and recovered by range: the Hub has every byte, and the model is the tuned one", async () => {
  await made(async ({ folder, raw, tuned, diff }) => {
    const hub = await startHub();
    try {
      hub.account("hf_me", { namespaces: ["me"] });
      hub.add("org/base", filesOf(raw));
      const place = { endpoint: hub.endpoint, token: "hf_me", environment: { HF_HOME: join(folder, "home") } };
      const sent = await push({ path: diff, repo: "me/diff", hub: place });
      assert.equal(sent.outcome, "pushed");
      const there = hub.repos.get("me/diff")?.commits.get(sent.commit ?? "")?.files;
      const here = filesOf(diff);
      assert.deepEqual([...(there?.keys() ?? [])].sort(), [...here.keys(), ".gitattributes"].sort());
      assert.ok(there?.get("model.safetensors")?.bytes.equals(readFileSync(join(diff, "model.safetensors"))));
      const out = join(folder, "out");
      const remote = { ...place, cache: null };
      assert.equal((await verify({ path: "me/diff", raw: "org/base", hub: remote })).sound, true);
      const report = await recover({ raw: "org/base", diff: "me/diff", tuned: out, ignore, hub: remote });
      // Nothing is read twice.
      assert.ok(report.bytesRead < 2 * readFileSync(join(raw, "model.safetensors")).length + 100_000);
      assert.equal((await verify({ path: out, against: tuned })).comparison?.verdict, "identical");
      assert.equal((await push({ path: diff, repo: "me/diff", hub: place })).outcome, "unchanged");
    } finally {
      await hub.close();
    }
  });
});

type Hollow = readonly [name: string, rule: "bits" | "verbatim", rows: number];
const EMBEDDING = "model.embed_tokens.weight";

/** A compressed diff whose windows are all the base's own, or zeros where it has none: nine bytes each, for a megabyte. */
function hollow(tensors: readonly Hollow[]): Uint8Array {
  const entries = tensors.map(([name, rule, rows]) => ({ name, dtype: "BF16" as const, shape: [rows, 1024], rule }));
  const windows = entries.map(({ shape: [rows = 0] }) => Math.ceil((rows * 1024) / WINDOW_UNITS));
  const all = entries.map((entry) => ({ ...entry, unchanged: 0 }));
  const { header, ranges, size } = layOutCoded(
    all,
    windows.map((count) => 9 * count),
    "model.safetensors",
  );
  const bytes = new Uint8Array(size);
  bytes.set(header);
  ranges.forEach(({ begin }, k) => {
    const index = Array.from({ length: windows[k] ?? 0 }, () => ({ length: 1, crc32: crc32(Uint8Array.of(0)) }));
    bytes.set(writeIndex(index), begin + index.length);
  });
  return bytes;
}

for (const [what, tensors, refused] of [
  [
    "a tensor that the base lacks",
    [
      [EMBEDDING, "bits", 4],
      ["lm_head.weight", "verbatim", 600_000],
    ],
    true,
  ],
  ["rows that the base lacks", [[EMBEDDING, "bits", 600_000]], true],
  ["less than a gigabyte", [[EMBEDDING, "bits", 500_000]], false],
] as const satisfies readonly (readonly [string, readonly Hollow[], boolean])[]) {
  test(`zeros out of nothing: ${what} ${refused ? "is refused before anything is written" : "is planned"}`, async () => {
    await withFolder(async (folder) => {
      const base = [EMBEDDING, "BF16", [4, 1024], new Uint8Array(8192).fill(1)] as const;
      const raw = await writeFiles(join(folder, "raw"), { "model.safetensors": safetensors(base) });
      const diff = await writeFiles(join(folder, "diff"), { "model.safetensors": hollow(tensors) });
      const out = join(folder, "out");
      const run = (): Promise<unknown> => recover({ raw, diff, tuned: out, ignore: GUARDS, dryRun: true });
      await (refused
        ? refuses(run, "LIMIT", /\d+ bytes of it stand for \d+ of tensors and rows that the base does not have/)
        : run());
      assert.equal(existsSync(out), false);
    });
  });
}

test("a run that is stopped, or ends after its files were put together, is continued to the same bytes", async () => {
  await made(async ({ folder, raw, tuned, diff }) => {
    const expected = await treeOf(diff);
    const again = join(folder, "again");
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    const how = { raw, tuned, diff: again, compress: true } as const;
    await assert.rejects(makeDiff({ ...how, threads: 0, signal: stop.signal, onProgress }));
    // The card's name is taken by a directory: found when all is made, and only the names are to be given.
    mkdirSync(join(again, "README.md"));
    await refuses(() => makeDiff({ ...how, mode: "resume" }), "OUTPUT_REFUSED", /README.md: is a directory/);
    rmdirSync(join(again, "README.md"));
    await makeDiff({ ...how, mode: "resume" });
    assert.deepEqual(await treeOf(again), expected);
  });
});

test("inspect counts unchanged elements, and not the units of what is coded in halves", async () => {
  await withFolder(async (folder) => {
    const [raw, tuned, diff] = ["raw", "tuned", "diff"].map((name) => join(folder, name)) as [string, string, string];
    const doubles = Float64Array.from({ length: 1000 }, (_, i) => 1 + i / 1024);
    const of = (wide: Float64Array, narrow: Float32Array): Uint8Array =>
      safetensors(
        ["layers.0.wide", "F64", [1000], new Uint8Array(wide.buffer)],
        ["layers.1.narrow", "F32", [4], new Uint8Array(narrow.buffer)],
      );
    await writeFiles(raw, { "model.safetensors": of(doubles, Float32Array.of(1, 2, 3, 4)) });
    await writeFiles(tuned, {
      "model.safetensors": of(
        doubles.map((x) => x + 2 ** -40),
        Float32Array.of(1, 2, 3, 5),
      ),
    });
    await makeDiff({ raw, tuned, diff, compress: true, ignore });
    const { coded } = await inspect({ path: diff });
    assert.equal(coded?.all.unchanged, 0.75);
    assert.deepEqual(
      coded?.layers.map(({ name, unchanged }) => [name, unchanged]),
      [
        ["layers.0", null],
        ["layers.1", 0.75],
      ],
    );
  });
});
