/** EasyLM checkpoints for tests, byte by byte: right ones and broken ones. */

/** A msgpack text of up to 31 bytes, or of up to 255. */
export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from(bytes.length < 32 ? [0xa0 + bytes.length] : [0xd9, bytes.length]), bytes]);
}

/** A msgpack binary with a length of 4 bytes. */
export function binary(content: Uint8Array, claims = content.length): Buffer {
  const head = Buffer.from([0xc6, 0, 0, 0, 0]);
  head.writeUInt32BE(claims, 1);
  return Buffer.concat([head, content]);
}

/** flax's extension 1 around (shape, dtype, bytes). */
export function arrayOf(shape: readonly number[], dtype: string, data: Uint8Array, type = 1): Buffer {
  const sizes = shape.map((size) => {
    const bytes = Buffer.from([0xce, 0, 0, 0, 0]);
    bytes.writeUInt32BE(size, 1);
    return bytes;
  });
  return extension(
    Buffer.concat([Buffer.from([0x93, 0x90 + shape.length]), ...sizes, text(dtype), binary(data)]),
    type,
  );
}

export function extension(content: Uint8Array, type = 1): Buffer {
  const head = Buffer.from([0xc9, 0, 0, 0, 0, type]);
  head.writeUInt32BE(content.length, 1);
  return Buffer.concat([head, content]);
}

/** One entry of the stream: key and value. */
export function easylmEntry(name: string, value: Uint8Array): Buffer {
  const keys = name.split(".");
  return Buffer.concat([Buffer.from([0x92, 0x90 + keys.length]), ...keys.map(text), binary(value)]);
}
