/** chain fold: several steps of a chain as one, which does the same: for who joins late, and for an archive of every k-th version. */
import { join } from "node:path";
import type { Say } from "../../advice.js";
import { chainError, type Version, versionText } from "../../chain/chain.js";
import { defaultThreads } from "../../engine/cpu.js";
import { WeightDiffError } from "../../errors.js";
import type { ChecksumName } from "../../formats/checksum.js";
import { quote } from "../../formats/quote.js";
import type { UpdateEncoding } from "../../formats/update.js";
import { refuseNoEncoder } from "../../formats/zstd/encoder.js";
import type { Hub } from "../../hub/place.js";
import { make } from "../../make/make.js";
import { sourceOf } from "../../manifest/manifest.js";
import { DEFAULTS } from "../../plan/defaults.js";
import { listInputs, type PlanInput } from "../../plan/plan.js";
import { type PayloadEntry, planPayloads } from "../../plan/plan-payloads.js";
import { payloadInputs, planUpdate } from "../../plan/plan-update.js";
import { withHub } from "../../run/inputs.js";
import { threadsWith } from "../../run/pace.js";
import { refuseRemote } from "../../run/preflight.js";
import { chooseFold, refuseWithoutBase } from "./fold/choose.js";
import { baseEntries, freeEntries } from "./fold/entries.js";
import { judgeBase } from "./judge-base.js";
import type { ChainChoice, ChainFoldOptions, Opened } from "./options.js";
import { chainOf, placeOf } from "./recipe.js";
import { refuseRepublished } from "./republished.js";
import { type ChainSource, openSource, readPath } from "./source.js";
import { codedKeysOf, type UpdateReport, updateRecipe } from "./update-recipe.js";
import { refuseOtherWhole, statesWhole } from "./whole.js";

export type { ChainFoldOptions } from "./options.js";
export type { UpdateReport } from "./update-recipe.js";

/** Folds steps into one. @throws {WeightDiffError} with any code of errors.ts; of a chain `why` says which rule it breaks. */
export async function chainFold(options: ChainFoldOptions): Promise<UpdateReport> {
  if ((options.encoding ?? null) !== null && options.encoding !== "exact-compressed") {
    refuseNoEncoder();
  }
  return withHub(options, (opened) => foldWith(opened).catch(inFoldsWords));
}

/** The version that the base is, is the one after which the fold begins. */
function inFoldsWords(error: unknown): never {
  if (error instanceof WeightDiffError && error.advice.some((one) => "option" in one && one.option === "baseVersion")) {
    const { code, fact, hint, at, why, problems } = error;
    const advice = error.advice.map((one) =>
      "option" in one && one.option === "baseVersion" ? { ...one, to: "fold from there", option: "from" } : one,
    );
    throw new WeightDiffError(code, fact, hint, { at, why, problems, advice, cause: error });
  }
  throw error;
}

