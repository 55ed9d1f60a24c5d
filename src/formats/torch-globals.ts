/**
 * The closed world: every global that a torch file may name, and its meaning here (docs/formats.md 2.4; torch/_utils.py, torch/storage.py,
 * torch/_weights_only_unpickler.py of 2.13, of whose 144 names plain weights need these).
 */
import { dtypeFromTorch } from "./dtype.js";

/** The element type of a storage in torch's names; "uint8" for an untyped one. */
export interface StorageType {
  readonly torchDtype: string;
  readonly itemBytes: number;
}

type GlobalRule =
  /** A tensor over a storage: how many arguments it needs, and which of them are its dtype and its metadata. */
  | { readonly kind: "tensor"; readonly least: number; readonly dtypeAt?: number; readonly metadataAt?: number }
  /** A Parameter: its first argument is the tensor. */
  | { readonly kind: "parameter" }
  /** A tensor with its own class or attributes: how to rebuild it, its class, the arguments of that, its attributes. */
  | { readonly kind: "typed" }
  /** The class of a plain tensor. */
  | { readonly kind: "class" }
  /** A set or a Counter: its first argument is its content, as a list or a dict. */
  | { readonly kind: "container" }
  | { readonly kind: "size" }
  | ({ readonly kind: "storage" } & StorageType)
  | { readonly kind: "dtype"; readonly torchDtype: string }
  /** Has no meaning for weights. */
  | { readonly kind: "ignored" }
  /** A tensor that is not a plain array of numbers. */
  | { readonly kind: "unsupported"; readonly what: string };

const STORAGES: Readonly<Record<string, readonly [torchDtype: string, itemBytes: number]>> = {
  Float: ["float32", 4],
  Double: ["float64", 8],
  Half: ["float16", 2],
  BFloat16: ["bfloat16", 2],
  Long: ["int64", 8],
  Int: ["int32", 4],
  Short: ["int16", 2],
  Char: ["int8", 1],
  Byte: ["uint8", 1],
  Bool: ["bool", 1],
  ComplexFloat: ["complex64", 8],
  ComplexDouble: ["complex128", 16],
  QInt8: ["qint8", 1],
  QUInt8: ["quint8", 1],
  QInt32: ["qint32", 4],
  QUInt4x2: ["quint4x2", 1],
  QUInt2x4: ["quint2x4", 1],
};

/** torch dtypes without a name in safetensors. They are listed so that the refusal can name tensor and dtype. */
const FOREIGN_DTYPES =
  "complex32 complex128 qint8 quint8 qint32 quint4x2 quint2x4 bits8 bits16 uint1 uint2 uint3 uint4 int1 int2 int3 int4";
const QUANTISATION = "per_tensor_affine per_channel_affine per_tensor_symmetric per_channel_symmetric";

/** The names of a builtin in Python 2 and 3. torch.save writes the first unless told otherwise. */
const builtin = (name: string, rule: GlobalRule): readonly [string, GlobalRule][] =>
  ["__builtin__", "builtins"].map((module): [string, GlobalRule] => [`${module}.${name}`, rule]);

