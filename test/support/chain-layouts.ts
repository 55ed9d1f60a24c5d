/** The same steps in the layouts of several trainers, with frames of raw blocks. Tensors are BF16, in one dimension. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { loadChecksums } from "../../src/formats/checksum.js";
import { rawFrame, xorPayload } from "./chain-files.js";
import { safetensors, safetensorsWith, type TensorSpec, writeFiles } from "./checkpoints.js";

/** Tensors by name: their bytes. */
export interface State {
  readonly [name: string]: Uint8Array;
}

export const TRAINERS = ["slime", "skyrl", "modelexpress"] as const;
export type Trainer = (typeof TRAINERS)[number];

/** Where a version lies, and the file that is written last. */
export function placeIn(trainer: Trainer, version: number): { readonly folder: string; readonly last: string } {
  const six = String(version).padStart(6, "0");
  const [folder, last] = {
    slime: [`weight_v${six}`, "model.safetensors.index.json"],
    skyrl: [`delta-${String(version).padStart(8, "0")}`, "manifest.json"],
    modelexpress: [`v${version}`, "model.safetensors.index.json"],
  }[trainer] as [string, string];
  return { folder, last };
}

export function writeModel(folder: string, state: State): Promise<string> {
  return writeFiles(folder, { "model.safetensors": safetensors(...tensorsOf(state)) });
}

function tensorsOf(state: State): readonly TensorSpec[] {
  return Object.entries(state).map(([name, bytes]) => [name, "BF16", [bytes.length / 2], bytes]);
}

/** One version: what tells `after` from `before`. @param base the number that it is made on; by default the one before. */
export async function writeUpdate(
  trainer: Trainer,
  root: string,
  { version, before, after, base = version - 1 }: { version: number; before: State; after: State; base?: number },
): Promise<string> {
  const algorithm = trainer === "modelexpress" ? "adler32" : "xxh3-128";
  const create = await loadChecksums([algorithm]);
  const changed = Object.entries(after).flatMap(([name, bytes]) => {
    const old = before[name];
    if (old === undefined || Buffer.from(old).equals(bytes)) {
      return [];
    }
    const checksum = create(algorithm);
    checksum.update(bytes);
    return [{ name, bytes: bytes.length, frame: rawFrame(xorPayload(old, bytes)), hex: checksum.digest() }];
  });
  const file = trainer === "skyrl" ? "delta-rank00000-file000000.safetensors" : "model-00000-of-00001.safetensors";
  const payloads = changed.map(({ name, frame }): TensorSpec => [name, "U8", [frame.length], frame]);
  const sums = Object.fromEntries(changed.map(({ name, hex }) => [name, hex]));
  const { folder, last } = placeIn(trainer, version);
  const text =
    trainer === "skyrl"
      ? manifestOf(version, base, file, changed)
      : indexOf(trainer, version, base, { file, algorithm, names: Object.keys(sums) });
  return writeFiles(join(root, folder), {
    ...(changed.length === 0
      ? {}
      : { [file]: trainer === "skyrl" ? safetensors(...payloads) : safetensorsWith(sums, ...payloads) }),
    [last]: text,
  });
}

/** A whole chain: the first state is the base. */
export async function writeSteps(trainer: Trainer, root: string, states: readonly State[]): Promise<void> {
  for (const [version, after] of states.entries()) {
    const before = states[version - 1];
    if (before !== undefined) {
      await writeUpdate(trainer, root, { version, before, after });
    }
  }
}

function indexOf(
  trainer: Trainer,
  version: number,
  base: number,
  { file, algorithm, names }: { readonly file: string; readonly algorithm: string; readonly names: readonly string[] },
): string {
  const spell = (number: number): string =>
    trainer === "slime"
      ? String(number).padStart(6, "0")
      : `mx-${createHash("sha256").update(String(number)).digest("hex").slice(0, 8)}`;
  const metadata = {
    ...{ version: spell(version), base_version: spell(base), delta_encoding: "xor" },
    ...{ compression_format: "zstd", checksum_format: algorithm },
  };
  return JSON.stringify({ metadata, weight_map: Object.fromEntries(names.map((name) => [name, file])) });
}

function manifestOf(
  version: number,
  base: number,
  file: string,
  changed: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly frame: Uint8Array;
    readonly hex: string;
  }[],
): string {
  const tensors = changed.map(({ name, bytes, frame, hex }) => ({
    ...{ name, dtype: "bfloat16", shape: [bytes / 2], uncompressed_num_bytes: bytes },
    ...{ compressed_num_bytes: frame.length, payload_file: file, payload_key: name },
    ...{ checksum: hex, checksum_algorithm: "xxh3-128" },
  }));
  return JSON.stringify({
    ...{ version, base_version: base, tensors },
    total_uncompressed_num_bytes: changed.reduce((sum, { bytes }) => sum + bytes, 0),
    total_compressed_num_bytes: changed.reduce((sum, { frame }) => sum + frame.length, 0),
    payload_files: changed.length === 0 ? [] : [file],
  });
}

/** TRL's earlier form: positions and values of elements, and a sha256 over the whole model. */
export async function writeTrlSteps(root: string, states: readonly State[]): Promise<void> {
  for (const [version, after] of states.entries()) {
    const before = states[version - 1];
    if (before === undefined) {
      continue;
    }
    const tensors = Object.entries(after).flatMap(([name, bytes]): readonly TensorSpec[] => {
      const [old, now] = [before[name] ?? bytes, bytes].map((one) => new Uint16Array(Uint8Array.from(one).buffer));
      const at = [...(now ?? [])].flatMap((value, index) => (value === old?.[index] ? [] : [index]));
      const values = Uint16Array.from(at, (index) => now?.[index] ?? 0);
      return at.length === 0
        ? []
        : [
            [`${name}.indices`, "I32", [at.length], Int32Array.from(at)],
            [`${name}.values`, "BF16", [at.length], values],
          ];
    });
    const whole = createHash("sha256");
    for (const name of Object.keys(after).sort()) {
      whole.update(after[name] as Uint8Array);
    }
    const metadata = {
      ...{ format: "sparse_weight_patch", model_version: String(version), prev_model_version: String(version - 1) },
      checksum_sha256: whole.digest("hex"),
    };
    const empty: TensorSpec = ["__empty_delta__", "I32", [1], Int32Array.of(0)];
    await writeFiles(join(root, "deltas"), {
      [`step_${String(version).padStart(6, "0")}.safetensors`]: safetensorsWith(
        metadata,
        ...(tensors.length === 0 ? [empty] : tensors),
      ),
    });
  }
}
