/** The reports of the commands about chains. */
import type { ChainLayoutName } from "../../chain/chain.js";
import type { ChecksumName } from "../../formats/checksum.js";
import type { MakingReport } from "../../make/recipe.js";
import type { MaterializeManifest } from "../../manifest/manifest.js";
import type { UpdatePlan } from "../../plan/plan-update.js";
import type { ChainSource } from "./source.js";
import { statesWhole } from "./whole.js";

/**
 * What a user must know about the result. "unproven": tensors that no step changes come from the base as they are. "tied": the head is tied to an
 * embedding that changes, but the head's own copy does not change. "no-checksums": some changes cannot be checked. "gap": numbers are missing,
 * which the layout allows. "weak": adler32 finds accidental damage, and little else.
 */
export const CHAIN_WARNINGS = ["unproven", "tied", "no-checksums", "gap", "weak"] as const;
export type ChainWarning = (typeof CHAIN_WARNINGS)[number];

/** Which versions were applied to what. */
export interface ChainSummary {
  readonly layout: ChainLayoutName;
  /** The wanted version. */
  readonly version: string;
  /** The full version with which the path starts; null for the base. */
  readonly start: string | null;
  readonly steps: readonly {
    readonly version: string;
    readonly encoding: string | null;
    readonly checksum: string | null;
  }[];
  /** The number of all tensors, of those that a step changes, and of those whose last change was checked. */
  readonly tensors: number;
  readonly touched: number;
  readonly checked: number;
  /** The algorithms of the computed checksums; and how many more checksums the chain states, of tensors that later steps change again. */
  readonly algorithms: readonly ChecksumName[];
  readonly untaken: number;
  /** How many tensors proved the base before anything was written; null without a base. */
  readonly probed: number | null;
  readonly warnings: readonly ChainWarning[];
}

export interface ChainMaterializeReport extends Omit<MakingReport, "newRows" | "work" | "part"> {
  readonly chain: ChainSummary;
  /** "checked": no output was asked for. "planned": a dry run. "verified": the output was already complete. */
  readonly outcome: "materialized" | "checked" | "planned" | "verified";
  /** Every tensor of the output; sha256 (hex) of its contiguous little-endian bytes. */
  readonly tensors: Readonly<MaterializeManifest["tensors"]>;
}

export function summaryOf(
  source: ChainSource,
  plan: UpdatePlan,
  probed: number | null,
  warnings: readonly ChainWarning[],
): ChainSummary {
  const { chain, path, isBase } = source;
  const whole = statesWhole(source) !== null;
  const algorithms = new Set<ChecksumName>(
    [...plan.expected.values()].flatMap((sums) => sums.map(({ checksum }) => checksum.algorithm)),
  );
  return {
    layout: chain.layout,
    version: path.target.id,
    start: isBase ? null : (path.start?.id ?? null),
    steps: path.steps.map(({ id, encoding, checksum }) => ({ version: id, encoding, checksum })),
    tensors: plan.order.length,
    touched: plan.touched,
    checked: whole ? plan.touched : plan.proven,
    algorithms: whole ? ["sha256"] : [...algorithms].sort(),
    untaken: plan.untaken,
    probed,
    warnings,
  };
}
