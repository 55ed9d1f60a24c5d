/** How verify checks the bytes of tensors: are the values ordinary numbers, and do the digests match the manifest? */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Shard } from "../checkpoint/shard.js";
import type { AddFinding } from "../finding.js";
import { elementCount } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { shapeText } from "../formats/tensor-info.js";
import { isComputedBuffer } from "../known/buffers.js";
import type { Manifest } from "../manifest/manifest.js";
import type { Reading } from "../run/digest.js";
import { DIFFERS, EXTRA, MISSING, otherSize } from "./listed.js";
import type { Survey } from "./survey.js";

/**
 * Reports NaN, infinities and tensors that are all zero. In a diff, zeros are layers that were not trained. Masks and other buffers that
 * models compute may hold anything: the -1e9 or -3e38 of a mask becomes infinite in F16 on purpose.
 * @param modelType model_type of config.json; null if unknown.
 * @param neverZero names of tensors that are never all zero in a working model of this architecture.
 */
export function checkValues(
  { stateDict }: Checkpoint,
  reading: Reading,
  kind: "diff" | "full" | null,
  { modelType, neverZero }: { readonly modelType: string | null; readonly neverZero: ReadonlySet<string> },
  report: AddFinding,
): void {
  const zeros: StoredTensor[] = [];
  for (const [name, { counts }] of reading.tensors) {
    const tensor = stateDict.get(name);
    if (counts === undefined || tensor === undefined) {
      continue;
    }
    const elements = elementCount(tensor.shape) ?? 0;
    const bad = [
      ...(counts.nan > 0 ? [`${counts.nan} NaN`] : []),
      ...(counts.infinite > 0 ? [`${counts.infinite} infinite`] : []),
    ];
    if (bad.length > 0 && !isComputedBuffer(name, tensor, modelType)) {
      report("error", `${bad.join(" and ")} of ${elements} values`, { file: tensor.shard.file, tensor: name });
    }
    if (elements > 0 && counts.zero === elements) {
      zeros.push({ ...tensor, name });
    }
  }
  if (kind !== "diff") {
    checkZeros(zeros, stateDict, kind, neverZero, report);
  } else if (zeros.length > 0) {
    const all = zeros.length === reading.tensors.size;
    report(
      all ? "warning" : "note",
      all
        ? "every tensor is zero: the diff changes nothing"
        : `${zeros.length} ${zeros.length === 1 ? "tensor is" : "tensors are"} zero: the diff leaves ${zeros.length === 1 ? "it as it is" : "them as they are"}`,
      { code: "zeros" },
    );
  }
}

/** Many models have biases, buffers and gates that are all zero. A weight that is zero in one layer and not in the others is odd. */
function checkZeros(
  zeros: readonly StoredTensor[],
  stateDict: Checkpoint["stateDict"],
  kind: "full" | null,
  neverZero: ReadonlySet<string>,
  report: AddFinding,
): void {
  // The same weight has the same shape in every layer. Other numbered tensors may have different shapes.
  const inLayers = (name: string, { shape }: Pick<StoredTensor, "shape">): string =>
    `${name.replaceAll(/(^|\.)\d+(?=\.)/g, "$1*")} ${shapeText(shape)}`;
  const zero = countBy(zeros.map((tensor) => inLayers(tensor.name, tensor)));
  const all = zeros.length === 0 ? zero : countBy([...stateDict].map(([name, tensor]) => inLayers(name, tensor)));
  const harmless = zeros.filter(({ name, shape, shard }) => {
    const where = { file: shard.file, tensor: name, code: "zeros" } as const;
    const values = elementCount(shape) ?? 0;
    const key = inLayers(name, { shape });
    if (neverZero.has(name)) {
      report(kind === "full" && shape.length > 1 ? "error" : "warning", `all ${values} values are zero`, where);
      return false;
    }
    if (shape.length > 1 && name.endsWith(".weight") && (zero.get(key) ?? 0) < (all.get(key) ?? 0)) {
      report("warning", `all ${values} values are zero, though not in other layers`, where);
      return false;
    }
    return true;
  });
  const [first] = harmless;
  if (first !== undefined) {
    const some = harmless.length === 1 ? "tensor is" : "tensors are";
    report("note", `${harmless.length} ${some} all zero, as ${quote(first.name)}`, { code: "zeros" });
  }
}

