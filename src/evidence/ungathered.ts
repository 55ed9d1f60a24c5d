/**
 * Weights that a trainer saved without gathering them. Under DeepSpeed's ZeRO-3, every process holds a part of each weight; a save that
 * does not gather them writes tensors of shape [0]. FSDP keeps weights flattened and in parts: an embedding of one dimension, an empty one,
 * or whole layers in one `_flat_param`. The values are elsewhere, so no scheme and no base makes such a file usable.
 * The other side, which has the whole weight, shows the fault. Without the other side, only embeddings and norms are judged, since a model
 * may have an empty tensor of its own. Sources: DeepSpeed, docs/code-docs/source/zero3.rst; PyTorch, FullyShardedDataParallel,
 * StateDictType.
 */
import type { Checkpoint, StateDict, StoredTensor } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { elementCount, isFloatDtype } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { shapeText } from "../formats/tensor-info.js";
import { EMBEDDING } from "../known/embeddings.js";
import { NORM } from "./not-a-diff.js";

/** FSDP's name for weights that it flattened together. */
const FLAT_PARAMETER = /(^|\.)_?flat_params?(_\d+)?$/;
/** Where only the length tells, a weight is taken to have at most so many parts. */
const MAX_PARTS = 64;

interface Leftover {
  readonly name: string;
  readonly tensor: StoredTensor;
  readonly kind: "empty" | "flat";
}

/** What else is known of the weights of a checkpoint: the other side, and the architecture. */
interface Known {
  readonly other?: { readonly stateDict: StateDict; readonly role: string };
  /** Names of tensors that are matrices in this architecture. */
  readonly matrices?: ReadonlySet<string>;
  /** Is it known that a tensor has this shape in the model? By default it is not. */
  readonly isGathered?: (name: string, tensor: StoredTensor) => boolean;
}

/** The fault of a checkpoint. */
interface Ungathered {
  readonly names: ReadonlySet<string>;
  /** The first such tensor. */
  readonly name: string;
  /** What was found, and how to save such a model whole. */
  readonly fact: string;
  readonly remedy: string;
}

/** Refuses a base and a diff (or tuned model) if either was saved without gathering. @throws {WeightDiffError} FORMAT_UNSUPPORTED. */
export function refuseUngathered(raw: Checkpoint, driver: Checkpoint, role: "diff" | "tuned model"): void {
  refuseOne(raw, "base", { stateDict: driver.stateDict, role });
  refuseOne(driver, role, { stateDict: raw.stateDict, role: "base" });
}

function refuseOne({ path, stateDict }: Checkpoint, role: string, other: Known["other"]): void {
  const found = findUngathered(stateDict, other === undefined ? {} : { other });
  if (found !== null) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `the ${role} does not hold its weights: ${found.fact}`,
      found.remedy,
      { at: { file: path, tensor: found.name } },
    );
  }
}

/** The weights that were not gathered; null if there are none. */
export function findUngathered(stateDict: StateDict, { other, matrices, isGathered }: Known): Ungathered | null {
  const found = [...stateDict].flatMap(([name, tensor]): readonly Leftover[] => {
    if (isGathered?.(name, tensor) === true) {
      return [];
    }
    const kind = leftoverKind(name, tensor, other?.stateDict.get(name)) ?? kindByArchitecture(name, tensor, matrices);
    return kind === null ? [] : [{ name, tensor, kind }];
  });
  const first = found.find(({ kind }) => kind === "flat") ?? found[0];
  if (first === undefined) {
    return null;
  }
  const { name, tensor, kind } = first;
  const whole = other?.stateDict.get(name);
  const what = `${found.length === 1 ? "is" : "are"} ${kind === "flat" ? "flattened or empty" : "empty"}`;
  const where = whole === undefined ? "" : ` where the ${other?.role} has ${shapeText(whole.shape)}`;
  return {
    names: new Set(found.map((one) => one.name)),
    name,
    fact: `${found.length} of its ${stateDict.size} tensors ${what}, ${quote(name)} in ${tensor.shard.file} is ${shapeText(tensor.shape)}${where}: ${CAUSE[kind]}`,
    remedy: REMEDY[kind],
  };
}

/** The tensors that ZeRO-3 empties, in any model. */
const WEIGHT = /(^|\.)weight$/;

/** Judges by the architecture, without another side. @param matrices undefined if there is another side. */
function kindByArchitecture(
  name: string,
  { shape }: StoredTensor,
  matrices: Known["matrices"],
): Leftover["kind"] | null {
  if (matrices === undefined || shape.length !== 1) {
    return null;
  }
  return shape[0] === 0 && WEIGHT.test(name) ? "empty" : matrices.has(name) ? "flat" : null;
}

const CAUSE = {
  empty: "saved by ZeRO-3 (DeepSpeed) without gathering",
  flat: "saved by FSDP without gathering",
} as const;

/** How to save such a model whole. */
const REMEDY = {
  empty:
    'gather it: zero_to_fp32.py, which DeepSpeed puts into its checkpoint folder, makes whole weights of one; "stage3_gather_16bit_weights_on_model_save": true in DeepSpeed\'s config saves them whole',
  flat: "save it again with FSDP's FULL_STATE_DICT (StateDictType.FULL_STATE_DICT in torch, fsdp_state_dict_type in accelerate)",
} as const;

function leftoverKind(name: string, tensor: StoredTensor, whole: StoredTensor | undefined): Leftover["kind"] | null {
  if (!isFloatDtype(tensor.dtype)) {
    return null;
  }
  const elements = elementCount(tensor.shape) ?? 0;
  const others = whole === undefined ? 0 : (elementCount(whole.shape) ?? 0);
  if (elements === 0) {
    return EMBEDDING.test(name) || NORM.test(name) || others > 0 ? "empty" : null;
  }
  const flat =
    FLAT_PARAMETER.test(name) ||
    (tensor.shape.length === 1 && (EMBEDDING.test(name) || (isMatrix(whole) && isPart(elements, others))));
  return flat ? "flat" : null;
}

/** A shape with a dimension of 1 counts as a vector, not a matrix. */
function isMatrix(tensor: StoredTensor | undefined): boolean {
  return tensor !== undefined && tensor.shape.length > 1 && tensor.shape.every((size) => size > 1);
}

/** Are these all elements of the other side in one dimension, or an equal share of them, with padding? */
function isPart(elements: number, all: number): boolean {
  const parts = Math.round(all / elements);
  return parts >= 1 && parts <= MAX_PARTS && Math.ceil(all / parts) === elements;
}
