/**
 * The element types of safetensors 0.8 (README, "Format"; `Dtype` in safetensors/src/tensor.rs), and their names in torch. All other files
 * spell a dtype as safetensors does ("F16").
 */

/** name -> [bits per element, torch name]. */
const TABLE = {
  BOOL: [8, "bool"],
  F4: [4, "float4_e2m1fn_x2"],
  F6_E2M3: [6, null],
  F6_E3M2: [6, null],
  U8: [8, "uint8"],
  I8: [8, "int8"],
  F8_E5M2: [8, "float8_e5m2"],
  F8_E4M3: [8, "float8_e4m3fn"],
  F8_E8M0: [8, "float8_e8m0fnu"],
  F8_E4M3FNUZ: [8, "float8_e4m3fnuz"],
  F8_E5M2FNUZ: [8, "float8_e5m2fnuz"],
  I16: [16, "int16"],
  U16: [16, "uint16"],
  F16: [16, "float16"],
  BF16: [16, "bfloat16"],
  I32: [32, "int32"],
  U32: [32, "uint32"],
  F32: [32, "float32"],
  C64: [64, "complex64"],
  F64: [64, "float64"],
  I64: [64, "int64"],
  U64: [64, "uint64"],
} as const satisfies Record<string, readonly [bits: number, torch: string | null]>;

export type Dtype = keyof typeof TABLE;
/** The dtypes with arithmetic. All others are copied as bytes. */
export type FloatDtype = "F16" | "BF16" | "F32" | "F64";

/** Every dtype, from the narrowest to the widest. */
export const DTYPES = Object.keys(TABLE) as readonly Dtype[] as readonly [Dtype, ...Dtype[]];

const BY_TORCH_NAME: ReadonlyMap<string, Dtype> = new Map(
  DTYPES.flatMap((dtype) => (TABLE[dtype][1] === null ? [] : [[TABLE[dtype][1], dtype] as const])),
);

/** Bits of an element; fewer than 8 for packed types. */
export function dtypeBits(dtype: Dtype): number {
  return TABLE[dtype][0];
}

/** Narrows a value to a dtype. "__proto__" and lower case are not one. */
export function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(TABLE, value);
}

export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16" || dtype === "F64";
}

/** "float16" -> "F16"; undefined for dtypes that safetensors cannot hold (complex128, quantised). */
export function dtypeFromTorch(name: string): Dtype | undefined {
  return BY_TORCH_NAME.get(name);
}

/** "F16" -> "float16", as in torch_dtype of config.json; null if torch has no such type. */
export function torchName(dtype: Dtype): string | null {
  return TABLE[dtype][1];
}

/** The dtype as users write it: torch's name, or safetensors' where torch has no such type. */
export function dtypeName(dtype: Dtype): string {
  return torchName(dtype) ?? dtype;
}

/**
 * Bytes of a C-ordered tensor; undefined if the product exceeds 2^53, or is not a whole number of bytes (F4, F6). An empty shape is a
 * scalar: one element. Checked like safetensors' `validate` (tensor.rs): [0, 2^53] is 0 bytes, [2^53, 2^53, 0] overflows.
 * @param first the shape may be a part of a longer list, from this index on. @param end up to, but not including, this one.
 */
export function tensorBytes(dtype: Dtype, shape: ArrayLike<number>, first = 0, end = shape.length): number | undefined {
  const count = elementCount(shape, first, end);
  if (count === undefined) {
    return undefined;
  }
  const bits = count * dtypeBits(dtype);
  return Number.isSafeInteger(bits) && bits % 8 === 0 ? bits / 8 : undefined;
}

/** Elements of a shape, or of a part of a list; undefined above 2^53. An empty shape is a scalar: 1. */
export function elementCount(shape: ArrayLike<number>, first = 0, end = shape.length): number | undefined {
  let count = 1;
  for (let index = first; index < end; index++) {
    count *= shape[index] ?? 0;
    if (!Number.isSafeInteger(count) || count < 0) {
      return undefined;
    }
  }
  return count;
}
