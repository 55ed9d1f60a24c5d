/**
 * The error for two models that do not fit each other. It states the likely cause, by the mistakes that users make, and the remedy, and
 * lists every tensor that does not fit.
 */

import type { Advice } from "../advice.js";
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { MERGE_ADAPTER } from "../checkpoint/nothing-here.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import { EMBEDDING } from "../known/embeddings.js";
import { firstLlama } from "../known/models.js";
import { ADAPTER } from "../known/names.js";
import { FAMILIES } from "../scheme/families.js";
import type { DriverRole, Outcome, PairingOptions } from "./pair.js";

type Mismatch = Extract<Outcome, { kind: "mismatch" }>;

interface Unfit {
  readonly raw: Checkpoint;
  readonly driver: Checkpoint;
  readonly role: DriverRole;
  readonly mismatches: readonly Mismatch[];
}

interface Explanation {
  /** Null if nothing tells. */
  readonly cause: string | null;
  readonly remedy?: string;
  readonly advice?: readonly Advice[];
}

/** The name of a side in messages. */
export function sideName(role: DriverRole): string {
  return role === "tuned" ? "tuned model" : role;
}

/** The error, with the cause and the remedy. `problems` has a line for each tensor. */
export function mismatchError(
  raw: Checkpoint,
  driver: Checkpoint,
  mismatches: readonly Mismatch[],
  options: PairingOptions,
): WeightDiffError {
  const { role } = options;
  const unfit = { raw, driver, role, mismatches };
  const { cause, remedy, advice } =
    newRows(unfit, options) ?? ownPrefix(unfit, options) ?? EXPLANATIONS.reduce(firstOf(unfit), null) ?? unknown(unfit);
  const first = mismatches[0]?.problem ?? "";
  const what = mismatches.length === 1 ? first : `${mismatches.length} tensors`;
  const why = cause ?? (mismatches.length === 1 ? null : `the first of them: ${first}`);
  return new WeightDiffError(
    "MISMATCH",
    `base ${raw.path} and ${sideName(role)} ${driver.path} do not fit: ${what}${why === null ? "" : `${cause === null ? ", " : ": "}${why}`}`,
    remedy,
    { problems: mismatches.map(({ problem }) => problem), ...(advice === undefined ? {} : { advice }) },
  );
}

type Explain = (unfit: Unfit) => Explanation | null;

const firstOf =
  (unfit: Unfit) =>
  (found: Explanation | null, explain: Explain): Explanation | null =>
    found ?? explain(unfit);

/** Only new rows are refused. The base may be right, so the advice is how to take the rows. */
function newRows({ mismatches }: Unfit, { role, newRows: rule, rowsAsked }: PairingOptions): Explanation | null {
  if (mismatches.some(({ of }) => of !== "new rows")) {
    return null;
  }
  const advice =
    role === "diff" && rule === "refuse" && !rowsAsked
      ? [
          { to: "follow the script that made the diff", option: "scheme" },
          { to: "take the rows as the diff has them", option: "rows", value: "zero" },
        ]
      : [{ to: "allow them", option: "rows", value: "mean" }];
  return { cause: null, advice };
}

/** The scheme removes a prefix from the diff's names, but the base's names have the same prefix. Then the scheme is wrong, not the base. */
function ownPrefix({ raw, driver }: Unfit, { names }: PairingOptions): Explanation | null {
  const prefix = names?.prefix ?? "";
  const both = [...raw.stateDict.keys()].some((name) => name.startsWith(prefix) && driver.stateDict.has(name));
  return prefix === "" || !both
    ? null
    : {
        cause: `the base's own names begin with ${quote(prefix)}, which the scheme removes from the diff's`,
        advice: [{ to: "follow the script that made the diff", option: "scheme" }],
      };
}

/** Tried in this order; the first one that applies is reported. Each one rests on what these two checkpoints hold. */
const EXPLANATIONS: readonly Explain[] = [
  adapters,
  otherSize,
  moreRows,
  prefixed,
  nothingShared,
  otherDepth,
  projector,
  ownTensors,
];

function adapters({ raw, driver, role }: Unfit): Explanation | null {
  for (const [one, other, side] of [
    [driver, raw, sideName(role)],
    [raw, driver, "base"],
  ] as const) {
    const found = [...one.stateDict.keys()].filter((name) => ADAPTER.test(name) && !other.stateDict.has(name));
    const [first] = found;
    if (first !== undefined) {
      const shared = [...one.stateDict.keys()].some((name) => other.stateDict.has(name));
      return shared
        ? {
            cause: `the ${side} has adapters beside the weights that they change: ${quote(first)}${found.length > 1 ? ` and ${found.length - 1} more` : ""}`,
            remedy: "merge them into the model (peft: merge_and_unload) and save it again",
          }
        : {
            cause: `the ${side} is an adapter (LoRA), not a weight diff: none of its names is in the ${side === "base" ? sideName(role) : "base"}, and ${quote(first)} is an adapter's`,
            remedy: MERGE_ADAPTER,
          };
    }
  }
  return null;
}

function otherSize({ raw, driver, role }: Unfit): Explanation | null {
  const [theirs, ours] = [embedding(raw)?.shape[1], embedding(driver)?.shape[1]];
  return theirs === undefined || ours === undefined || theirs === ours
    ? null
    : {
        cause: `the models have different sizes: hidden size ${sizeName(theirs)} in the base, ${sizeName(ours)} in the ${sideName(role)}`,
        remedy: `get the base of the ${sideName(role)}'s size`,
      };
}

