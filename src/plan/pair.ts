/** The options of pairing, and its result: each output tensor with the tensors of both sides that it is made from. */
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
  /** The output's dtype. */
  readonly dtype: Dtype;
  /** The arithmetic, where the rule is "blend". */
  readonly blend?: Blend;
  /** Does the script add into raw's tensor? Else it adds into the driver's. */
  readonly intoRaw?: true;
}

export interface PairingOptions {
  readonly role: DriverRole;
  /** @returns null if there is no rule for these two. raw is null where only the driver has the name. */
  decide(name: string, driver: StoredTensor, raw: StoredTensor | null): Decision | null;
  /** What becomes of rows that only the driver has, and whether the caller asked for that rule. */
  readonly newRows: NewRows | "verbatim";
  readonly rowsAsked: boolean;
  /** How many rows may be new. */
  readonly maxNewRows: number;
  /** The script's own way with names; left out where it loops over the driver's names and raw has the same ones. */
  readonly names?: NameRules;
  /** rope_theta of the base, for rotary buffers that its files lack. */
  readonly ropeTheta: number;
  /** Are each side's head and embedding one matrix once it is loaded? Null where neither config nor files tell (evidence/ties.ts). */
  readonly rawTied: boolean | null;
  readonly driverTied: boolean | null;
  /** How often the base is added to each name, where the diff itself says so; once to names that it does not list. */
  readonly met?: ReadonlyMap<string, number>;
  /** Left out where no config says anything. */
  readonly models?: ModelKinds;
  /** Is a head kept that only the driver has, or that has another shape there? */
  readonly keepsHeads?: boolean;
}

/** What the configs say of the models. It tells buffers from parameters, and which heads there must be. Null where a config does not say. */
export interface ModelKinds {
  /** model_type; the driver's is preferred. */
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

/** How the names of both sides are paired, and what becomes of names that only one side has. */
export interface NameRules {
  /** Raw's name for a name of the driver; null where it has none. */
  rawName(name: string): string | null;
  /** The text that raw's names have before them in the driver. */
  readonly prefix: string;
  /** Is the driver's tensor added to raw's (or raw's subtracted), where there is one? */
  isSummed(name: string): boolean;
  readonly order: "diff" | "raw";
  readonly loading: Loading;
  fate(name: string): "refuse" | "keep" | "drop";
  /** How a tensor that only one side has gets into the output. */
  keep(name: string, tensor: StoredTensor): Decision;
  readonly baseOnly: "refuse" | "copy";
  /** May any tensor have another shape than raw's, not only embeddings? */
  readonly anyShape: boolean;
  /** The driver's tensor is kept where shapes differ, unless it has exactly so many more rows. */
  readonly elseVerbatim: number | null;
}

/** An output tensor and what it is made of. */
export interface Pair extends Decision {
  readonly name: string;
  readonly driver: StoredTensor;
  /** Set where only raw has the tensor, and it is kept: then `driver` is raw's tensor. */
  readonly fromRaw?: true;
  readonly raw: RawSide | null;
  /** Of raw. */
  readonly mean: Term["mean"];
  /** Further tensors that the script adds, in this order, all of the side that it does not add into. */
  readonly again?: readonly { readonly tensor: StoredTensor; readonly mean: Term["mean"] }[];
}

/** What became of one name. */
export type Outcome =
  | { readonly kind: "paired"; readonly pair: Pair; readonly step?: Step }
  | { readonly kind: "left out"; readonly step?: Step }
  /** `problem` names the tensor, both sides and what does not fit. */
  | { readonly kind: "mismatch"; readonly problem: string; readonly of: Unlike };

/** How the two sides differ. "new rows": only by rows that the driver has and raw has not. */
export type Unlike = "the driver only" | "the base only" | "dtypes" | "shapes" | "new rows";

/** What pairing did with a name, other than pairing it with the same name. steps.ts tells the user of it. */
export interface Step {
  readonly kind: StepKind;
  readonly name: string;
  /** What else the note says: a shape, another name. */
  readonly raw?: string;
  readonly driver?: string;
}

export type StepKind =
  /** The base lacks the tensor; the one that it is tied to stands for it: the embedding for the head, or the other way round. */
  | "tied"
  /** Head and embedding are one matrix, which the script meets under both names. */
  | "met twice"
  | "base met twice"
  /** The driver's head or embedding is added into the base's one matrix for both. */
  | "met in the base"
  /** A buffer that models compute for themselves: only the driver has it; only the base has it; or both have it, in dtypes or shapes without arithmetic. */
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
  /** Only the base has it; it is copied. */
  | "copied";

export type RawSide =
  | { readonly kind: "stored"; readonly tensor: StoredTensor }
  | { readonly kind: "computed"; readonly operand: Operand };

/** Rotary buffers, which models recompute: a side that lacks them is not incomplete. */
export const INV_FREQ = /(^|\.)rotary_emb\.inv_freq$/;
