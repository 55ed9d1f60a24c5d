/** A manifest says some things twice: its list of files and its totals must be those of its tensors. What it leaves out is what SkyRL's reader takes it for. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chainInspect } from "../../../src/commands/chain/inspect.js";
import { chainMaterialize } from "../../../src/commands/chain/materialize.js";
import { EXIT_CODES, WeightDiffError } from "../../../src/errors.js";
import { placeIn, type State, writeModel, writeSteps } from "../../support/chain-layouts.js";
import { withFolder } from "../../support/checkpoints.js";

const STATES: readonly State[] = [0, 1].map((step) => ({
  a: Uint8Array.from({ length: 20 }, (_, i) => i + step),
  b: Uint8Array.of(step, 7),
}));
const { folder: VERSION, last: MANIFEST } = placeIn("skyrl", 1);
const FILE = "delta-rank00000-file000000.safetensors";
const quiet = { onNote: () => {}, onWarning: () => {}, threads: 0 } as const;

interface Manifest {
  tensors: Record<string, unknown>[];
  total_uncompressed_num_bytes?: unknown;
  total_compressed_num_bytes?: unknown;
  payload_files?: unknown;
}

/** A chain of one version, whose manifest is changed; with its base. */
async function changed(folder: string, change: (manifest: Manifest, version: string) => void) {
  const chain = join(folder, "chain");
  await writeSteps("skyrl", chain, STATES);
  const raw = await writeModel(join(folder, "base"), STATES[0] as State);
  const version = join(chain, VERSION);
  const manifest = JSON.parse(readFileSync(join(version, MANIFEST), "utf8")) as Manifest;
  change(manifest, version);
  writeFileSync(join(version, MANIFEST), JSON.stringify(manifest));
  return { chain, raw, ...quiet };
}

for (const [what, why, words, change] of [
  [
    "a total that is not its tensors'",
    "length",
    /total_uncompressed_num_bytes is 23, but its tensors have 22 together/,
    (m) => {
      m.total_uncompressed_num_bytes = 23;
    },
  ],
  [
    "a total of compressed bytes that is none",
    "length",
    /total_compressed_num_bytes is "44", but its tensors have \d+/,
    (m) => {
      m.total_compressed_num_bytes = "44";
    },
  ],
  [
    "a file that is not there",
    "index-missing-shard",
    /"other\.safetensors" is listed as a part of this version, and is not there/,
    (m) => {
      m.payload_files = [FILE, "other.safetensors"];
    },
  ],
  [
    "a list that lacks a tensor's file",
    "index-tensor",
    /has payloads of tensors, but is not in payload_files/,
    (m) => {
      m.payload_files = [];
    },
  ],
  [
    "a list with a file that no tensor is in",
    "shard-extra",
    /is in the shard and not in the manifest/,
    (m, version) => {
      copyFileSync(join(version, FILE), join(version, "other.safetensors"));
      m.payload_files = [FILE, "other.safetensors"];
    },
  ],
  [
    "a path",
    "index-path",
    /payload_files is \["\.\.\/x\.safetensors"\], not a list of bare names/,
    (m) => {
      m.payload_files = ["../x.safetensors"];
    },
  ],
  [
    "no list",
    "index-path",
    /payload_files is null, not a list/,
    (m) => {
      m.payload_files = null;
    },
  ],
] as readonly (readonly [string, string, RegExp, (manifest: Manifest, version: string) => void])[]) {
  test(`a manifest with ${what} is refused`, () =>
    withFolder(async (folder) => {
      const options = await changed(folder, change);
      const error = await chainMaterialize(options).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof WeightDiffError, String(error));
      assert.deepEqual([error.why, EXIT_CODES[error.code]], [why, 4], error.message);
      assert.match(error.message, words);
    }));
}

test("what a manifest leaves out is what its reader takes it for, and a file that it does not name is told and not read", () =>
  withFolder(async (folder) => {
    const notes: string[] = [];
    const options = await changed(folder, (manifest, version) => {
      manifest.payload_files = undefined;
      manifest.total_compressed_num_bytes = undefined;
      manifest.total_uncompressed_num_bytes = undefined;
      const [first = {}, second = {}] = manifest.tensors;
      // An algorithm that is left out is xxh3-128 (a9564572, delta_checkpoint.py 78-88), and of the older key sha256.
      first.checksum_algorithm = undefined;
      second.checksum = undefined;
      second.checksum_algorithm = undefined;
      second.sha256 = createHash("sha256")
        .update(STATES[1]?.[String(second.name)] as Uint8Array)
        .digest("hex");
      writeFileSync(join(version, "delta-rank00003-file000000.safetensors"), "left by another run");
      writeFileSync(join(version, ".delta-rank00004.safetensors"), "a temporary one");
    });
    const report = await chainMaterialize({ ...options, onNote: (text) => void notes.push(text) });
    assert.equal(report.chain.checked, 2);
    assert.deepEqual(
      notes.filter((note) => note.includes("left") || note.includes("not read")),
      [`${VERSION}: delta-rank00003-file000000.safetensors is not named in manifest.json, and is not read`],
    );
    assert.equal((await chainInspect(options)).fault, null);
  }));
