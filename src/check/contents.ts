/** verify's look at the bytes of the tensors: ordinary numbers, and the digests that the manifest has. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { Shard } from "../checkpoint/shard.js";
import type { Report } from "../finding.js";
import type { Manifest } from "../manifest/manifest.js";
import { shapeText } from "../plan/pairing.js";
import type { Reading } from "../run/digest.js";
import type { Survey } from "./survey.js";

/** A mask value of -1e9 or -3e38 becomes infinite in F16, as its authors know. */
const MASK = /(^|\.)attention\.(masked_bias|bias)$/;

/** NaN, infinities, tensors of nothing but zeros. In a diff, zeros are layers that were not trained. */
export function checkValues(
  checkpoint: Checkpoint,
  reading: Reading,
  kind: "diff" | "full" | null,
  report: Report,
): void {
  let zeros = 0;
  for (const [name, { counts }] of reading.tensors) {
    const tensor = checkpoint.stateDict.get(name);
    if (counts === undefined || tensor === undefined || MASK.test(name)) {
      continue;
    }
    const elements = tensor.shape.reduce((product, size) => product * size, 1);
    const where = { file: tensor.shard.file, tensor: name };
    const bad = [
      ...(counts.nan > 0 ? [`${counts.nan} NaN`] : []),
      ...(counts.infinite > 0 ? [`${counts.infinite} infinite`] : []),
    ];
    if (bad.length > 0) {
      report("error", `${bad.join(" and ")} of ${elements} values`, where);
    }
    if (elements > 0 && counts.zero === elements) {
      zeros++;
      if (kind !== "diff") {
        report(
          kind === "full" && tensor.shape.length > 1 ? "error" : "warning",
          `all ${elements} values are zero`,
          where,
        );
      }
    }
  }
  if (kind === "diff" && zeros > 0) {
    const all = zeros === reading.tensors.size;
    report(
      all ? "warning" : "note",
      all
        ? "every tensor is zero: the diff changes nothing"
        : `${zeros} tensors are zero: the diff leaves them as they are`,
    );
  }
}

/** Checksums of .bin records. */
export function checkRecords(reading: Reading, report: Report): void {
  for (const { file, tensor, message } of reading.damaged) {
    report("error", message.slice(message.indexOf("CRC-32")), { file, ...(tensor === null ? {} : { tensor }) });
  }
}

/** Weight files whose own sha256 must be taken: those whose every byte is not in a header or a tensor already. */
export function filesToDigest({ shards }: Checkpoint, manifest: Manifest | null): readonly Shard[] {
  const listed = new Map(manifest?.files.map((entry) => [entry.file, entry]));
  return shards.filter(({ file, header }) => header.format !== "safetensors" && listed.get(file)?.sha256 !== undefined);
}

/** Weight files and tensors against the manifest: what differs, is missing, or is extra. */
export function checkManifest(survey: Survey, manifest: Manifest, reading: Reading, report: Report): void {
  const { checkpoint, unreadable } = survey;
  checkFiles(survey, manifest, reading, report);
  const listed = new Set(manifest.tensors.map(({ name }) => name));
  for (const { name, dtype, shape, sha256 } of manifest.tensors) {
    const tensor = checkpoint.stateDict.get(name);
    if (tensor === undefined) {
      report(
        "error",
        unreadable.size > 0
          ? "missing: the manifest lists it; perhaps it is in a file that cannot be read"
          : "missing: the manifest lists it",
        { tensor: name },
      );
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
      report("error", "differs: its sha256 is not the one in the manifest", where);
    }
  }
  for (const [name, tensor] of checkpoint.stateDict) {
    if (!listed.has(name)) {
      report("error", "extra: the manifest does not list it", { file: tensor.shard.file, tensor: name });
    }
  }
}

function checkFiles({ checkpoint, unreadable }: Survey, manifest: Manifest, reading: Reading, report: Report): void {
  const shards = new Map(checkpoint.shards.map((shard) => [shard.file, shard]));
  for (const { file, size, header, sha256 } of manifest.files) {
    const shard = shards.get(file);
    const found = reading.files.get(file);
    if (shard === undefined) {
      if (!unreadable.has(file)) {
        report("error", "missing: the manifest lists it", { file });
      }
    } else if (shard.size !== size) {
      report("error", `has ${shard.size} bytes, the manifest says ${size}`, { file });
    } else if (shard.header.digest !== header) {
      report("error", "differs: the sha256 of its header is not the one in the manifest", { file });
    } else if (sha256 !== undefined && found !== undefined && found !== sha256) {
      report("error", "differs: its sha256 is not the one in the manifest", { file });
    }
  }
  const listed = new Set(manifest.files.map(({ file }) => file));
  for (const { file } of checkpoint.shards) {
    if (!listed.has(file)) {
      report("error", "extra: the manifest does not list it", { file });
    }
  }
}
