/** What pairing is told, and what it makes: an output tensor with the tensors of both sides that it comes from. */
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { Blend, Operand, Rule, Term } from "../engine/job/job.js";
import type { Dtype } from "../formats/dtype.js";
import type { NewRows } from "../scheme/axes.js";
import type { Loading } from "./ties.js";

export type DriverRole = "diff" | "tuned" | "model";

/** How an output tensor is made. */
export interface Decision {
  readonly rule: Rule;
  /** Of the output. */
  readonly dtype: Dtype;
  /** Where the rule is "blend". */
  readonly blend?: Blend;
  /** The script adds into raw's tensor; else into the driver's. */
  readonly intoRaw?: true;
}

export interface PairingOptions {
  readonly role: DriverRole;
  /** @returns null if there is no rule for these two. raw is null where only the driver has the name. */
  decide(name: string, driver: StoredTensor, raw: StoredTensor | null): Decision | null;
  /** What becomes of rows that only the driver has, and whether the caller said so himself. */
  readonly newRows: NewRows | "verbatim";
  readonly rowsAsked: boolean;
  /** How many may be new. */
  readonly maxNewRows: number;
  /** Where a scheme's script does not simply loop over the driver's names, and raw's are the same. */
  readonly names?: NameRules;
  /** rope_theta of the base, for rotary buffers that its files lack. */
  readonly ropeTheta: number;
  /** Are each side's head and embedding one matrix once it is loaded? Null where neither config nor files tell (evidence/ties.ts). */
  readonly rawTied: boolean | null;
  readonly driverTied: boolean | null;
  /** Where the diff itself says how often the base is met under each of its names; once for those that it does not list. */
  readonly met?: ReadonlyMap<string, number>;
  /** Left out where no config says anything. */
  readonly models?: ModelKinds;
  /** Does what is stored keep the tensors of a head that only the driver has, and that of another shape? */
  readonly keepsHeads?: boolean;
}

/** What config.json says of the models: it tells buffers from parameters, and which heads there must be. Null where it does not say. */
export interface ModelKinds {
  /** model_type, the driver's before raw's. */
  readonly modelType: string | null;
  /** The class of each side: "LlamaForCausalLM". */
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

/** How the names of both sides go together, and what becomes of those that only one has. */
export interface NameRules {
  /** Raw's name for a name of the driver; null where it has none. */
  rawName(name: string): string | null;
  /** What raw's names have before them in the driver. */
  readonly prefix: string;
  /** Is the driver's tensor made with raw's, if there is one? */
  isSummed(name: string): boolean;
  readonly order: "diff" | "raw";
  readonly loading: Loading;
  fate(name: string): "refuse" | "keep" | "drop";
  /** How a tensor is made that only one side has. */
  keep(name: string, tensor: StoredTensor): Decision;
  readonly baseOnly: "refuse" | "copy";
  /** May tensors that are no embeddings have other shapes than raw's? */
  readonly anyShape: boolean;
  /** The driver's tensor is kept where shapes differ by anything but so many new rows. */
  readonly elseVerbatim: number | null;
}

/** An output tensor and what it is made of. */
export interface Pair extends Decision {
  readonly name: string;
  readonly driver: StoredTensor;
  /** The driver's part is played by a tensor of raw: only raw has it, and it is kept. */
  readonly fromRaw?: true;
  readonly raw: RawSide | null;
  /** Of raw. */
  readonly mean: Term["mean"];
  /** What the script adds besides, in this order: tensors of the side that it does not add into. */
  readonly again?: readonly { readonly tensor: StoredTensor; readonly mean: Term["mean"] }[];
}

/** What became of one name. */
export type Outcome =
  | { readonly kind: "paired"; readonly pair: Pair; readonly step?: Step }
  | { readonly kind: "left out"; readonly step?: Step }
  /** `problem` names the tensor, both sides and what does not fit. */
  | { readonly kind: "mismatch"; readonly problem: string; readonly of: Unlike };

/** In what two sides differ. "new rows": in nothing but rows that only the driver has. */
export type Unlike = "the driver only" | "the base only" | "dtypes" | "shapes" | "new rows";

/** What pairing did with a name beyond pairing it with the same one: the user is told of it (steps.ts). */
export interface Step {
  readonly kind: StepKind;
  readonly name: string;
  /** What else the note says: a shape, another name. */
  readonly raw?: string;
  readonly driver?: string;
}

export type StepKind =
  /** What is tied to a tensor that the base lacks stands for it: its embedding for its head, or the other way round. */
  | "tied"
  /** Head and embedding are one matrix, which the script meets under both names. */
  | "met twice"
  | "base met twice"
  /** The driver's head or embedding is added into the base's one matrix for both. */
  | "met in the base"
  /** Buffers that models compute for themselves: only the driver has it, only the base, or both in dtypes or shapes that do not meet. */
  | "buffer of the driver"
  | "buffer of the base"
  | "buffer unlike the base's"
  /** Only the base has it, and transformers' class of this model has no place for it. */
  | "unused"
  /** A tensor of another shape than the base's, taken as it is. */
  | "of another shape"
  /** Only the driver has it: kept as it is; left out, as the script does. */
  | "kept"
  | "dropped"
  /** The base's head, where the driver is a model without it. */
  | "head of the base"
  /** Only the base has it, and it is copied. */
  | "copied";

export type RawSide =
  | { readonly kind: "stored"; readonly tensor: StoredTensor }
  | { readonly kind: "computed"; readonly operand: Operand };

/** Buffers that models recompute: never missing. Anchored: `attention.dense.bias` is a weight. */
export const INV_FREQ = /(^|\.)rotary_emb\.inv_freq$/;
