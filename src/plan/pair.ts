/** The options of pairing, and its result: each output tensor with the tensors of both sides that it is computed from. */
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { Blend, Operand, Rule, Term } from "../engine/job/job.js";
import type { Dtype } from "../formats/dtype.js";
import type { NewRows } from "../scheme/axes.js";
import type { Loading } from "./ties.js";

export type DriverRole = "diff" | "tuned" | "model";

/** How to compute an output tensor. */
export interface Decision {
  readonly rule: Rule;
  /** The dtype of the output. */
  readonly dtype: Dtype;
  /** The arithmetic, where the rule is "blend". */
  readonly blend?: Blend;
  /** Does the script add into raw's tensor? If not, it adds into the driver's. */
  readonly intoRaw?: true;
}

export interface PairingOptions {
  readonly role: DriverRole;
  /** @param raw null if only the driver has the name. @returns null if there is no rule for these two. */
  decide(name: string, driver: StoredTensor, raw: StoredTensor | null): Decision | null;
  /** The rule for rows that only the driver has, and whether the caller asked for it. */
  readonly newRows: NewRows | "verbatim";
  readonly rowsAsked: boolean;
  /** How many rows may be new. */
  readonly maxNewRows: number;
  /** How the script pairs names. Left out if it loops over the driver's names and raw has the same names. */
  readonly names?: NameRules;
  /** rope_theta of the base, to compute rotary buffers that its files lack. */
  readonly ropeTheta: number;
  /** Are head and embedding of each side one matrix once loaded? Null if neither config nor files tell (evidence/ties.ts). */
  readonly rawTied: boolean | null;
  readonly driverTied: boolean | null;
  /** How often the base is added to each name, if the diff itself states it. Names that are not listed: once. */
  readonly met?: ReadonlyMap<string, number>;
  /** Left out if no config says anything. */
  readonly models?: ModelKinds;
  /** Is a head kept if only the driver has it, or if it has another shape there? */
  readonly keepsHeads?: boolean;
}

/**
 * What the configs say of the models. It tells buffers from parameters, and which heads a model must have. Null if a config does not say.
 */
export interface ModelKinds {
  /** model_type; the driver's is preferred. */
  readonly modelType: string | null;
  /** The class of each side, for example "LlamaForCausalLM". */
  readonly raw: string | null;
  readonly driver: string | null;
}

export const UNKNOWN_MODELS: ModelKinds = { modelType: null, raw: null, driver: null };

export function modelKinds(raw: ModelConfig | null, driver: ModelConfig | null): ModelKinds {
  return {
    modelType: driver?.modelType ?? raw?.modelType ?? null,
    raw: raw?.architecture ?? null,
    driver: driver?.architecture ?? null,
  };
}

/** How the names of both sides are paired, and how names on one side only are treated. */
export interface NameRules {
  /** Raw's name for a name of the driver; null if it has none. */
  rawName(name: string): string | null;
  /** The text before raw's names in the driver. */
  readonly prefix: string;
  /** Is the driver's tensor added to raw's (or raw's subtracted) if raw has one? */
  isSummed(name: string): boolean;
  readonly order: "diff" | "raw";
  readonly loading: Loading;
  fate(name: string): "refuse" | "keep" | "drop";
  /** How a tensor that only one side has gets into the output. */
  keep(name: string, tensor: StoredTensor): Decision;
  readonly baseOnly: "refuse" | "copy";
  /** May any tensor have another shape than raw's, and not only embeddings? */
  readonly anyShape: boolean;
  /** If the shapes differ, the driver's tensor is kept, unless it has exactly so many more rows. */
  readonly elseVerbatim: number | null;
}

/** An output tensor, and the tensors that it is computed from. */
export interface Pair extends Decision {
  readonly name: string;
  readonly driver: StoredTensor;
  /** Set if only raw has the tensor and it is kept. `driver` is then raw's tensor. */
  readonly fromRaw?: true;
  readonly raw: RawSide | null;
  /** The mean of raw's rows. */
  readonly mean: Term["mean"];
  /** Further tensors that the script adds, in this order. All belong to the side that it does not add into. */
  readonly again?: readonly { readonly tensor: StoredTensor; readonly mean: Term["mean"] }[];
}

/** The result of pairing one name. */
export type Outcome =
  | { readonly kind: "paired"; readonly pair: Pair; readonly step?: Step }
  | { readonly kind: "left out"; readonly step?: Step }
  /** `problem` names the tensor, both sides and what does not fit. */
  | { readonly kind: "mismatch"; readonly problem: string; readonly of: Unlike };

/** How the two sides differ. "new rows": only by rows that the driver has and raw lacks. */
export type Unlike = "the driver only" | "the base only" | "dtypes" | "shapes" | "new rows";

/** A step of pairing other than pairing equal names. steps.ts makes the notes about them. */
export interface Step {
  readonly kind: StepKind;
  readonly name: string;
  /** A detail for the note: a shape, or another name. */
  readonly raw?: string;
  readonly driver?: string;
}

export type StepKind =
  /** The base lacks the tensor. The tensor that it is tied to stands for it: the embedding for the head, or the other way round. */
  | "tied"
  /** Head and embedding are one matrix, which the script has under both names. */
  | "met twice"
  | "base met twice"
  /** The driver's head or embedding is added into the one matrix that the base has for both. */
  | "met in the base"
  /**
   * A buffer that models compute: only the driver has it, only the base has it, or both have it, in dtypes or shapes without common
   * arithmetic.
   */
  | "buffer of the driver"
  | "buffer of the base"
  | "buffer unlike the base's"
  /** Only the base has it, and transformers does not load it in this model. */
  | "unused"
  /** A tensor whose shape differs from the base's, taken unchanged. */
  | "of another shape"
  /** Only the driver has it. It is kept unchanged, or left out as the script does. */
  | "kept"
  | "dropped"
  /** The base's head; the driver is a model without one. */
  | "head of the base"
  /** Only the base has it; it is copied. */
  | "copied";

type RawSide =
  | { readonly kind: "stored"; readonly tensor: StoredTensor }
  | { readonly kind: "computed"; readonly operand: Operand };

/** Rotary buffers. Models recompute them, so a side without them is complete. */
export const INV_FREQ = /(^|\.)rotary_emb\.inv_freq$/;
