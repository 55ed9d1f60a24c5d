/** Chains made here: versions in slime's layout, with frames of raw blocks. */
import { type ChecksumName, loadChecksums } from "../../src/formats/checksum.js";
import { layoutShard } from "../../src/formats/safetensors-layout.js";
import { writeFiles } from "./checkpoints.js";

/** One zstd frame of raw blocks; the header states the size (RFC 8878, 3.1.1). */
export function rawFrame(bytes: Uint8Array): Uint8Array {
  const blocks: Buffer[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += 1 << 17) {
    const part = bytes.subarray(at, at + (1 << 17));
    const head = Buffer.alloc(3);
    head.writeUIntLE((at + (1 << 17) >= bytes.length ? 1 : 0) | (part.length << 3), 0, 3);
    blocks.push(head, Buffer.from(part));
  }
  const size = Buffer.alloc(4);
  size.writeUInt32LE(bytes.length);
  return Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0xa0), size, ...blocks]);
}

/** new XOR old. */
export function xorPayload(before: Uint8Array, after: Uint8Array): Uint8Array {
  return after.map((byte, at) => byte ^ (before[at] ?? 0));
}

/** u4 count, u4 positions, values. */
export function overwritePayload(before: Uint8Array, after: Uint8Array): Uint8Array {
  const at: number[] = [];
  for (let index = 0; index < after.length; index++) {
    if (after[index] !== before[index]) {
      at.push(index);
    }
  }
  return Buffer.concat([
    new Uint8Array(Uint32Array.of(at.length, ...at).buffer),
    Uint8Array.from(at, (index) => after[index] ?? 0),
  ]);
}

export interface MadeStep {
  readonly version: number;
  readonly encoding: "xor" | "overwrite";
  /** By tensor: its bytes before and after. */
  readonly tensors: Readonly<Record<string, readonly [before: Uint8Array, after: Uint8Array]>>;
  /** Checksums to state in place of the true ones. */
  readonly sums?: Readonly<Record<string, string>>;
  /** Frames to write in place of the true ones. */
  readonly frames?: Readonly<Record<string, Uint8Array>>;
}

/** Writes one version beside the others. */
export async function writeStep(
  root: string,
  { version, encoding, tensors, sums = {}, frames = {} }: MadeStep,
  algorithm: ChecksumName = "xxh3-128",
): Promise<void> {
  const create = await loadChecksums([algorithm]);
  const pack = encoding === "xor" ? xorPayload : overwritePayload;
  const payloads = Object.entries(tensors).map(([name, [before, after]]) => {
    const checksum = create(algorithm);
    checksum.update(after);
    return { name, frame: frames[name] ?? rawFrame(pack(before, after)), hex: sums[name] ?? checksum.digest() };
  });
  const file = "model-00000-of-00001.safetensors";
  const layout = layoutShard(
    payloads.map(({ name, frame }) => ({ name, dtype: "U8", shape: [frame.length] })),
    { name: file, metadata: new Map(payloads.map(({ name, hex }) => [name, hex])) },
  );
  const shard = new Uint8Array(layout.size);
  shard.set(layout.header);
  payloads.forEach(({ frame }, index) => {
    shard.set(frame, layout.ranges[index]?.begin);
  });
  const text = (number: number): string => String(number).padStart(6, "0");
  const metadata = {
    ...{ version: text(version), base_version: text(version - 1), delta_encoding: encoding },
    ...{ compression_format: "zstd", checksum_format: algorithm },
  };
  const weightMap = Object.fromEntries(payloads.map(({ name }) => [name, file]));
  await writeFiles(`${root}/weight_v${text(version)}`, {
    [file]: shard,
    "model.safetensors.index.json": JSON.stringify({ metadata, weight_map: weightMap }),
  });
}
