/**
 * From a file of unknown kind to its header. Files that are not weights are recognised by their first bytes, and refused with a remedy of
 * their own: a git-lfs pointer in place of a 13 GB shard is the most common mistake of all.
 */
import { type ErrorCode, WeightDiffError } from "../errors.js";
import { looksLikeEasylm, readEasylm } from "./easylm.js";
import { headerBudget } from "./header-budget.js";
import { readSafetensors } from "./safetensors.js";
import type { ByteSource, ShardHeader } from "./tensor-info.js";
import { readTorchLegacy } from "./torch-legacy.js";
import { readTorchZip } from "./torch-zip.js";

/** Bytes to look at. The magic of a tar file is at 257. */
const HEAD = 512;
/** The Rust library's own limit: if the first eight bytes exceed it, they are not the length of a safetensors header. */
const LARGEST_HEADER = 100_000_000n;
const AGAIN = "download it again";
const LOOK = "the download may have been answered by an error message: look into the file, and download it again";
const OTHER_FILE = "it is not the weights: give the folder that holds them, or a weight file (.safetensors, .bin)";
/** What to do about the files of llama.cpp. */
export const PUBLISHED_FLOATS =
  "get the publisher's safetensors or .bin files: these are mostly quantised, and quantised weights take no diff";
const CONVERT = "convert it to safetensors first, or use the publisher's safetensors or .bin files";

const XOR_HINT = "recover it: give its directory as the diff, and the very files that it was made with as the base";

/** An unsupported format: how to tell it by the first bytes (as Latin-1 text), its name, and what to do. */
interface UnsupportedFormat {
  readonly is: (head: string) => boolean;
  readonly code: ErrorCode;
  readonly what: string;
  readonly hint: string;
}

