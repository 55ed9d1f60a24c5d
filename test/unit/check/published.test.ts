/** recover against the manifest that make-diff put beside the diff: which bases it takes, and what it makes of damage and lies. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { refuseOtherBase } from "../../../src/check/published.js";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { type RecoverOptions, recover } from "../../../src/commands/recover.js";
import { type ErrorCode, EXIT_CODES } from "../../../src/errors.js";
import type { Dtype } from "../../../src/formats/dtype.js";
import { layoutShard } from "../../../src/formats/safetensors-layout.js";
import { narrowBits, widenBF16, widenF16 } from "../../../src/kernel/bits.js";
import type { MakeDiffManifest } from "../../../src/manifest/manifest.js";
import { digestOf } from "../../../src/manifest/write.js";
import { indexText, safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";
import { hashed, sha256 } from "../../support/kernels.js";
import { refuses } from "../../support/refusal.js";

const NORM = "model.layers.0.input_layernorm.weight";
const SMALL = "model.layers.0.self_attn.q_proj.weight";
/** The larger of two matrices of a layer: not looked at before the run. */
const LARGE = "model.layers.0.mlp.up_proj.weight";
const SHAPES = [
  [NORM, [24]],
  [SMALL, [24, 24]],
  [LARGE, [40, 24]],
] as const;
const WIDEN = { F16: widenF16, BF16: widenBF16 } as const;

/** 16-bit patterns of ordinary weights: normal, between 2^-8 and 2^-4 or so in both dtypes. */
function weights(dtype: "F16" | "BF16", seed: number, count: number): Uint16Array {
  const [low, mask] = dtype === "F16" ? [0x2000, 0x83ff] : [0x3c00, 0x807f];
  return Uint16Array.from(hashed(seed, count), (value) => low | (value & mask));
}

/** A norm's weight: between 0.375 and 0.5 or so, never negative. */
function scale(dtype: "F16" | "BF16", bits: number): number {
  return dtype === "F16" ? 0x3600 | (bits & 0xff) : 0x3ec0 | (bits & 0x1f);
}

function model(
  dtype: "F16" | "BF16",
  seed: number,
): readonly (readonly [string, "F16" | "BF16", readonly number[], Uint16Array])[] {
  return SHAPES.map(([name, shape], i) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = weights(dtype, seed + i, count);
    return [name, dtype, shape, shape.length === 1 ? values.map((bits) => scale(dtype, bits)) : values];
  });
}

function bytesOf(data: Uint16Array = new Uint16Array()): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

interface Published {
  readonly raw: string;
  readonly diff: string;
  readonly out: string;
  /** Writes another base. */
  base(tensors: readonly TensorSpec[]): Promise<string>;
}

async function published(
  body: (paths: Published) => Promise<void>,
  {
    encoding = "additive",
    dtypes = ["F16", "BF16"],
  }: { encoding?: "additive" | "exact"; dtypes?: readonly ["F16" | "BF16", "F16" | "BF16"] } = {},
): Promise<void> {
  await withFolder(async (folder) => {
    const [raw, tuned, diff] = [join(folder, "base"), join(folder, "tuned"), join(folder, "diff")];
    await writeFiles(raw, { "model.safetensors": safetensors(...model(dtypes[0], 1)) });
    await writeFiles(tuned, { "model.safetensors": safetensors(...model(dtypes[1], 11)) });
    await makeDiff({ raw, tuned, diff, encoding });
    let count = 0;
    const base = (tensors: readonly TensorSpec[]): Promise<string> =>
      writeFiles(join(folder, `other-${count++}`), { "model.safetensors": safetensors(...tensors) });
    await body({ raw, diff, out: join(folder, "out"), base });
  });
}

