/** chain fold: makes one step of several steps of a chain, with the same effect. It helps those who join late, and archives of every k-th version. */
import { join } from "node:path";
import type { Say } from "../../advice.js";
import { chainError, type Version, versionText } from "../../chain/chain.js";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { defaultThreads } from "../../engine/cpu.js";
import { WeightDiffError } from "../../errors.js";
import type { ChecksumName } from "../../formats/checksum.js";
import { quote } from "../../formats/quote.js";
import { refuseNoEncoder } from "../../formats/zstd/encoder.js";
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
import type { ChainFoldOptions, Opened } from "./options.js";
import { chainOf, placeOf } from "./recipe.js";
import { refuseRepublished } from "./republished.js";
import { openSource, readPath } from "./source.js";
import { codedKeysOf, type UpdateReport, updateRecipe } from "./update-recipe.js";
import { refuseOtherWhole, statesWhole } from "./whole.js";

export type { ChainFoldOptions } from "./options.js";
export type { UpdateReport } from "./update-recipe.js";

/** Folds steps into one. @throws {WeightDiffError} with any code of errors.ts; of a chain `why` says which rule it breaks. */
export async function chainFold(options: ChainFoldOptions): Promise<UpdateReport> {
  if ((options.encoding ?? null) !== null && options.encoding !== "exact-compressed") {
    refuseNoEncoder();
  }
  return withHub(options, foldWith);
}

async function foldWith(options: Opened<ChainFoldOptions>): Promise<UpdateReport> {
  const started = performance.now();
  const { hub, raw = null, from = DEFAULTS.baseVersion, onNote = () => {} } = options;
  refuseRemote(options.output);
  const asked = { ...options, baseVersion: from, baseOption: "from" } as const;
  const found = await readPath(asked, hub);
  const { chain, path } = found;
  const { steps, start, target } = path;
  for (const note of [...chain.notes, ...path.notes]) {
    onNote(note);
  }
  if (steps.length === 0) {
    throw new WeightDiffError(
      "USAGE",
      `version ${target.id} is a full one: nothing is to be folded`,
      "use it as it is",
      {
        at: { file: chain.path, version: target.id },
        advice: chain.versions.some(({ number }) => number > target.number)
          ? [{ to: "choose an update after it", option: "to" }]
          : [],
      },
    );
  }
  const choice = chooseFold(steps, { encoding: options.encoding ?? null, checksum: options.checksum ?? null });
  if (choice.encoding !== "exact-compressed") {
    refuseNoEncoder();
  }
  const payloads = steps.flatMap((version) => payloadInputs(version));
  // A given base is judged, even if the fold does not need it.
  const isJudged = raw !== null && start === null;
  const free = choice.needs ?? (isJudged ? null : await freeEntries(steps, payloads, choice.encoding));
  let base: Checkpoint | null = null;
  let whole: (() => Promise<void>) | null = null;
  let inputs: readonly PlanInput[] = payloads;
  let entries: readonly PayloadEntry[];
  if (free === null || typeof free === "string") {
    if (free !== null && raw === null && start === null) {
      refuseWithoutBase(free);
    }
    const source = await openSource(found, raw, asked, hub);
    base = source.model;
    const every = planUpdate(base, steps, source.sums, { ...DEFAULTS, everySum: true });
    if (source.isBase) {
      await judgeBase(source, every, options);
    }
    whole = statesWhole(source) === null ? null : () => refuseOtherWhole(source, every, options);
    if (whole === null) {
      warnOfUnstated(steps, options.onWarning ?? (() => {}));
    }
    inputs = [...listInputs(base, "raw"), ...payloads];
    entries = baseEntries(base, steps, inputs, choice.checksum);
  } else {
    onNote("the base is not needed: the folded step states the steps' own checksums, and none of them is computed");
    entries = free;
  }
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
  // Without a base, all overwrite steps are open at the same time, each with two decoders.
  const open = base === null && choice.encoding === "overwrite" ? 2 * steps.length : 1;
  const threads = Math.min(options.threads ?? defaultThreads(), threadsWith(open));
  return make(recipe, open === 1 ? options : { ...options, threads });
}

interface Stated {
  readonly algorithm: ChecksumName;
  readonly hex: string;
  readonly version: string;
  readonly file: string;
}

/** The checksum by tensor that the last step to change the tensor states. */
function lastStated(steps: readonly Version[]): ReadonlyMap<string, Stated> {
  return new Map(
    steps.flatMap(({ id, payloads }) =>
      [...payloads].flatMap(([name, { checksum, shard }]) =>
        checksum === null
          ? []
          : [[name, { algorithm: checksum.algorithm, hex: checksum.hex, version: id, file: shard.path }] as const],
      ),
    ),
  );
}

/** Warns of tensors without a checksum: the folded step states one of whatever they have become. */
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