async function foldWith(options: Opened<ChainFoldOptions>): Promise<UpdateReport> {
  const started = performance.now();
  const { hub, raw = null, from = DEFAULTS.baseVersion, onNote = () => {} } = options;
  refuseRemote(options.output);
  const found = await readPath({ ...options, baseVersion: from }, hub);
  const { chain, path } = found;
  const { steps, start, target } = path;
  for (const note of [...chain.notes, ...path.notes]) {
    onNote(note);
  }
  if (steps.length === 0) {
    throw new WeightDiffError("USAGE", `version ${target.id} is a full one: nothing is to be folded`, undefined, {
      at: { file: chain.path, version: target.id },
    });
  }
  const choice = chooseFold(steps, { encoding: options.encoding ?? null, checksum: options.checksum ?? null });
  if (choice.encoding !== "exact-compressed") {
    refuseNoEncoder();
  }
  const needs = choice.needs ?? (start === null ? null : await unstatedSize(steps, choice.encoding));
  const source = await openBase(found, needs, raw, { ...options, baseVersion: from });
  const base = source?.model ?? null;
  let whole: (() => Promise<void>) | null = null;
  if (source === null || base === null) {
    onNote("the base is not needed: the folded step states the steps' own checksums, and none of them is computed");
  } else {
    const every = planUpdate(base, steps, source.sums, { ...DEFAULTS, everySum: true });
    if (source.isBase) {
      await judgeBase(source, every, options);
    }
    whole = statesWhole(source) === null ? null : () => refuseOtherWhole(source, every, options);
    if (whole === null) {
      warnOfUnstated(steps, options.onWarning ?? (() => {}));
    }
  }
  const inputs: readonly PlanInput[] = [
    ...(base === null ? [] : listInputs(base, "raw")),
    ...steps.flatMap((version) => payloadInputs(version)),
  ];
  const entries: readonly PayloadEntry[] =
    base === null
      ? await freeEntries(steps, inputs, choice.encoding)
      : baseEntries(base, steps, inputs, choice.checksum);
  const { maxShardSize = DEFAULTS.maxShardSize } = options;
  const first = start?.number ?? from;
  const number = options.renumber === true ? first + 1 : target.number;
  const stated = lastStated(steps);
  const recipe = updateRecipe(
    {
      started,
      plan: planPayloads(entries, inputs, { encoding: choice.encoding, maxShardSize }),
      output: join(options.output, `weight_v${versionText(number)}`),
      sources: steps.map((version) => placeOf(chain, version)),
      head: {
        version: versionText(number),
        baseVersion: versionText(first),
        encoding: choice.encoding,
        checksum: choice.checksum,
      },
      made: {
        raw: base === null ? null : sourceOf(base),
        tuned: null,
        chain: chainOf({ chain, path, baseVersion: first }),
      },
      own: (_, changed) => codedKeysOf(choice.encoding, base, changed),
      ...(whole === null ? {} : { prove: whole }),
      settle: () => refuseRepublished(steps),
      checksumOf: ({ name }, { checksums }) => checksums?.[0] ?? stated.get(name)?.hex ?? null,
      judge({ name, sums }, { checksums = [] }) {
        const wanted = stated.get(name);
        const index = wanted === undefined ? -1 : sums.indexOf(wanted.algorithm);
        if (wanted !== undefined && index >= 0 && checksums[index] !== wanted.hex) {
          throw wrongFold(name, wanted, checksums[index] ?? "");
        }
      },
    },
    options,
  );
  // Steps of overwrite without a base are all open at a time, each with two decoders.
  const open = base === null && choice.encoding === "overwrite" ? 2 * steps.length : 1;
  const threads = Math.min(options.threads ?? defaultThreads(), threadsWith(open));
  return make(recipe, open === 1 ? options : { ...options, threads });
}

/** Why a fold that begins with a full version takes it; null where the frames say enough. */
function unstatedSize(steps: readonly Version[], encoding: UpdateEncoding): Promise<string | null> {
  const inputs = steps.flatMap((version) => payloadInputs(version));
  return freeEntries(steps, inputs, encoding).then(
    () => null,
    (error: unknown) => {
      if (error instanceof WeightDiffError && error.code === "USAGE") {
        return error.fact;
      }
      throw error;
    },
  );
}

/** What the first step is applied to, where the fold takes it; null where it does without. @throws {WeightDiffError} USAGE where it is not there. */
async function openBase(
  found: Awaited<ReturnType<typeof readPath>>,
  needs: string | null,
  raw: string | null,
  options: ChainChoice & { readonly hub: Hub },
): Promise<ChainSource | null> {
  if (needs === null && (raw === null || found.path.start !== null)) {
    return null;
  }
  if (needs !== null && raw === null && found.path.start === null) {
    refuseWithoutBase(needs);
  }
  return openSource(found, raw, options, options.hub);
}

interface Stated {
  readonly algorithm: ChecksumName;
  readonly hex: string;
  readonly version: string;
  readonly file: string;
}

/** By tensor, the checksum of the last step that changes it. */
function lastStated(steps: readonly Version[]): ReadonlyMap<string, Stated> {
  return new Map(
    steps.flatMap(({ id, payloads }) =>
      [...payloads].flatMap(([name, { checksum, shard }]) =>
        checksum === null ? [] : [[name, { ...checksum, version: id, file: shard.path }] as const],
      ),
    ),
  );
}

/** What no checksum covered before, one covers afterwards: of whatever came of it. */
function warnOfUnstated(steps: readonly Version[], warn: Say): void {
  const names = new Set(steps.flatMap(({ payloads }) => [...payloads.keys()]));
  const stated = lastStated(steps);
  const without = [...names].filter((name) => !stated.has(name));
  if (without.length > 0) {
    warn(
      `the chain states no checksum of ${without.length} of ${names.size} tensors: the folded step states what they have become, which nothing has checked`,
    );
  }
}

function wrongFold(name: string, { algorithm, hex, version, file }: Stated, found: string): WeightDiffError {
  return chainError(
    "checksum",
    `tensor ${quote(name)} has ${algorithm} ${found} after version ${version}, and ${hex} is stated`,
    "the base is another one, or an update is damaged: verify the chain with this base",
    { file, tensor: name, version },
  );
}
