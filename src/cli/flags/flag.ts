/**
 * The type of a row in the table of flags. A row has everything about a flag: what commander reads, which values it takes, which field of
 * the options it sets, and the text of the help. The types make sure that the field exists and takes such a value.
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

/** How to show the result. These flags belong to the command line and not to the library. */
export interface Look {
  /** The default is "text". */
  readonly format?: "text" | "json" | "github";
  readonly quiet?: boolean;
  readonly progress?: boolean;
  /** Make stderr readable for programs. */
  readonly events?: boolean;
  /** verify: the file to which a summary in Markdown is appended. */
  readonly summary?: string;
  /** inspect: list every tensor. */
  readonly tensors?: boolean;
  /** recover, make-diff, convert: print the plan, cut into so many parts, and stop. */
  readonly plan?: number;
}

/** What each command's flags ask for: the options of its function, and how to show the result. */
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

/** The schedulers that can run the parts of a divided run. */
export const ENGINES = ["slurm", "kubernetes"] as const;

/** The job for a scheduler. */
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
  /** The command line to divide, without the part. */
  readonly words: readonly string[];
}

/** Shells for which there are completions. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;
export type Shell = (typeof SHELLS)[number];

export type CommandName = keyof Asked;

export const GROUPS = ["inputs", "output", "scheme", "checks", "hub", "run"] as const;
export type Group = (typeof GROUPS)[number];

/** A row, as the rest of the command line sees it. */
export interface Flag {
  /** The spelling of help and messages: that of the scripts' model cards, or else with "-". On a command line "_" and "-" are the same. */
  readonly name: string;
  /** Names of the flag in other scripts. */
  readonly aliases?: readonly Alias[];
  readonly commands: readonly CommandName[];
  readonly group: Group;
  readonly help: string;
  /** The field that it sets; "hub.offline" is a field in a field. Null for flags that `note` or paths.ts explains. */
  readonly option: string | null;
  /** The placeholder for its value in the help: "BASE". A switch has none. */
  readonly takes?: string;
  /** The schema of its value. A switch has `sets` instead. A value that becomes undefined counts as not given. */
  readonly schema?: z.ZodType;
  readonly sets?: string | boolean | null;
  /** The possible words, if the schema accepts any text because a better error comes later. */
  readonly choices?: readonly string[];
  /** May it be given without its value? */
  readonly bare?: true;
  /** May it be repeated? */
  readonly repeated?: true;
  /** What happens without the flag, for the help. */
  readonly default?: string;
  /** Set if the flag must be given. The text tells what to give. */
  readonly required?: string;
  /** A word without a flag. Arguments come in the order of the table. */
  readonly argument?: true;
  /** Accepted, but not shown in the help: it has no effect here, as `note` explains, or it stands for other flags. */
  readonly hidden?: true;
  readonly note?: string;
}

/** The name of a flag in another script. */
export interface Alias {
  readonly name: string;
  /** argparse accepts every unambiguous beginning. This is the shortest one that people use. */
  readonly shortest?: string;
}

/** A row of the table. `option` is a field in the options of all `commands`. */
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

/** A flag of other scripts without effect here, and what to tell a user who passes it. */
export function foreignFlag(name: string, commands: readonly CommandName[], note?: string): Flag {
  const said = note === undefined ? {} : { note: `--${name}: ${note}`, bare: true as const };
  return { name, commands, ...said, takes: "VALUE", group: "run", help: "", option: null, hidden: true };
}

/** Fields with options of their own. */
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