for (const encoding of ["additive", "exact"] as const) {
  for (const dtype of ["F16", "BF16"] as const) {
    test(`${encoding}: a float32 copy of the ${dtype} base is the same base`, async () => {
      await published(
        async ({ raw, diff, out, base }) => {
          const notes: string[] = [];
          const copy = await base(
            model(dtype, 1).map(([name, , shape, data]) => [name, "F32", shape, Uint32Array.from(data, WIDEN[dtype])]),
          );
          const report = await recover({ raw: copy, diff, tuned: out, onNote: (text) => notes.push(text) });
          assert.ok(
            notes.includes("2 of the base's tensors have the digests that the diff's manifest states"),
            notes.join("\n"),
          );
          assert.ok(notes.some((note) => note.startsWith("3 of 3 recovered tensors compared")));
          assert.deepEqual(report.tensors, (await recover({ raw, diff })).tensors);
        },
        { encoding, dtypes: [dtype, "BF16"] },
      );
    });
  }

  test(`${encoding}: another base is refused before anything is written, by tensor and both digests`, async () => {
    await published(
      async ({ raw, diff, out, base }) => {
        const other = await base(model("F16", 501));
        const [ours, theirs] = [1, 501].map((seed) => sha256(bytesOf(model("F16", seed)[0]?.[3])));
        await refuses(
          () => recover({ raw: other, diff, tuned: out }),
          "MISMATCH",
          new RegExp(`not the base .*model\\.safetensors: tensor "${NORM}" has sha256 ${theirs} .* says ${ours}$`),
        );
        assert.ok(!existsSync(out));
        assert.equal(EXIT_CODES.MISMATCH, 4);
        // A base rounded to bfloat16 on the way is another one.
        const rounded = await base(
          model("F16", 1).map(([name, , shape, data]) => [
            name,
            "BF16",
            shape,
            data.map((bits) => narrowBits("BF16", widenF16(bits))),
          ]),
        );
        await refuses(() => recover({ raw: rounded, diff, tuned: out }), "MISMATCH", /not the base/);
        const { outcome } = await recover({ raw: other, diff, tuned: out, ignore: ["wrong-base"] });
        assert.equal(outcome, "recovered");
        assert.ok(existsSync(raw));
      },
      { encoding },
    );
  });

  test(`${encoding}: a base that differs in a large tensor only is found at the end, and leaves nothing`, async () => {
    await published(
      async ({ diff, out, base }) => {
        const other = await base(
          model("F16", 1).map(([name, dtype, shape, data]) => [
            name,
            dtype,
            shape,
            name === LARGE ? data.map((value, i) => (i === 700 ? value ^ 0x200 : value)) : data,
          ]),
        );
        const options: RecoverOptions = { raw: other, diff, tuned: out };
        await refuses(() => recover(options), "CHECK_FAILED", new RegExp(`^1 of 3 recovered tensors .*: "${LARGE}"$`));
        assert.equal(EXIT_CODES.CHECK_FAILED, 3);
        assert.ok(!existsSync(out));
        // A directory that was there stays, and stays as it was.
        await writeFiles(out, { "notes.txt": "mine", "model.safetensors": "old" });
        await refuses(() => recover({ ...options, mode: "force" }), "CHECK_FAILED", /1 of 3/);
        assert.equal(await readFile(join(out, "model.safetensors"), "utf8"), "old");
        assert.ok(!existsSync(join(out, ".weight-diff")) && !existsSync(join(out, "weight-diff.json")));
        await rm(out, { recursive: true });
        assert.equal((await recover({ ...options, ignore: ["wrong-base"] })).outcome, "recovered");
      },
      { encoding },
    );
  });

  test(`${encoding}: a flipped bit in the diff is found at the end, and leaves nothing`, async () => {
    await published(
      async ({ raw, diff, out }) => {
        const file = join(diff, "model.safetensors");
        const bytes = await readFile(file);
        bytes.writeUInt8(bytes.readUInt8(bytes.length - 5) ^ 16, bytes.length - 5);
        await writeFile(file, bytes);
        await refuses(
          () => recover({ raw, diff, tuned: out }),
          "CHECK_FAILED",
          /^1 of 3 recovered tensors are not what/,
        );
        assert.ok(!existsSync(out));
      },
      { encoding },
    );
  });
}