function countBy(keys: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) {
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/**
 * Warns where the config ties the output embedding to the input embedding, but the files hold two different matrices. transformers before 5
 * uses the input embedding for both. From version 5 on it loads each as stored (modeling_utils.py 5.23.0, `tie_weights`).
 */
export function checkTied(
  { stateDict }: Checkpoint,
  reading: Reading,
  { input, output }: { readonly input: string; readonly output: string },
  report: AddFinding,
): void {
  const [one, two] = [input, output].map((name) => reading.tensors.get(name)?.sha256);
  const sameType = stateDict.get(input)?.dtype === stateDict.get(output)?.dtype;
  if (one !== undefined && two !== undefined && sameType && one !== two) {
    report(
      "warning",
      `tie_word_embeddings is true, and ${quote(output)} differs from ${quote(input)}: transformers before 5 ignores it`,
      { file: "config.json", code: "architecture" },
    );
  }
}

/** Reports records of .bin files whose checksum does not match. */
export function checkRecords(reading: Reading, report: AddFinding): void {
  for (const { shard, tensor, how } of reading.damaged) {
    report("error", how, { file: shard.file, tensor });
  }
}

/** The weight files that must be digested as a whole: files with bytes that belong neither to the header nor to a tensor. */
export function filesToDigest({ shards }: Checkpoint, manifest: Manifest | null): readonly Shard[] {
  const listed = new Map(manifest?.files.map((entry) => [entry.file, entry]));
  return shards.filter(({ file, header }) => header.format !== "safetensors" && listed.get(file)?.sha256 !== undefined);
}

/** Compares weight files and tensors with the manifest. Reports what differs, is missing, or is extra. */
export function checkManifest(survey: Survey, manifest: Manifest, reading: Reading, report: AddFinding): void {
  const { checkpoint, unreadable } = survey;
  checkFiles(survey, manifest, reading, report);
  const listed = new Set(manifest.tensors.map(({ name }) => name));
  for (const { name, dtype, shape, sha256 } of manifest.tensors) {
    const tensor = checkpoint.stateDict.get(name);
    if (tensor === undefined) {
      report("error", unreadable.size > 0 ? `${MISSING}; perhaps it is in a file that cannot be read` : MISSING, {
        tensor: name,
      });
      continue;
    }
    const where = { file: tensor.shard.file, tensor: name };
    if (tensor.dtype !== dtype || shapeText(tensor.shape) !== shapeText(shape)) {
      report(
        "error",
        `is ${tensor.dtype} ${shapeText(tensor.shape)}, the manifest says ${dtype} ${shapeText(shape)}`,
        where,
      );
    } else if (reading.tensors.get(name)?.sha256 !== sha256) {
      report("error", DIFFERS, where);
    }
  }
  for (const [name, tensor] of checkpoint.stateDict) {
    if (!listed.has(name)) {
      report("error", EXTRA, { file: tensor.shard.file, tensor: name });
    }
  }
}

function checkFiles(
  { checkpoint, unreadable }: Survey,
  manifest: Manifest,
  reading: Reading,
  report: AddFinding,
): void {
  const shards = new Map(checkpoint.shards.map((shard) => [shard.file, shard]));
  for (const { file, size, header, sha256 } of manifest.files) {
    const shard = shards.get(file);
    const found = reading.files.get(file);
    if (shard === undefined) {
      if (!unreadable.has(file)) {
        report("error", MISSING, { file });
      }
    } else if (shard.size !== size) {
      report("error", otherSize(shard.size, size), { file });
    } else if (shard.header.digest !== header) {
      report("error", "differs: the sha256 of its header is not the one in the manifest", { file });
    } else if (sha256 !== undefined && found !== undefined && found !== sha256) {
      report("error", DIFFERS, { file });
    }
  }
  const listed = new Set(manifest.files.map(({ file }) => file));
  for (const { file } of checkpoint.shards) {
    if (!listed.has(file)) {
      report("error", EXTRA, { file });
    }
  }
}
