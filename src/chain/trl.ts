/**
 * `deltas/step_000004.safetensors` and `anchors/`: TRL, in two forms. In the earlier one (pull request 5417, a46bf262) each step names the step
 * before it, and has one sha256 over the whole model. The later one (5937, 019ac735) has neither, and leaves out steps that change nothing.
 */
import { openCheckpoint } from "../checkpoint/checkpoint.js";
import { enterAnyFolder, type Folder } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import { dtypeBits } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { rangeLength, type TensorInfo } from "../formats/tensor-info.js";
import type { PositionList } from "../formats/update.js";
import type { Hub } from "../hub/place.js";
import {
  chainError,
  type ListedVersion,
  type Payload,
  together,
  type Version,
  type VersionHead,
  versionText,
} from "./chain.js";
import { type ChainLayout, once } from "./layout.js";
import { PayloadMap } from "./payload-map.js";
import { openShardIn, type UpdateShard } from "./shards.js";
import { numberOf } from "./small-file.js";
import { shown } from "./version-index.js";

const STEP_FILE = /^step_(\d{6}|[1-9]\d{6,14})\.safetensors$/;
const AGAIN = "it was cut short, or damaged: fetch this step again, or stop before it";
/** The name of the only tensor in a step of the earlier form that changes nothing. */
const EMPTY = "__empty_delta__";

/** How each form names a tensor's positions and values. */
const FORMS = [
  { positions: ".indices", values: ".values" },
  { positions: ".idx", values: ".val" },
] as const;

export const TRL: ChainLayout = {
  names: ["trl"],
  async find(folder, hub) {
    const [anchors, deltas] = [
      await enterAnyFolder(folder, "anchors", hub),
      await enterAnyFolder(folder, "deltas", hub),
    ];
    const full = stepsOf(anchors);
    const steps = stepsOf(deltas);
    if (full.size + steps.size === 0) {
      return null;
    }
    // If a step has both, the whole model is taken: no earlier step is needed then.
    const numbers = [...new Set([...full.keys(), ...steps.keys()])].sort((a, b) => a - b);
    const versions = numbers.map((number, index): ListedVersion => {
      const [anchor, step] = [full.get(number), steps.get(number)];
      return anchors !== null && anchor !== undefined
        ? anchorVersion(anchors, anchor, number, hub)
        : deltaVersion(deltas as Folder, step ?? "", number, numbers[index - 1] ?? 0);
    });
    return { layout: "trl", versions, pointer: null, gaps: true, notes: [] };
  },
};

function stepsOf(folder: Folder | null): ReadonlyMap<number, string> {
  return new Map(
    [...(folder?.files ?? []).map(({ file }) => file), ...(folder?.broken ?? [])].flatMap((file) => {
      const digits = STEP_FILE.exec(file)?.[1];
      return digits === undefined ? [] : [[Number(digits), file] as const];
    }),
  );
}

function anchorVersion(folder: Folder, file: string, number: number, hub: Hub | null): ListedVersion {
  const id = versionText(number);
  const place = `anchors/${file}`;
  const head: VersionHead = { kind: "full", base: null, encoding: null, checksum: null, index: null };
  return {
    id,
    number,
    place,
    head: async () => head,
    isUnfinished: async () => false,
    async open() {
      const shard = await openShardIn(folder, file, id);
      refuseOtherStep(shard, number, place, id);
      const checkpoint = await openCheckpoint(`${folder.path}/${file}`, hub);
      const whole = wholeOf(shard);
      const none = { payloads: new PayloadMap(), sums: new Map(), notes: [] } as const;
      return { ...head, ...none, shards: checkpoint.shards, checkpoint, whole, id, number, place };
    },
  };
}

/** @param before the number of the step before it, for the form that does not state it. */
function deltaVersion(folder: Folder, file: string, number: number, before: number): ListedVersion {
  const id = versionText(number);
  const place = `deltas/${file}`;
  const read = once(async () => {
    const shard = await openShardIn(folder, file, id);
    refuseOtherStep(shard, number, place, id);
    const { metadata } = shard.header;
    const stated = metadata.get("prev_model_version");
    const base = stated === undefined ? before : numberOf(stated);
    if (base === null || base >= number) {
      const what = `says that it is made on ${shown(stated)}, which is no earlier step`;
      throw chainError("link", what, AGAIN, { file: place, version: id });
    }
    const head: VersionHead = {
      kind: "delta",
      base,
      encoding: metadata.get("encoding") ?? "elements",
      checksum: wholeOf(shard) === null ? null : "sha256",
      index: null,
    };
    return { shard, head };
  });
  return {
    id,
    number,
    place,
    head: async () => (await read()).head,
    isUnfinished: async () => false,
    async open() {
      const { shard, head } = await read();
      const none = { sums: new Map(), notes: [], checkpoint: null } as const;
      return {
        ...head,
        ...none,
        shards: [shard],
        payloads: payloadsOf(shard, id),
        whole: wholeOf(shard),
        id,
        number,
        place,
      };
    },
  };
}