test("rounding to the tuned dtype is compared with the tuned digests, to any other not at all", async () => {
  await published(async ({ raw, diff }) => {
    for (const [dtype, compared] of [
      ["F32", 3],
      ["BF16", 3],
      ["F16", 0],
    ] as const) {
      const notes: string[] = [];
      const { tensors } = await recover({ raw, diff, dtype, onNote: (text) => notes.push(text) });
      assert.ok(
        notes.some((note) => note.startsWith(`${compared} of 3 recovered tensors compared`)),
        `${dtype}: ${notes.join("\n")}`,
      );
      if (dtype === "BF16") {
        const tuned = model("BF16", 11).map(([name, , , data]) => [name, sha256(bytesOf(data))]);
        assert.deepEqual(
          new Map(tensors.map(({ name, sha256 }) => [name, sha256])),
          new Map(tuned as [string, string][]),
        );
      }
    }
  });
});

test("--dtype with an exact diff is refused with words", async () => {
  await published(
    async ({ raw, diff }) => {
      await refuses(
        () => recover({ raw, diff, dtype: "F32" }),
        "USAGE",
        /^dtype \S+: an exact diff gives every tensor the dtype of the tuned model$/,
      );
    },
    { encoding: "exact" },
  );
});

const DAMAGE: readonly (readonly [
  what: string,
  code: "FORMAT_INVALID" | "CHECK_FAILED",
  edit: (text: string) => string | Uint8Array,
])[] = [
  ["cut off", "FORMAT_INVALID", (text) => text.slice(0, text.length / 2)],
  ["empty", "FORMAT_INVALID", () => ""],
  ["no manifest", "FORMAT_INVALID", () => "[]"],
  ["an HTML page", "FORMAT_INVALID", () => "<!doctype html>"],
  ["not UTF-8", "FORMAT_INVALID", () => Uint8Array.of(0xff, 0xfe, 0x00)],
  ["of a newer schema", "FORMAT_INVALID", (text) => text.replace('"schema": 1', '"schema": 2')],
  ["edited", "CHECK_FAILED", (text) => text.replace(/"inexact": \d+/, '"inexact": 7')],
  [
    "flipped in one digit of a digest",
    "CHECK_FAILED",
    (text) => text.replace(/"sha256": "./, (hit) => `${hit.slice(0, -1)}${hit.endsWith("0") ? "1" : "0"}`),
  ],
];
for (const [what, code, edit] of DAMAGE) {
  test(`a manifest that is ${what} is refused by name, and ignored with --ignore wrong-base`, async () => {
    await published(async ({ raw, diff, out }) => {
      const path = join(diff, "weight-diff.json");
      await writeFile(path, edit(await readFile(path, "utf8")));
      await refuses(() => recover({ raw, diff, tuned: out }), code, /weight-diff\.json/);
      assert.ok(!existsSync(out));
      assert.equal((await recover({ raw, diff, tuned: out, ignore: ["wrong-base"] })).outcome, "recovered");
    });
  });
}

test("a manifest that recover wrote, and a diff without one, are taken without comparison", async () => {
  await published(async ({ raw, diff, out, base }) => {
    await recover({ raw, diff, tuned: out });
    const manifest = await readFile(join(out, "weight-diff.json"));
    await writeFile(join(diff, "weight-diff.json"), manifest);
    const other = await base(model("F16", 501));
    await rm(out, { recursive: true });
    assert.equal((await recover({ raw: other, diff, tuned: out })).outcome, "recovered");
    await rm(join(diff, "weight-diff.json"));
    assert.equal((await recover({ raw: other, diff })).outcome, "checked");
  });
});

test("a manifest that lies about shapes and dtypes of the base ends in an error, not in a crash", async () => {
  const lies: readonly ((tensor: MakeDiffManifest["tensors"][number]) => void)[] = [
    (tensor) => Object.assign(tensor, { raw: { ...tensor.raw, dtype: "F64" } }),
    (tensor) => Object.assign(tensor, { raw: { ...tensor.raw, dtype: "F32" } }),
    (tensor) => Object.assign(tensor, { recovered: "0".repeat(64) }),
  ];
  for (const lie of lies) {
    await published(async ({ raw, diff, out }) => {
      const path = join(diff, "weight-diff.json");
      const { digest, ...manifest } = JSON.parse(await readFile(path, "utf8"));
      assert.equal(digest, digestOf(manifest));
      manifest.tensors.forEach(lie);
      await writeFile(path, JSON.stringify({ ...manifest, digest: digestOf(manifest) }));
      await assert.rejects(recover({ raw, diff, tuned: out }), { name: "WeightDiffError" });
      assert.ok(!existsSync(out));
    });
  }
});

test("a tensor too large to be looked at beforehand does not keep the others from being looked at", async () => {
  await withFolder(async (folder) => {
    const specs = [
      { name: "model.embed_tokens.weight", dtype: "F16" as Dtype, shape: [33_000_000] },
      { name: NORM, dtype: "F16" as Dtype, shape: [24] },
    ];
    const layout = layoutShard(specs, { name: "test" });
    await mkdir(join(folder, "base"));
    const file = await open(join(folder, "base/model.safetensors"), "w");
    await file.write(layout.header);
    await file.truncate(layout.size); // a hole
    await file.close();
    const tensors = specs.map(({ name, dtype, shape }) => {
      const contents = { dtype, shape, sha256: "0".repeat(64) };
      return { name, ...contents, raw: contents, tuned: contents, recovered: contents.sha256, inexact: 0 };
    });
    const manifest = { raw: { repo: "org/base", commit: null, files: [] }, tensors } as unknown as MakeDiffManifest;
    const raw = await openCheckpoint(join(folder, "base"));
    await refuses(() => refuseOtherBase(raw, manifest), "MISMATCH", new RegExp(`tensor "${NORM}"`));
  });
});

/** Rewrites the metadata of a diff's only file, and its manifest out of the way. */
async function edit(diff: string, change: (metadata: Record<string, string>) => void): Promise<void> {
  const path = join(diff, "model.safetensors");
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length));
  change(header.__metadata__);
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, " ")]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(padded.length));
  await writeFile(path, Buffer.concat([size, padded, bytes.subarray(8 + length)]));
  await rm(join(diff, "weight-diff.json"), { force: true });
}

