/** Everything that reads bytes of strangers, with honest inputs to start from. A target is done well if it returns, or throws a WeightDiffError. */
import { readdirSync, readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Checkpoint, openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { readConfig } from "../../src/checkpoint/config.js";
import { parseParams } from "../../src/checkpoint/layouts/meta/params.js";
import { addedTokens, readTokenizer } from "../../src/checkpoint/tokenizer.js";
import { parse } from "../../src/cli/line/parse.js";
import { chainMaterialize } from "../../src/commands/chain/materialize.js";
import { openInflater } from "../../src/engine/io/gzip.js";
import { WeightDiffError } from "../../src/errors.js";
import { indexBytes, readIndex, writeIndex } from "../../src/formats/coded/index.js";
import { unitOf } from "../../src/formats/coded/units.js";
import { readEasylm } from "../../src/formats/easylm.js";
import { parseJson } from "../../src/formats/json.js";
import { readSafetensors } from "../../src/formats/safetensors.js";
import { readTorchLegacy } from "../../src/formats/torch-legacy.js";
import { readTorchZip } from "../../src/formats/torch-zip.js";
import { readWeightFile } from "../../src/formats/weight-file.js";
import { parseWeightIndex } from "../../src/formats/weight-index.js";
import { parseHubName } from "../../src/hub/name.js";
import { parseManifest, parseXorManifest } from "../../src/manifest/read.js";
import { digestOf } from "../../src/manifest/write.js";
import { resumeJournal } from "../../src/output/journal.js";
import { asCoded } from "../../src/plan/coded.js";
import { readOwnTensors } from "../../src/plan/exact.js";
import { decoded, encoded, windowBenches } from "../support/coded.js";
import { arrayOf, easylmEntry } from "../support/easylm-files.js";
import { FIXTURES } from "../support/fixtures.js";
import { safetensorsFile, zipFile } from "../support/hostile-files.js";
import { hashed } from "../support/kernels.js";
import { memorySource } from "../support/memory-source.js";
import { DECODERS, decodeFrame, frameNamed } from "../support/zstd.js";
import { CHECKED_LINES, DIGESTED, type Shell } from "./shells.js";

export interface Target {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** Of 100 inputs, about how many: what touches the disk is slow. */
  readonly share: number;
  /** What is mutated of a seed, and how the file is made of it again: lengths and checksums that fit let mutations in deeper. */
  readonly shell?: Shell;
  read(bytes: Uint8Array): unknown;
}

const file = (...path: string[]): Uint8Array => readFileSync(join(FIXTURES, ...path));
const ofFolder = (folder: string, pattern: RegExp): readonly Uint8Array[] =>
  readdirSync(join(FIXTURES, folder))
    .filter((name) => pattern.test(name))
    .map((name) => file(folder, name))
    .filter(({ length }) => length > 0 && length < 8192);

/** Two files of a chain as one seed: the first one's length, and both. */
function twoFiles(folder: string, first: string, second: string, root = "chains"): Uint8Array {
  return joined(file(root, folder, first), file(root, folder, second));
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  return Buffer.concat([new Uint8Array(Uint32Array.of(one.length).buffer), one, other]);
}

function shardIn(folder: string): string {
  return readdirSync(join(FIXTURES, "chains", folder)).find((name) => name.endsWith(".safetensors")) ?? "";
}

/** The chain that the bytes are, on a base that is whole. @param beside files of the fixtures that go along as they are. */
function inChain(
  place: string,
  first: string,
  second: string,
  base: string | null,
  beside: readonly string[] = [],
  besidePlace = place,
): Target["read"] {
  return async (bytes) => {
    const folder = await mkdtemp(join(tmpdir(), "weight-diff-fuzz-"));
    try {
      const length = bytes.length < 4 ? 0 : Math.min(Buffer.from(bytes).readUInt32LE(), bytes.length - 4);
      for (const [name, content] of [
        [first, bytes.subarray(4, 4 + length)],
        [second, bytes.subarray(4 + length)],
      ] as const) {
        await mkdir(dirname(join(folder, place, name)), { recursive: true });
        await writeFile(join(folder, place, name), content);
      }
      for (const name of beside) {
        await copyFile(join(FIXTURES, "chains", name), join(folder, besidePlace, basename(name)));
      }
      const raw = base === null ? null : join(FIXTURES, "chains", base);
      return await chainMaterialize({ chain: folder, raw, tuned: null, threads: 0 });
    } finally {
      await rm(folder, { recursive: true });
    }
  };
}

const STITCH = "good/stitch-root/updates/weight_v000001";
const TORCH = [...ofFolder("torch-bin", /\.bin$/), ...ofFolder("torch-2", /\.bin$/)];
const WINDOWS = windowBenches();
const BASE_UNITS = new Uint8Array(Uint16Array.from(hashed(6, 1000), (bits) => bits & 0xbfff).buffer);
const isZip = (bytes: Uint8Array): boolean => bytes[0] === 0x50;
const SAFETENSORS = safetensorsFile(
  {
    __metadata__: { format: "pt", weight_diff: "exact", weight_diff_tensors: '[["a.b","F32","bits"]]' },
    "a.b": { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
    c: { dtype: "F16", shape: [], data_offsets: [24, 26] },
  },
  26,
);
const EASYLM = Buffer.concat([
  easylmEntry("step", Buffer.from([3])),
  easylmEntry("params.transformer.wte.embedding", arrayOf([2, 3], "bfloat16", Buffer.alloc(12, 1))),
]);
/** A thousand units of BF16, coded in each way that there is, and a file that holds a coded tensor. */
const CODED = codedSeeds();

function codedSeeds(): { readonly windows: readonly Uint8Array[]; readonly file: Uint8Array } {
  const units = 1000;
  const ofUnits = (unit: (i: number) => number): Uint8Array =>
    new Uint8Array(Uint16Array.from({ length: units }, (_, i) => unit(i)).buffer);
  const noise = hashed(5, units);
  const tuned = [
    BASE_UNITS,
    ofUnits((i) => (BASE_UNITS[2 * i] ?? 0) + 256 * (BASE_UNITS[2 * i + 1] ?? 0) + ((noise[i] ?? 0) & 63)),
    ofUnits((i) => 0x3c00 | ((noise[i] ?? 0) & 0x807f)),
    ofUnits((i) => noise[i] ?? 0),
  ];
  return {
    windows: tuned.map((bytes) => encoded(WINDOWS[0], unitOf("BF16"), BASE_UNITS, bytes)),
    file: safetensorsFile(
      {
        __metadata__: {
          format: "pt",
          weight_diff: "compressed",
          weight_diff_codec: "1",
          weight_diff_coded: '[["a","BF16",[4,2],"bits",3]]',
        },
        a: { dtype: "U8", shape: [11], data_offsets: [0, 11] },
      },
      11,
    ),
  };
}

/** Decodes a window of a thousand units; the kernels must agree. */
function decodeCoded(bytes: Uint8Array): Uint8Array {
  const [one, other] = WINDOWS.map((bench) => {
    try {
      return decoded(bench, unitOf("BF16"), BASE_UNITS, bytes);
    } catch (error) {
      return error;
    }
  });
  if (one instanceof Uint8Array && other instanceof Uint8Array && Buffer.compare(one, other) === 0) {
    return one;
  }
  throw one instanceof WeightDiffError && other instanceof WeightDiffError
    ? one
    : new Error(`the kernels differ: ${one}, ${other}`);
}

/** Small frames as Python's zstandard writes them: raw, with entropy-coded literals and sequences, without a size, with a checksum. */
const ZSTD = ["empty", "255", "sparse", "sparse-checksum", "sparse-flushed", "zeros-streamed", "text", "mixed"].map(
  frameNamed,
);

/** Decodes a frame of at most 1 MiB with each decoder and differently cut; they may differ only where one refuses. */
function decodeZstd(bytes: Uint8Array): Uint8Array {
  const cuts = [...DECODERS.keys()].flatMap((kind) => [{ kind }, { kind, piece: 13, window: 1000 }]);
  const outcomes = cuts.map((one) => {
    try {
      return decodeFrame(bytes, { least: 0, most: 1 << 20 }, one);
    } catch (error) {
      return error;
    }
  });
  for (const [i, outcome] of outcomes.entries()) {
    const same = outcomes[i & ~1];
    const equal =
      outcome instanceof Buffer ? same instanceof Buffer && outcome.equals(same) : !(same instanceof Buffer);
    if (!equal) {
      throw new Error(`${JSON.stringify(cuts[i])} makes a difference: ${outcome}, ${same}`);
    }
  }
  const refused = outcomes.find((outcome) => !(outcome instanceof Buffer));
  if (refused !== undefined) {
    throw refused;
  }
  return outcomes[0] as Buffer;
}

/** A small pickle as torch writes it, to be put into an archive again. */
const PICKLE = Buffer.from(
  "\x80\x02}q\x00X\x01\x00\x00\x00aq\x01ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.",
  "latin1",
);
const sha256 = "0".repeat(64);
const FROM = { repo: null, commit: null, files: [{ file: "a.safetensors", size: 8, header: sha256, sha256 }] };
const MADE = { schema: 1, tool: "weight-diff 0.2.0" };
const TENSOR = { dtype: "F32", shape: [2], sha256 };
/** A manifest of each kind. */
const MANIFESTS = [
  {
    ...{ ...MADE, operation: "recover", scheme: "open-instruct", dtype: "float32", raw: FROM, diff: FROM },
    ...{ tensors: [{ name: "a", ...TENSOR }], files: FROM.files },
    sums: { without_inv_freq: 0.5, with_inv_freq: null },
  },
  {
    ...{ ...MADE, operation: "make-diff", scheme: "exact", encoding: "exact", raw: FROM, tuned: FROM },
    tensors: [{ name: "a", ...TENSOR, raw: TENSOR, tuned: TENSOR, recovered: sha256, inexact: 0 }],
    ...{ files: FROM.files, side_files: [{ file: "config.json", size: 2, sha256 }] },
  },
].map((value) => JSON.stringify({ ...value, digest: digestOf(value) }));
const OF_FILES = { repo: null, commit: null, files: [{ file: "a.bin", size: 8, sha256 }] };
const XOR = { ...MADE, operation: "xor", direction: "decode", scheme: "oa-xor", raw: OF_FILES, diff: OF_FILES };
const XOR_MANIFEST = JSON.stringify({
  ...XOR,
  files: OF_FILES.files,
  digest: digestOf({ ...XOR, files: OF_FILES.files }),
});
const CONFIG =
  '{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,"num_hidden_layers":2,"vocab_size":32001,"rope_theta":10000.0,"torch_dtype":"float32","tie_word_embeddings":false}';
const INDEX =
  '{"metadata":{"total_size":26},"weight_map":{"a.b":"model-00001-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}}';
const TOKENIZER = '{"added_tokens":[{"id":32000,"content":"<pad>"}],"model":{"vocab":{"a":0,"b":1}}}';
const JOURNAL = [
  { journal: 2, plan: { a: "b" }, replace: false, files: ["model.safetensors"] },
  { id: 0, sha256: "00", sum: "NaN", overflow: 0, proof: { raw: null, tuned: "0", recovered: "1", inexact: 2 } },
  { files: ["config.json"] },
  { swept: true },
]
  .map((line) => `${JSON.stringify(line)}\n`)
  .join("");
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
const texts = (...all: readonly string[]): readonly Uint8Array[] => all.map((one) => Buffer.from(one));

/** Reads a directory that holds the bytes under these names. */
function inFolder(names: readonly string[], read: (folder: string) => Promise<unknown>): Target["read"] {
  return async (bytes) => {
    const folder = await mkdtemp(join(tmpdir(), "weight-diff-fuzz-"));
    try {
      for (const name of names) {
        await writeFile(join(folder, name), bytes);
      }
      return await read(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
}

/** What the metadata of a diff's file says of its tensors. */
function record(encoding: string): Target["read"] {
  return (bytes) => {
    const metadata = new Map([
      ["weight_diff", encoding],
      ["weight_diff_tensors", text(bytes)],
    ]);
    const shards = [{ path: "x.safetensors", header: { metadata } }];
    return readOwnTensors({ path: "x", stateDict: new Map(), shards } as unknown as Checkpoint);
  };
}

async function inflate(bytes: Uint8Array): Promise<void> {
  const source = {
    path: "payload",
    direct: false,
    read: async (target: Uint8Array, position: number) => {
      const piece = bytes.subarray(position, position + target.length);
      target.set(piece);
      return piece.length;
    },
  };
  const how = { size: bytes.length, most: 1 << 16, windowBytes: 4096, onRead: () => {} };
  const inflater = openInflater(source as unknown as Parameters<typeof openInflater>[0], how);
  try {
    const target = new Uint8Array(4096);
    while ((await inflater.read(target)) === target.length) {}
  } finally {
    await inflater.close();
  }
}

export const TARGETS: readonly Target[] = [
  {
    name: "weight-file",
    share: 12,
    seeds: [...TORCH, SAFETENSORS, EASYLM],
    read: (bytes) => readWeightFile(memorySource(bytes)),
  },
  {
    name: "safetensors",
    share: 16,
    seeds: [SAFETENSORS],
    shell: { open: (seed) => seed.subarray(8, seed.length - 26), close: (inner) => safetensorsFile(text(inner), 26) },
    read: (bytes) => readSafetensors(memorySource(bytes)),
  },
  { name: "coded-window", share: 16, seeds: CODED.windows, read: decodeCoded },
  {
    name: "coded-index",
    share: 4,
    seeds: [
      writeIndex([
        { length: 9, crc32: 7 },
        { length: 1, crc32: 0 },
      ]),
    ],
    read: (bytes) => {
      const tensor = { name: "a", dtype: "BF16", shape: [(bytes.length >> 3) * (1 << 19)] } as const;
      return readIndex(bytes.subarray(0, indexBytes(tensor)), tensor, { begin: 0, end: 26 }, { file: "file" });
    },
  },
  {
    name: "coded-metadata",
    share: 4,
    seeds: [CODED.file],
    shell: { open: (seed) => seed.subarray(8, seed.length - 11), close: (inner) => safetensorsFile(text(inner), 11) },
    read: inFolder(["model.safetensors"], async (folder) => asCoded(await openCheckpoint(folder))),
  },
  {
    name: "chain, slime",
    share: 2,
    seeds: [
      ...["xor-adler32", "overwrite-blake3"].map((name) =>
        twoFiles(`good/${name}/weight_v000001`, "model.safetensors.index.json", shardIn(`good/${name}/weight_v000001`)),
      ),
    ],
    read: inChain("weight_v000001", "model.safetensors.index.json", "model-00000-of-00001.safetensors", "base"),
  },
  {
    name: "chain, coded",
    share: 2,
    seeds: [
      twoFiles("chain/weight_v000001", "model.safetensors.index.json", "model-00000-of-00001.safetensors", "coded"),
    ],
    read: inChain("weight_v000001", "model.safetensors.index.json", "model-00000-of-00001.safetensors", "base"),
  },
  {
    name: "chain, SkyRL",
    share: 2,
    seeds: [twoFiles("good/skyrl/delta-00000001", "manifest.json", "delta-rank00000-file000000.safetensors")],
    read: inChain("delta-00000001", "manifest.json", "delta-rank00000-file000000.safetensors", "base"),
  },
  {
    name: "chain, ModelExpress",
    share: 1,
    seeds: [twoFiles("good/modelexpress/v1", "model.safetensors.index.json", shardIn("good/modelexpress/v1"))],
    read: inChain("v1", "model.safetensors.index.json", shardIn("good/modelexpress/v1"), "base-tied"),
  },
  {
    name: "chain, stitch",
    share: 1,
    // The pointer, and the index of the version that it names.
    seeds: [joined(Buffer.from("run-7/weight_v000001\n"), file("chains", STITCH, "model.safetensors.index.json"))],
    read: inChain(
      ".",
      "latest",
      "updates/weight_v000001/model.safetensors.index.json",
      "base",
      [`${STITCH}/${shardIn(STITCH)}`],
      "updates/weight_v000001",
    ),
  },
  {
    name: "chain, TRL",
    share: 1,
    seeds: [twoFiles("good/trl-b", "anchors/step_000001.safetensors", "deltas/step_000002.safetensors")],
    read: inChain(".", "anchors/step_000001.safetensors", "deltas/step_000002.safetensors", null),
  },
  ...["zlib", "arc3"].map(
    (name): Target => ({
      name: `chain, Fireworks, ${name}`,
      share: 1,
      seeds: [twoFiles(`good/fireworks-${name}`, "config.json", "model-00001-of-00002.safetensors")],
      // An upload that lacks tensors of the base is none: the rest of it is here.
      read: inChain(".", "config.json", "model-00001-of-00002.safetensors", "base-fw", [
        `good/fireworks-${name}/model-00002-of-00002.safetensors`,
      ]),
    }),
  ),
  { name: "zstd", share: 12, seeds: ZSTD, read: decodeZstd },
  { name: "torch-zip", share: 6, seeds: TORCH.filter(isZip), read: (bytes) => readTorchZip(memorySource(bytes)) },
  {
    name: "pickle",
    share: 14,
    seeds: [PICKLE],
    shell: {
      open: (seed) => seed,
      close: (inner) =>
        zipFile([
          { name: "archive/data.pkl", data: inner },
          { name: "archive/data/0", data: new Uint8Array(8) },
          { name: "archive/version", data: Buffer.from("3\n") },
        ]),
    },
    read: (bytes) => readTorchZip(memorySource(bytes)),
  },
  {
    name: "torch-legacy",
    share: 8,
    seeds: TORCH.filter((bytes) => !isZip(bytes)),
    read: (bytes) => readTorchLegacy(memorySource(bytes)),
  },
  { name: "easylm", share: 8, seeds: [EASYLM], read: (bytes) => readEasylm(memorySource(bytes)) },
  { name: "weight-index", share: 8, seeds: texts(INDEX), read: (bytes) => parseWeightIndex(bytes, "x.index.json") },
  { name: "json", share: 8, seeds: texts(INDEX, CONFIG, TOKENIZER), read: (bytes) => parseJson(text(bytes), "x.json") },
  {
    name: "json of Python",
    share: 4,
    seeds: texts('{"a":NaN,"b":-Infinity,"c":[1,2.5e3]}'),
    read: (bytes) => parseJson(text(bytes), "x.json", "python"),
  },
  {
    name: "manifest",
    share: 4,
    seeds: texts(...MANIFESTS),
    shell: DIGESTED,
    read: (bytes) => parseManifest(bytes, "weight-diff.json"),
  },
  {
    name: "xor manifest",
    share: 2,
    seeds: texts(XOR_MANIFEST, ...MANIFESTS),
    shell: DIGESTED,
    read: (bytes) => parseXorManifest(bytes, "weight-diff.json"),
  },
  {
    name: "exact record",
    share: 2,
    seeds: texts('[["a.b","F32","bits"],["c","BF16","verbatim"]]'),
    read: record("exact"),
  },
  {
    name: "additive record",
    share: 1,
    seeds: texts('[["a","F32","base",2,null],["b","F32","base",1,7],["c","F32","verbatim"]]'),
    read: record("additive"),
  },
  {
    name: "params.json",
    share: 2,
    seeds: texts('{"dim":4096,"n_layers":32,"n_heads":32,"norm_eps":1e-6}'),
    read: (bytes) => parseParams(text(bytes), "params.json"),
  },
  {
    name: "name of a repository",
    share: 2,
    seeds: texts("hf://org/name@main/folder", "org/name@refs/pr/1"),
    read: (bytes) => parseHubName(text(bytes)),
  },
  {
    name: "command line",
    share: 2,
    seeds: texts(
      "recover --path_raw a --path_diff b --dtype bfloat16 --max-shard-size 5GB",
      "verify x --known alpaca-7b --json",
    ),
    read: (bytes) => parse(text(bytes).split(" "), () => {}),
  },
  { name: "gzip", share: 1, seeds: [gzipSync(Buffer.alloc(5000, "abc"))], read: inflate },
  { name: "config.json", share: 1, seeds: texts(CONFIG), read: inFolder(["config.json"], readConfig) },
  {
    name: "tokenizer",
    share: 1,
    seeds: texts(TOKENIZER, '{"<pad>":32000}'),
    read: inFolder(["tokenizer.json", "added_tokens.json", "tokenizer_config.json"], async (folder) => {
      await addedTokens(folder);
      return readTokenizer(folder);
    }),
  },
  {
    name: "journal",
    share: 1,
    seeds: [CHECKED_LINES.close(Buffer.from(JOURNAL))],
    shell: CHECKED_LINES,
    read: inFolder(["journal"], async (folder) => (await resumeJournal(folder, { a: "b" })).close()),
  },
];
