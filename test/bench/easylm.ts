/** Writes EasyLM's streaming checkpoints of a LLaMA: one msgpack pair of key and flax array after the other (formats/easylm.ts). */
import { open } from "node:fs/promises";
import { text } from "../support/easylm-files.js";
import { type BinTensor, binBytes, type Fill } from "./torch-bin.js";

const NUMPY_NAME = { F16: "float16", BF16: "bfloat16", F32: "float32" } as const;

/** Writes the file; `tensors` under flax's names and in its shapes. */
export async function writeEasylm(path: string, tensors: readonly BinTensor[], fill: Fill): Promise<void> {
  const file = await open(path, "w");
  try {
    for (const tensor of tensors) {
      const keys = tensor.name.split(".");
      const size = binBytes(tensor);
      const shape = tensor.shape.map((length) => Buffer.concat([Buffer.from([0xce]), u32(length)]));
      const inner = Buffer.concat([
        Buffer.from([0x93, 0x90 + shape.length]),
        ...shape,
        text(NUMPY_NAME[tensor.dtype]),
        Buffer.from([0xc6]),
        u32(size),
      ]);
      const array = Buffer.concat([Buffer.from([0xc9]), u32(inner.length + size), Buffer.from([1]), inner]);
      const key = Buffer.concat([Buffer.from([0x92, 0x90 + keys.length]), ...keys.map(text)]);
      await file.writeFile(Buffer.concat([key, Buffer.from([0xc6]), u32(array.length + size), array]));
      for (const piece of fill(tensor)) {
        await file.writeFile(piece);
      }
    }
  } finally {
    await file.close();
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