/** The first match counts. */
const UNSUPPORTED: readonly UnsupportedFormat[] = [
  {
    is: begins("version https://git-lfs"),
    code: "NOT_WEIGHTS",
    what: "is a git-lfs pointer, not the file itself",
    hint: "the repository was cloned without git-lfs: run git lfs install and git lfs pull in it, or download the file",
  },
  {
    is: (head) => /^(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml)/i.test(head),
    code: "NOT_WEIGHTS",
    what: "is an HTML page, not weights",
    hint: "the download was answered by an error or login page: check the address and your access, and download it again",
  },
  {
    is: (head) => /^\s*[{[]\s*["}\]]/.test(head),
    code: "NOT_WEIGHTS",
    what: "is JSON text, not weights",
    hint: LOOK,
  },
  {
    is: begins("\0\0\0\0"),
    code: "FORMAT_UNSUPPORTED",
    what: "is not a weight file; perhaps it is an xor-encrypted diff (OpenAssistant, Pygmalion)",
    hint: XOR_HINT,
  },
  { is: begins("PK\x05\x06"), code: "FORMAT_UNSUPPORTED", what: "is an empty zip file", hint: AGAIN },
  {
    is: begins("PK\x07\x08"),
    code: "FORMAT_UNSUPPORTED",
    what: "is one part of a split zip file",
    hint: "join the parts and unzip them first",
  },
  {
    is: (head) => head.startsWith("ustar", 257),
    code: "FORMAT_UNSUPPORTED",
    what: "is a tar file (packed, or written by torch 0.1)",
    hint: "unpack it; if it is one checkpoint of torch 0.1, load and re-save it with torch.save",
  },
  {
    is: begins("\x1f\x8b", "BZh", "\xfd7zXZ", "\x28\xb5\x2f\xfd", "7z\xbc\xaf"),
    code: "FORMAT_UNSUPPORTED",
    what: "is compressed",
    hint: "unpack it first",
  },
  { is: begins("GGUF"), code: "FORMAT_UNSUPPORTED", what: "is a GGUF file", hint: PUBLISHED_FLOATS },
  {
    // Written as a little-endian word, so the letters are reversed in the file.
    is: begins("lmgg", "fmgg", "tjgg", "algg", "ggml", "ggmf", "ggjt", "ggla"),
    code: "FORMAT_UNSUPPORTED",
    what: "is a GGML file",
    hint: PUBLISHED_FLOATS,
  },
  { is: begins("\x93NUMPY"), code: "FORMAT_UNSUPPORTED", what: "is a NumPy array", hint: CONVERT },
  { is: begins("\x89HDF"), code: "FORMAT_UNSUPPORTED", what: "is an HDF5 file (Keras, TensorFlow)", hint: CONVERT },
  {
    is: begins("\x80\x02", "\x80\x03", "\x80\x04", "\x80\x05"),
    code: "FORMAT_UNSUPPORTED",
    what: "is a bare pickle, not a torch file",
    hint: "pickles can run any code and are not opened: where you trust it, load it and save it with torch.save",
  },
];

/** torch's magic number, in the bytes of the first pickle. The protocol comes before it and, from protocol 4 on, a frame. */
const LEGACY_MAGIC = "\x8a\x0a\x6c\xfc\x9c\x46\xf9";

function begins(...magics: readonly string[]): (head: string) => boolean {
  return (head) => magics.some((magic) => head.startsWith(magic));
}

/**
 * Could this file, which has a weight file's name, come from an XOR codec: noise, or zeros where equal headers cancel out, perhaps
 * compressed? Not if its content is recognised.
 * @throws {WeightDiffError} IO.
 */
export async function mayBeXored(source: ByteSource): Promise<boolean> {
  const bytes = Buffer.from(await source.readAt(0, Math.min(source.size, HEAD)));
  const head = bytes.toString("latin1");
  const known =
    bytes.length === 0 ||
    looksLikeSafetensors(bytes) ||
    head.startsWith("PK") ||
    (await isAllZeros(source, head)) ||
    UNSUPPORTED.some(({ is }) => is(head)) ||
    /^[\t\n\r\x20-\x7e]+$/.test(head);
  return (
    !known || (head.startsWith("\0\0\0\0") && !(await isAllZeros(source, head))) || head.startsWith("\x1f\x8b\x08")
  );
}

/**
 * @param budget what the headers of the whole checkpoint may still take.
 * @throws {WeightDiffError} NOT_WEIGHTS, FORMAT_UNSUPPORTED; whatever the readers of the formats throw.
 */
export async function readWeightFile(source: ByteSource, budget = headerBudget()): Promise<ShardHeader> {
  if (source.size === 0) {
    throw new WeightDiffError("NOT_WEIGHTS", "is empty", AGAIN, { at: { file: source.name } });
  }
  const bytes = Buffer.from(await source.readAt(0, Math.min(source.size, HEAD)));
  const head = bytes.toString("latin1");
  if (looksLikeSafetensors(bytes)) {
    return readSafetensors(source, budget);
  }
  if (head.startsWith("PK\x03\x04")) {
    return readTorchZip(source, budget);
  }
  if (head.startsWith("\x80") && (head.startsWith(LEGACY_MAGIC, 2) || head.startsWith(LEGACY_MAGIC, 11))) {
    return readTorchLegacy(source, budget);
  }
  if (looksLikeEasylm(bytes)) {
    return readEasylm(source, budget);
  }
  if (await isAllZeros(source, head)) {
    throw new WeightDiffError(
      "NOT_WEIGHTS",
      "holds nothing but zeros",
      "the download reserved room, but wrote nothing: download it again",
      { at: { file: source.name } },
    );
  }
  const stranger = UNSUPPORTED.find(({ is }) => is(head));
  if (stranger !== undefined) {
    const hint = stranger.hint === LOOK ? textHint(source) : stranger.hint;
    throw new WeightDiffError(stranger.code, stranger.what, hint, { at: { file: source.name } });
  }
  if (/^[\t\n\r\x20-\x7e]+$/.test(head)) {
    throw new WeightDiffError("NOT_WEIGHTS", "is text, not weights", textHint(source), { at: { file: source.name } });
  }
  if (source.name.endsWith(".safetensors")) {
    return readSafetensors(source, budget);
  }
  throw new WeightDiffError(
    "FORMAT_UNSUPPORTED",
    "is neither a safetensors nor a torch file; perhaps it is an xor-encrypted diff (OpenAssistant, Pygmalion)",
    `${XOR_HINT}; if it is not such a diff, download it again: the file may be damaged`,
    { at: { file: source.name } },
  );
}

/** A file whose name means text was never a download of weights: the user gave the wrong file. */
function textHint({ name }: ByteSource): string {
  return /\.(json|jsonl|md|txt|py|ya?ml|cfg|html?)$/i.test(name) ? OTHER_FILE : LOOK;
}

/**
 * Is this a preallocated file to which nothing was written? Several places are checked, since equal zip headers make an xor diff begin with
 * zeros too.
 */
async function isAllZeros(source: ByteSource, head: string): Promise<boolean> {
  if (/[^\0]/.test(head)) {
    return false;
  }
  for (const place of [1, 2, 3, 4]) {
    const begin = Math.floor((Math.max(0, source.size - HEAD) * place) / 4);
    const piece = await source.readAt(begin, Math.min(HEAD, source.size - begin));
    if (piece.some((byte) => byte !== 0)) {
      return false;
    }
  }
  return true;
}

/** A plausible header length, and the beginning of a JSON object. This is checked first, since tensor names may spell any other magic. */
function looksLikeSafetensors(head: Buffer): boolean {
  return head.length >= 9 && head.readBigUInt64LE() <= LARGEST_HEADER && /^[\s{]/.test(head.toString("latin1", 8, 9));
}