function refuseOtherStep({ header }: UpdateShard, number: number, place: string, id: string): void {
  const stated = header.metadata.get("model_version");
  if (numberOf(stated) !== number) {
    const what = `says that it is version ${shown(stated)}`;
    throw chainError("version-dir", what, "it was renamed or damaged: fetch it again", { file: place, version: id });
  }
}

function wholeOf({ header }: UpdateShard): string | null {
  const stated = header.metadata.get("checksum_sha256");
  return stated !== undefined && /^[0-9a-f]{64}$/.test(stated) ? stated : null;
}

/** @throws {WeightDiffError} with `why`. It lists everything that is wrong. */
function payloadsOf(shard: UpdateShard, id: string): Version["payloads"] {
  const { metadata } = shard.header;
  const tensors = [...shard.header.tensors];
  const encoding = metadata.get("encoding") ?? "raw";
  if (encoding !== "raw" && encoding !== "gap_delta") {
    const what = `encoding ${quote(encoding)} is not known; known are raw and gap_delta`;
    throw chainError("unknown-encoding", what, "publish it in another form", { file: shard.path, version: id });
  }
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const payloads = new PayloadMap();
  const errors: WeightDiffError[] = [];
  const used = new Set<string>([EMPTY]);
  for (const tensor of tensors) {
    const form = FORMS.find(({ positions }) => tensor.name.endsWith(positions));
    if (form === undefined) {
      continue;
    }
    const name = tensor.name.slice(0, -form.positions.length);
    const values = byName.get(name + form.values);
    const found = payloadOf(name, shard, { tensor, values, gaps: encoding === "gap_delta" }, id);
    if (found instanceof WeightDiffError) {
      errors.push(found);
      continue;
    }
    used.add(tensor.name).add(name + form.values);
    payloads.set(name, found);
  }
  for (const { name } of tensors) {
    if (!used.has(name) && errors.length === 0) {
      const what = `tensor ${quote(name)} is neither positions nor values of another tensor`;
      errors.push(chainError("shard-extra", what, AGAIN, { file: shard.path, tensor: name, version: id }));
    }
  }
  if (errors.length > 0) {
    throw together(errors);
  }
  return payloads;
}

function payloadOf(
  name: string,
  shard: UpdateShard,
  {
    tensor,
    values,
    gaps,
  }: { readonly tensor: TensorInfo; readonly values: TensorInfo | undefined; readonly gaps: boolean },
  id: string,
): Payload | WeightDiffError {
  const at = { file: shard.path, tensor: name, version: id };
  if (values === undefined) {
    return chainError("index-tensor", `tensor ${quote(name)} has positions, but no values`, AGAIN, at);
  }
  const dtype = listDtype(tensor, gaps);
  if (dtype === null) {
    const what = `tensor ${quote(name)}: positions are ${tensor.dtype}, expected ${gaps ? "U16 or U32" : "I32"} in one row`;
    return chainError("dtype", what, AGAIN, at);
  }
  const bits = dtypeBits(values.dtype);
  const [positions, found] = [tensor.shape[0] ?? 0, (8 * rangeLength(values.range)) / bits];
  return positions !== found || values.shape.length !== 1
    ? chainError("length", `tensor ${quote(name)} has ${positions} positions and ${found} values`, AGAIN, at)
    : {
        ...{ name, shard, range: tensor.range, encoding: "elements", compression: "none", checksum: null },
        values: { shard, range: values.range, dtype: values.dtype },
        positions: { dtype, gaps },
      };
}

function listDtype({ dtype, shape }: TensorInfo, gaps: boolean): PositionList["dtype"] | null {
  const fits = gaps ? dtype === "U16" || dtype === "U32" : dtype === "I32";
  return fits && shape.length === 1 ? (dtype as PositionList["dtype"]) : null;
}