function moreRows({ raw, driver, role }: Unfit): Explanation | null {
  const [theirs, ours] = [embedding(raw)?.shape[0], embedding(driver)?.shape[0]];
  return theirs === undefined || ours === undefined || theirs <= ours
    ? null
    : {
        cause: `the base has ${theirs} vocabulary rows, the ${sideName(role)} ${ours}`,
        remedy:
          "use the original base, to which no tokens were added; if the further rows are padding, the base's tokenizer must lie beside its weights to tell",
      };
}

/** The names of one side have a prefix that no loader adds or removes. */
function prefixed({ raw, driver, role }: Unfit): Explanation | null {
  for (const [one, other, side, otherSide] of [
    [raw, driver, "base", sideName(role)],
    [driver, raw, sideName(role), "base"],
  ] as const) {
    const names = [...one.stateDict.keys()];
    const prefix = prefixOf(names, other);
    const met = prefix === null ? 0 : names.filter((name) => other.stateDict.has(prefix + name)).length;
    if (prefix !== null && met > names.length / 2) {
      const scheme = FAMILIES.find((family) => family.scheme.prefix?.text === prefix)?.scheme.name;
      const known = role === "diff" && side === "base" && scheme !== undefined;
      return {
        cause: `${met} of the ${side}'s ${names.length} names start with ${quote(prefix)} in the ${otherSide}`,
        remedy: "give one of the two the names that the other has",
        ...(known ? { advice: [{ to: "read them as its script does", option: "scheme", value: scheme }] } : {}),
      };
    }
  }
  return null;
}

/** The text before the first name that the other side has with a prefix. */
function prefixOf(names: readonly string[], other: Checkpoint): string | null {
  for (const name of names.slice(0, MAX_TRIED)) {
    const found = [...other.stateDict.keys()].find((longer) => longer.endsWith(`.${name}`));
    if (found !== undefined) {
      return found.slice(0, found.length - name.length);
    }
  }
  return null;
}
const MAX_TRIED = 20;

function nothingShared({ raw, driver, role }: Unfit): Explanation | null {
  // Embeddings and heads have the same names in all families.
  const [theirs, ours] = [inner(raw), inner(driver)];
  const [first, own] = [theirs[0], ours[0]];
  return first === undefined || own === undefined || ours.some((name) => raw.stateDict.has(name))
    ? null
    : {
        cause: `apart from embeddings, no name is in both: the base has ${quote(first)}, the ${sideName(role)} ${quote(own)}`,
        remedy:
          "they are of different model families, or the base is not in Hugging Face's layout: get the one that it was made from",
      };
}

function otherDepth({ raw, driver, role }: Unfit): Explanation | null {
  const [theirs, ours] = [layers(raw), layers(driver)];
  return theirs === ours || theirs === 0 || ours === 0
    ? null
    : {
        cause: `the base has ${counted(theirs)}, the ${sideName(role)} ${counted(ours)}`,
        remedy: `get the base of the ${sideName(role)}'s size, or all files of it`,
      };
}

function counted(count: number): string {
  return count === 1 ? "1 layer" : `${count} layers`;
}

/** The layers between an image encoder and the language model (haotian-liu/LLaVA; GPT4RoI). */
const PROJECTOR = /(^|\.)(mm_projector|spi_module)\./;

function projector({ raw, driver, role }: Unfit): Explanation | null {
  return [...driver.stateDict.keys()].some((name) => PROJECTOR.test(name) && !raw.stateDict.has(name))
    ? {
        cause: `language models have no mm_projector: the ${sideName(role)} belongs to the LLaVA family`,
        advice:
          role === "diff"
            ? [{ to: "recover it", option: "scheme", value: "llava" }]
            : [{ to: "keep what only the tuned model has", option: "encoding", value: "exact" }],
      }
    : null;
}

function ownTensors({ role, mismatches }: Unfit): Explanation | null {
  return role !== "tuned" || mismatches.some(({ of }) => of !== "the driver only")
    ? null
    : {
        cause: null,
        advice: [{ to: "keep what only the tuned model has", option: "encoding", value: "exact" }],
      };
}

function unknown({ role }: Unfit): Explanation {
  return {
    cause: null,
    remedy:
      role === "tuned"
        ? "the tuned model was made from another base, or one of the two is incomplete"
        : "the diff was made against another base, or one of the two is incomplete: check the model card for the base it names",
  };
}

function embedding(checkpoint: Checkpoint): StoredTensor | undefined {
  return [...checkpoint.stateDict].find(
    ([name, tensor]) =>
      /(^|\.)(embed_tokens|embed_in|wte|word_embeddings)\.weight$/.test(name) && tensor.shape.length === 2,
  )?.[1];
}

function sizeName(hidden: number): string {
  const name = firstLlama(hidden)?.name;
  return name === undefined ? String(hidden) : `${hidden} (as ${name})`;
}

function layers(checkpoint: Checkpoint): number {
  let most = -1;
  for (const name of checkpoint.stateDict.keys()) {
    most = Math.max(most, Number(/(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d{1,6})\./.exec(name)?.[1] ?? -1));
  }
  return most + 1;
}

/** The names of all tensors except embeddings and heads. */
function inner({ stateDict }: Checkpoint): readonly string[] {
  return [...stateDict.keys()].filter((name) => !EMBEDDING.test(name));
}
