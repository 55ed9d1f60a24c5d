/**
 * chain make: writes the changes from one model to the next as the next version of a chain, or the new model itself as a full version. It writes
 * as slime does. Readers wait for the index, so the index gets its name after the shards.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { chainError, versionText } from "../../chain/chain.js";
import { type Checkpoint, openCheckpoint } from "../../checkpoint/checkpoint.js";
import { widthOf } from "../../engine/job/operand.js";
import { refuseDiff } from "../../evidence/guards.js";
import { refuseStep } from "../../evidence/identify.js";
import type { ChecksumName } from "../../formats/checksum.js";
import { quote } from "../../formats/quote.js";
import { refuseNoEncoder } from "../../formats/zstd/encoder.js";
import { make } from "../../make/make.js";
import { sourceOf } from "../../manifest/manifest.js";
import { DEFAULTS } from "../../plan/defaults.js";
import { storedOperand } from "../../plan/operands.js";
import { listInputs, type PlanInput } from "../../plan/plan.js";
import { type PayloadEntry, type PayloadPlan, planPayloads } from "../../plan/plan-payloads.js";
import { asBytes } from "../../plan/plan-update.js";
import { withHub } from "../../run/inputs.js";
import { refuseRemote, refuseSameFiles } from "../../run/preflight.js";
import type { RunResult } from "../../run/run-plan.js";
import { makeFull } from "./make/full.js";
import { type Head, nextVersion } from "./make/next.js";
import { refuseUnlike } from "./make/unlike.js";
import type { ChainMakeOptions, Opened } from "./options.js";
import { codedKeysOf, type UpdateReport, updateRecipe } from "./update-recipe.js";

export type { ChainMakeOptions } from "./options.js";

/** Makes the next version of a chain. @throws {WeightDiffError} with any code of errors.ts. */
export async function chainMake(options: ChainMakeOptions): Promise<UpdateReport> {
  if (options.full !== true && options.encoding !== "exact-compressed") {
    refuseNoEncoder();
  }
  return withHub(options, makeWith);
}

/** Our own key in the index. Its value identifies the model on which the update is made. */
const BASE_KEY = "weight_diff_base_sha256";

async function makeWith(options: Opened<ChainMakeOptions>): Promise<UpdateReport> {
  const started = performance.now();
  const { hub, chain, encoding = "xor", checksum = "xxh3-128", maxShardSize = DEFAULTS.maxShardSize } = options;
  refuseRemote(chain);
  const tuned = await openCheckpoint(options.tuned, hub);
  refuseStep(tuned, "tuned model");
  refuseDiff("tuned model", tuned, null);
  const next = await nextVersion(options);
  const output = join(chain, `weight_v${versionText(next.number)}`);
  if (options.full === true) {
    return makeFull({ started, tuned, next, output }, options);
  }
  if (encoding === "exact-compressed") {
    options.onNote?.(`the trainers' readers do not know ${encoding}: only weight-diff reads this step`);
  }
  const raw = await openCheckpoint(options.raw, hub);
  refuseStep(raw, "base");
  refuseDiff("base", raw, null);
  await refuseSameFiles(raw, tuned);
  refuseUnlike(raw, tuned);
  const { head } = next;
  const inputs: readonly PlanInput[] = [...listInputs(raw, "raw"), ...listInputs(tuned, "tuned")];
  const plan = planPayloads(entriesOf(raw, tuned, inputs, checksum, head), inputs, { encoding, maxShardSize });
  const recipe = updateRecipe(
    {
      started,
      plan,
      output,
      sources: [raw, tuned],
      head: { version: versionText(next.number), baseVersion: versionText(next.base), encoding, checksum },
      made: { raw: sourceOf(raw), tuned: sourceOf(tuned), chain: null },
      checksumOf: (_, { changes, checksums }) => (changes === true ? (checksums?.[0] ?? null) : null),
      judge({ name, baseSums }, { baseChecksums = [] }) {
        const stated = head?.sums.get(name);
        const found = stated === undefined ? undefined : baseChecksums[baseSums.indexOf(stated.algorithm)];
        if (head !== null && stated !== undefined && found !== undefined && found !== stated.hex) {
          throw chainError(
            "wrong-base",
            `tensor ${quote(name)} of the model before is not as in version ${head.id}: ${stated.algorithm} ${found}, and version ${stated.version} states ${stated.hex}`,
            "an update is made on the newest version: materialise that one, and give it",
            { file: raw.path, tensor: name, version: head.id },
          );
        }
      },
      own: (run, changed) => new Map([[BASE_KEY, baseDigest(raw, plan, run)], ...codedKeysOf(encoding, raw, changed)]),
    },
    options,
  );
  return make(recipe, options);
}

function entriesOf(
  raw: Checkpoint,
  tuned: Checkpoint,
  inputs: readonly PlanInput[],
  checksum: ChecksumName,
  head: Head | null,
): readonly PayloadEntry[] {
  const place = new Map(inputs.map(({ role, path }, index) => [role + path, index]));
  const operandOf = (model: Checkpoint, role: "raw" | "tuned", name: string) => {
    const tensor = model.stateDict.get(name);
    if (tensor === undefined) {
      throw new TypeError(`${name} is not in ${role}`);
    }
    const { dtype, start } = asBytes(storedOperand(tensor, ({ path }) => place.get(role + path) ?? 0));
    if (start.operand.kind !== "stored") {
      throw new TypeError(`${name} is not stored`);
    }
    return { operand: start.operand, width: widthOf(dtype) };
  };
  return [...raw.stateDict.keys()].map((name) => {
    const { operand, width } = operandOf(raw, "raw", name);
    const bytes = width * operand.shape.reduce((product, extent) => product * extent, 1);
    const stated = head?.sums.get(name)?.algorithm;
    return {
      ...{ name, bytes, width, base: operand, tuned: operandOf(tuned, "tuned", name).operand },
      ...{ steps: [], most: bytes, sums: [checksum] },
      baseSums: [...new Set<ChecksumName>(["sha256", ...(stated === undefined ? [] : [stated])])],
    };
  });
}

/** sha256 over one line for each tensor, `name TAB dtype TAB [2, 3] TAB sha256 LF`, sorted by bytes (docs/chains.md 3). */
function baseDigest({ stateDict }: Checkpoint, { jobs }: PayloadPlan, { results }: RunResult): string {
  const lines = jobs.map(({ id, name, baseSums }) => {
    const { dtype, shape } = stateDict.get(name) ?? { dtype: "", shape: [] };
    const sha256 = results.get(id)?.baseChecksums?.[baseSums.indexOf("sha256")] ?? "";
    return Buffer.from(`${name}\t${dtype}\t[${shape.join(", ")}]\t${sha256}\n`);
  });
  return createHash("sha256")
    .update(Buffer.concat(lines.sort(Buffer.compare)))
    .digest("hex");
}
