/**
 * What a row of the table of flags says. A row is all there is to a flag: what commander reads, what its value may be, which field
 * of the options it sets, and what the help says of it. The types see to it that the field is there, and takes such a value.
 */
import type { z } from "zod";
import type {
  ChainFoldOptions,
  ChainInspectOptions,
  ChainMakeOptions,
  ChainMaterializeOptions,
  ChainVerifyOptions,
} from "../../commands/chain/options.js";
import type { ConvertOptions } from "../../commands/convert.js";
import type { FinalizeOptions } from "../../commands/finalize.js";
import type { InspectOptions } from "../../commands/inspect.js";
import type { MakeDiffOptions } from "../../commands/make-diff.js";
import type { PushOptions, TargetOptions } from "../../commands/push/target.js";
import type { RecoverOptions } from "../../commands/recover.js";
import type { ReportOptions } from "../../commands/report.js";
import type { SignOptions } from "../../commands/sign.js";
import type { StatusOptions } from "../../commands/status.js";
import type { TryOptions } from "../../commands/try/options.js";
import type { VerifyOptions } from "../../commands/verify.js";
import type { XorCommandOptions } from "../../commands/xor.js";
import type { HubOptions } from "../../hub/settings.js";

/** How the result is shown: of the flags, what is the command line's own. */
export interface Look {
  /** "text" if nothing else is asked for. */
  readonly format?: "text" | "json" | "github";
  readonly quiet?: boolean;
  readonly progress?: boolean;
  /** stderr for programs. */
  readonly events?: boolean;
  /** verify: a file that gets a summary in Markdown. */
  readonly summary?: string;
  /** inspect: list every tensor. */
  readonly tensors?: boolean;
  /** recover, make-diff, convert: stop at the plan, and print it, cut into so many parts. */
  readonly plan?: number;
}

/** What each command's flags ask for: the options of its function, and how to show what it gives. */
export interface Asked {
  readonly recover: Asking<RecoverOptions> & { readonly testInference?: boolean };
  readonly "make-diff": Asking<MakeDiffOptions> & { readonly push?: Pick<TargetOptions, "repo" | "private"> };
  readonly convert: Asking<ConvertOptions>;
  readonly xor: Asking<XorCommandOptions>;
  readonly verify: Asking<VerifyOptions>;
  readonly inspect: Asking<InspectOptions>;
  readonly "chain-inspect": Asking<ChainInspectOptions>;
  readonly "chain-verify": Asking<ChainVerifyOptions>;
  readonly "chain-materialize": Asking<ChainMaterializeOptions>;
  readonly "chain-fold": Asking<ChainFoldOptions>;
  readonly "chain-make": Asking<ChainMakeOptions>;
  readonly report: Asking<ReportOptions>;
  readonly try: Asking<TryOptions>;
  readonly push: Asking<PushOptions> & { readonly branch?: string };
  readonly sign: Asking<SignOptions & { readonly hub?: HubOptions }>;
  readonly finalize: Asking<FinalizeOptions>;
  readonly status: StatusOptions & { readonly look: Look };
  readonly batch: BatchRequest & { readonly look: Look };
  readonly schemes: { readonly look: Look };
  readonly completion: { readonly shell: Shell; readonly look: Look };
}
type Asking<O> = Omit<O, "hub"> & { readonly hub: HubOptions; readonly look: Look };

/** What runs the parts of a divided run. */
export const ENGINES = ["slurm", "kubernetes"] as const;

/** A job for a scheduler. */
export interface BatchRequest {
  readonly engine: (typeof ENGINES)[number];
  readonly parts: number;
  readonly atOnce?: number;
  readonly name?: string;
  readonly cpus?: number;
  readonly memory?: string;
  readonly time?: string;
  readonly partition?: string;
  readonly image?: string;
  readonly claim?: string;
  readonly mount?: string;
  /** The command line that is divided, without the part. */
  readonly words: readonly string[];
}

/** Shells that completions are written for. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;
export type Shell = (typeof SHELLS)[number];

export type CommandName = keyof Asked;

export const GROUPS = ["inputs", "output", "scheme", "checks", "hub", "run"] as const;
export type Group = (typeof GROUPS)[number];

/** A row as the rest of the command line sees it. */
export interface Flag {
  /** As help and messages spell it: as the scripts' model cards do, else with "-". On a command line "_" and "-" are the same. */
  readonly name: string;
  /** Names that other scripts have for it. */
  readonly aliases?: readonly Alias[];
  readonly commands: readonly CommandName[];
  readonly group: Group;
  readonly help: string;
  /** The field it sets, "hub.offline" for one within another; null: see `note`, or `paths.ts`. */
  readonly option: string | null;
  /** What it takes, as the help writes it: "BASE"; a switch takes nothing. */
  readonly takes?: string;
  /** Of what it takes; a switch has `sets` instead. What comes out as undefined counts as not given. */
  readonly schema?: z.ZodType;
  readonly sets?: string | boolean | null;
  /** Words that it may be, where the schema takes any text because a better error is given later. */
  readonly choices?: readonly string[];
  /** May it stand without its value? */
  readonly bare?: true;
  /** May it be repeated? */
  readonly repeated?: true;
  /** What the function takes where the flag is not given, for the help. */
  readonly default?: string;
  /** Must be given: what to give. */
  readonly required?: string;
  /** A word without a flag: arguments come in the table's order. */
  readonly argument?: true;
  /** Taken, and not shown in the help: it means nothing here, which `note` says, or stands for others. */
  readonly hidden?: true;
  readonly note?: string;
}

/** The name that a script has for a flag. */
export interface Alias {
  readonly name: string;
  /** argparse takes every unambiguous beginning: the shortest that people use. */
  readonly shortest?: string;
}

/** A row of the table: `option` is a field that the options of all `commands` have. */
export function flag<const C extends CommandName, const P extends FieldOf<Asked[C]>>(
  row: Omit<Flag, "commands" | "option" | "schema" | "sets"> & {
    readonly commands: readonly C[];
    readonly option: P;
    readonly schema?: z.ZodType<ValueOf<Asked[C], P> | undefined>;
    readonly sets?: ValueOf<Asked[C], P> & (string | boolean | null);
  },
): Flag {
  return row as Flag;
}

/** A flag of other scripts that means nothing here, and what to tell whoever passes it. */
export function foreignFlag(name: string, commands: readonly CommandName[], note?: string): Flag {
  const said = note === undefined ? {} : { note: `--${name}: ${note}`, bare: true as const };
  return { name, commands, ...said, takes: "VALUE", group: "run", help: "", option: null, hidden: true };
}

/** Fields that hold options of their own. */
type Nested = "look" | "hub" | "custom" | "push";
type FieldOf<O> =
  | (keyof O & string)
  | { readonly [K in keyof O & Nested]: `${K}.${keyof NonNullable<O[K]> & string}` }[keyof O & Nested];
type ValueOf<O, P extends string> = P extends keyof O
  ? O[P]
  : P extends `${infer K}.${infer Rest}`
    ? K extends keyof O
      ? ValueOf<NonNullable<O[K]>, Rest>
      : never
    : never;