const RULES: ReadonlyMap<string, GlobalRule> = new Map<string, GlobalRule>([
  ["collections.OrderedDict", { kind: "ignored" }],
  ["collections.Counter", { kind: "container" }],
  ...builtin("set", { kind: "container" }),
  ...builtin("frozenset", { kind: "container" }),
  ...builtin("bytearray", { kind: "ignored" }),
  ...builtin("complex", { kind: "ignored" }),
  ["_codecs.encode", { kind: "ignored" }],
  ["torch.Tensor", { kind: "class" }],
  ["torch.nn.parameter.Parameter", { kind: "class" }],
  ["torch._tensor._rebuild_from_type_v2", { kind: "typed" }],
  ["torch._utils._rebuild_wrapper_subclass", { kind: "unsupported", what: "of a class without plain data" }],
  ["torch.Size", { kind: "size" }],
  ["torch.device", { kind: "ignored" }],
  ["torch.serialization._get_layout", { kind: "ignored" }],
  ["torch._utils._rebuild_tensor", { kind: "tensor", least: 4 }],
  ["torch._utils._rebuild_tensor_v2", { kind: "tensor", least: 6, metadataAt: 6 }],
  ["torch._utils._rebuild_tensor_v3", { kind: "tensor", least: 7, dtypeAt: 6, metadataAt: 7 }],
  ["torch._utils._rebuild_parameter", { kind: "parameter" }],
  ["torch._utils._rebuild_parameter_with_state", { kind: "parameter" }],
  ["torch._utils._rebuild_qtensor", { kind: "unsupported", what: "quantised" }],
  ["torch._utils._rebuild_sparse_tensor", { kind: "unsupported", what: "sparse" }],
  ["torch._utils._rebuild_sparse_csr_tensor", { kind: "unsupported", what: "sparse" }],
  ["torch._utils._rebuild_nested_tensor", { kind: "unsupported", what: "nested" }],
  ["torch._utils._rebuild_meta_tensor_no_storage", { kind: "unsupported", what: "a meta tensor without data" }],
  ...QUANTISATION.split(" ").map((name): [string, GlobalRule] => [`torch.${name}`, { kind: "ignored" }]),
  ...FOREIGN_DTYPES.split(" ").map((name): [string, GlobalRule] => [
    `torch.${name}`,
    { kind: "dtype", torchDtype: name },
  ]),
  ...Object.entries(STORAGES).flatMap(([name, [torchDtype, itemBytes]]) =>
    ["torch", "torch.cuda"].map((module): [string, GlobalRule] => [
      `${module}.${name}Storage`,
      { kind: "storage", torchDtype, itemBytes },
    ]),
  ),
  // torch 1.11 and 1.12 called it _UntypedStorage, or kept it in torch itself.
  ...["torch.storage.UntypedStorage", "torch.storage._UntypedStorage", "torch.UntypedStorage"].map(
    (name): [string, GlobalRule] => [name, { kind: "storage", torchDtype: "uint8", itemBytes: 1 }],
  ),
  ["torch.storage.TypedStorage", { kind: "unsupported", what: "on a storage without a type" }],
]);

/** The meaning of a global; undefined outside the closed world. */
export function torchGlobal(name: string): GlobalRule | undefined {
  const rule = RULES.get(name);
  if (rule !== undefined || !name.startsWith("torch.")) {
    return rule;
  }
  const torchDtype = name.slice("torch.".length);
  return dtypeFromTorch(torchDtype) === undefined ? undefined : { kind: "dtype", torchDtype };
}

/** What to do about quantised weights. */
export const ORIGINAL_FLOATS = "get the original float weights: quantised ones cannot take a diff";

/** Well-known names outside the closed world: what a file with such a name holds, and what to do about it. */
const WELL_KNOWN: readonly (readonly [name: RegExp, what: string, hint: string])[] = [
  [
    /^torch\.distributed\._?tensor\b/,
    "a sharded DTensor (FSDP2)",
    "save whole tensors: {name: t.full_tensor() for name, t in model.state_dict().items()}",
  ],
  [
    /^torch\.distributed\./,
    "a sharded tensor of torch.distributed (FSDP)",
    "save whole tensors: FSDP's FULL_STATE_DICT, or get_model_state_dict with full_state_dict=True",
  ],
  [/^torchao\./, "weights quantised by torchao", ORIGINAL_FLOATS],
];

/** What a refused name tells about its file, if it is known. */
export function wellKnown(name: string): { readonly what: string; readonly hint: string } | undefined {
  const [, what, hint] = WELL_KNOWN.find(([pattern]) => pattern.test(name)) ?? [];
  return what === undefined || hint === undefined ? undefined : { what, hint };
}
