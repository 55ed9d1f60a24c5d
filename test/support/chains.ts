/** The vectors of fixtures/chains: chains that must be read, to the digest, and chains that must be refused, by name. gen.py writes them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ChainMaterializeOptions } from "../../src/commands/chain/options.js";
import type { Dtype } from "../../src/formats/dtype.js";
import { safetensors, writeFiles } from "./checkpoints.js";
import { ROOT } from "./fixtures.js";

export const CHAINS = join(ROOT, "fixtures/chains");

interface Formula {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly seed: number;
}

export interface ChainCase {
  readonly name: string;
  readonly about: string;
  readonly layout: string;
  readonly chain: string;
  readonly base: string | null;
  readonly args?: {
    readonly to?: string;
    readonly base_version?: string;
    readonly format?: "arc_v1" | "arc_v2" | "arc_v3";
  };
  readonly base_formula?: Readonly<Record<string, Formula>>;
  readonly fold?: {
    readonly from: string;
    readonly to: string;
    readonly encoding: "xor" | "overwrite";
    readonly needs_base?: boolean;
    readonly payload_sha256: Readonly<Record<string, string>>;
  };
  readonly expect: {
    readonly exit: readonly number[];
    readonly to?: string;
    readonly versions?: Readonly<Record<string, string>>;
    readonly warn?: readonly string[];
    readonly why?: readonly string[];
    readonly version?: string;
    readonly tensor?: string;
    readonly file?: string;
  };
}

export interface Expected {
  readonly root: string;
  readonly cases: readonly ChainCase[];
  readonly states: Readonly<
    Record<string, { readonly sha256: string; readonly tensors: Readonly<Record<string, string>> }>
  >;
}

/** Those that follow what publishers write, and those that odd and hostile files suggest, which fixtures/chains/odd.py makes. */
export const VECTORS: Expected = vectorsIn("");
export const ODD_VECTORS: Expected = vectorsIn("odd");

function vectorsIn(folder: string): Expected {
  const root = join(CHAINS, folder);
  return { root, ...(JSON.parse(readFileSync(join(root, "expect.json"), "utf8")) as Omit<Expected, "root">) };
}

/** The digests of all tensors in a state. */
export function stateOf(label: string, { states } = VECTORS): Readonly<Record<string, string>> {
  return states[label]?.tensors ?? {};
}

/** The case's chain, base and arguments. @param folder for a base that is made by its formula. */
export async function optionsOf(
  { chain, base, args = {}, base_formula: formula }: ChainCase,
  folder: string,
  root = CHAINS,
): Promise<ChainMaterializeOptions> {
  const raw = formula === undefined ? (base === null ? null : join(root, base)) : await formulaBase(formula, folder);
  return {
    chain: join(root, chain),
    raw,
    tuned: null,
    ...(args.to === undefined ? {} : { to: Number(args.to) }),
    ...(args.base_version === undefined ? {} : { baseVersion: Number(args.base_version) }),
    ...(args.format === undefined ? {} : { format: args.format }),
  };
}

async function formulaBase(formula: Readonly<Record<string, Formula>>, folder: string): Promise<string> {
  const tensors = Object.entries(formula).map(([name, { dtype, shape, seed }]) => {
    const bytes = Uint8Array.from({ length: 2 * (shape[0] ?? 0) }, (_, i) => (Math.imul(i, 2654435761) + seed) >>> 24);
    return [name, dtype, shape, bytes] as const;
  });
  return writeFiles(join(folder, "base"), { "model.safetensors": safetensors(...tensors) });
}