const list = (metadata: Record<string, string>): [string, string, string][] =>
  JSON.parse(metadata.weight_diff_tensors ?? "");
const HOSTILE: readonly (readonly [
  what: string,
  code: ErrorCode,
  message: RegExp,
  change: (metadata: Record<string, string>) => void,
])[] = [
  [
    "an encoding nobody knows",
    "FORMAT_INVALID",
    /marked as diffs of "nonsense"$/,
    (m) => Object.assign(m, { weight_diff: "nonsense" }),
  ],
  [
    "an encoding called __proto__",
    "FORMAT_INVALID",
    /"__proto__"$/,
    (m) => Object.assign(m, { weight_diff: "__proto__" }),
  ],
  ["no list of tensors", "FORMAT_INVALID", /weight_diff_tensors/, (m) => delete m.weight_diff_tensors],
  [
    "a list that is an object",
    "FORMAT_INVALID",
    /weight_diff_tensors is not what make-diff writes$/,
    (m) => Object.assign(m, { weight_diff_tensors: "{}" }),
  ],
  [
    "a list that is no JSON",
    "FORMAT_INVALID",
    /weight_diff_tensors/,
    (m) => Object.assign(m, { weight_diff_tensors: "[[" }),
  ],
  [
    "a list of numbers",
    "FORMAT_INVALID",
    /weight_diff_tensors is not/,
    (m) => Object.assign(m, { weight_diff_tensors: "[1,2,3]" }),
  ],
  [
    "a list nested without end",
    "LIMIT",
    /weight_diff_tensors/,
    (m) => Object.assign(m, { weight_diff_tensors: "[".repeat(100_000) }),
  ],
  [
    "a rule nobody knows",
    "FORMAT_INVALID",
    /weight_diff_tensors is not/,
    (m) => Object.assign(m, { weight_diff_tensors: JSON.stringify(list(m).map(([n, d]) => [n, d, "xor"])) }),
  ],
  [
    "a dtype nobody knows",
    "FORMAT_INVALID",
    /weight_diff_tensors is not/,
    (m) => Object.assign(m, { weight_diff_tensors: JSON.stringify(list(m).map(([n, , r]) => [n, "toString", r])) }),
  ],
  [
    "a tensor missing in the list",
    "MISMATCH",
    new RegExp(`do not fit: "${LARGE}"`),
    (m) => Object.assign(m, { weight_diff_tensors: JSON.stringify(list(m).filter(([n]) => n !== LARGE)) }),
  ],
  [
    "a dtype of another width",
    "MISMATCH",
    /3 tensors, the first of them: "/,
    (m) => Object.assign(m, { weight_diff_tensors: JSON.stringify(list(m).map(([n, , r]) => [n, "F32", r])) }),
  ],
  [
    "a dtype that has no bit patterns of its own",
    "MISMATCH",
    /3 tensors, the first of them: "/,
    (m) => Object.assign(m, { weight_diff_tensors: JSON.stringify(list(m).map(([n, , r]) => [n, "F4", r])) }),
  ],
  [
    "an integer where the base has floats",
    "MISMATCH",
    /3 tensors, the first of them: "/,
    (m) => Object.assign(m, { weight_diff_tensors: JSON.stringify(list(m).map(([n, , r]) => [n, "I16", r])) }),
  ],
  [
    "verbatim for what is not",
    "MISMATCH",
    /3 tensors, the first of them: "/,
    (m) => Object.assign(m, { weight_diff_tensors: JSON.stringify(list(m).map(([n, d]) => [n, d, "verbatim"])) }),
  ],
];
for (const [what, code, message, change] of HOSTILE) {
  test(`metadata with ${what} is refused`, async () => {
    await published(
      async ({ raw, diff, out }) => {
        await edit(diff, change);
        await refuses(() => recover({ raw, diff, tuned: out }), code, message);
        assert.ok(!existsSync(out));
      },
      { encoding: "exact" },
    );
  });
}

