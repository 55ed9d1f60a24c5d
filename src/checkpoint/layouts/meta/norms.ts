/**
 * Do the parts of a checkpoint in Meta's layout belong to one model? Shapes do not tell LLaMA from Llama 2 of the same size. But every part
 * holds a copy of the last norm's weights, which differ from model to model.
 */
import { WeightDiffError } from "../../../errors.js";
import type { TensorInfo } from "../../../formats/tensor-info.js";
import type { HubFile } from "../../../hub/place.js";
import { openShardSource } from "../../../hub/source.js";

interface NormOfPart {
  readonly shard: { readonly file: string; readonly path: string; readonly hub?: HubFile };
  readonly tensor: TensorInfo;
}

/**
 * Each processor that trained the model updated its own copy, so last bits may differ, but not values. The tolerance counts steps between
 * neighbouring values of the upper 16 bits, whose patterns count upwards. Both tolerances are one or two per cent.
 */
const TOLERANCE = { F16: 16, other: 2 } as const;
const MAX_BYTES = 1 << 20;

/** @throws {WeightDiffError} MISMATCH, naming two parts whose norms are not copies of each other; IO. */
export async function refuseOtherNorms(norms: readonly NormOfPart[]): Promise<void> {
  const readable = norms.filter(({ tensor: { strides, bigEndian, range } }) => {
    return strides === undefined && bigEndian !== true && range.end - range.begin <= MAX_BYTES;
  });
  const bits: Uint16Array[] = [];
  for (const norm of readable) {
    bits.push(await read16(norm));
  }
  const [first, ...others] = bits;
  const steps = readable[0]?.tensor.dtype === "F16" ? TOLERANCE.F16 : TOLERANCE.other;
  for (const [index, other] of others.entries()) {
    const far = other.filter((word, at) => Math.abs(word - (first?.[at] ?? 0)) > steps).length;
    if (far * 2 > other.length) {
      const [one, two] = [readable[0]?.shard.file ?? "", readable[index + 1]?.shard.file ?? ""];
      throw new WeightDiffError(
        "MISMATCH",
        `is of another model than ${one}: of the ${other.length} norm weights that every part has a copy of, ${far} differ`,
        `fetch ${one} and ${two} again from one place`,
        { at: { file: readable[index + 1]?.shard.path ?? "" } },
      );
    }
  }
}

/** The upper halves of F16, BF16 or F32 values: sign, exponent and leading digits. */
async function read16({ shard, tensor: { range, dtype } }: NormOfPart): Promise<Uint16Array> {
  const source = await openShardSource(shard);
  try {
    const bytes = await source.readAt(range.begin, range.end - range.begin);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const width = dtype === "F32" ? 4 : 2;
    return Uint16Array.from({ length: Math.floor(bytes.length / width) }, (_, at) => {
      return view.getUint16(at * width + width - 2, true);
    });
  } finally {
    await source.close();
  }
}