test("a tensor of the list that the file does not have is of no interest", async () => {
  await published(
    async ({ raw, diff }) => {
      await edit(diff, (m) =>
        Object.assign(m, { weight_diff_tensors: JSON.stringify([...list(m), ["__proto__", "F16", "bits"]]) }),
      );
      assert.equal((await recover({ raw, diff })).outcome, "checked");
    },
    { encoding: "exact" },
  );
});

test("files that are marked differently are refused", async () => {
  await withFolder(async (folder) => {
    const tensors = model("F16", 1);
    const raw = await writeFiles(join(folder, "base"), { "model.safetensors": safetensors(...tensors) });
    const tuned = await writeFiles(join(folder, "tuned"), { "model.safetensors": safetensors(...model("F16", 11)) });
    const parts = ["additive", "exact"] as const;
    for (const encoding of parts) {
      await makeDiff({ raw, tuned, diff: join(folder, encoding), encoding });
    }
    const mixed = await writeFiles(join(folder, "mixed"), {
      "a.safetensors": await readFile(join(folder, "additive/model.safetensors")),
      "b.safetensors": await readFile(join(folder, "exact/model.safetensors")),
      "c.safetensors": safetensors(["x", "F32", [1]]),
    });
    const index = async (map: Record<string, string>): Promise<unknown> =>
      writeFile(join(mixed, "model.safetensors.index.json"), indexText(map));
    for (const [map, words] of [
      [{ [NORM]: "a.safetensors", [SMALL]: "b.safetensors" }, /marked as diffs of "additive" and "exact"$/],
      [{ [NORM]: "a.safetensors", x: "c.safetensors" }, /marked as diffs of "additive" and no encoding$/],
    ] as const) {
      await index(map as Record<string, string>);
      await refuses(() => recover({ raw, diff: mixed }), "FORMAT_INVALID", words);
    }
  });
});
