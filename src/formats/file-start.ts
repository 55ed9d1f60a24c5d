/**
 * What a file's name promises about its first bytes. XOR with a wrong base gives noise. So the beginning of each file of a Hugging Face
 * checkpoint tells whether the base is right, before anything is written.
 */

/** A kind of file, and how it begins. */
export interface FilePromise {
  /** For example "a torch file". */
  readonly what: string;
  readonly kind: "weights" | "json" | "other";
  /** May a file of this kind begin with these bytes (FILE_HEAD of them, or the whole file)? */
  readonly holds: (head: Uint8Array) => boolean;
}

/** Bytes to look at. */
export const FILE_HEAD = 512;
/** The Rust library's limit. */
const LARGEST_HEADER = 100_000_000n;
/** torch's magic number as a pickle of protocol 2, as torch.save wrote it before 1.6. */
const LEGACY_MAGIC = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9";

const latin1 = (head: Uint8Array): string => Buffer.from(head).toString("latin1");

const PROMISES: readonly (readonly [name: RegExp, promise: FilePromise])[] = [
  [
    /\.(bin|pth|pt)$/,
    {
      what: "a torch file",
      kind: "weights",
      holds: (head) => latin1(head).startsWith("PK\x03\x04") || latin1(head).startsWith(LEGACY_MAGIC),
    },
  ],
  [
    /\.safetensors$/,
    {
      what: "a safetensors file",
      kind: "weights",
      holds: (head) =>
        head.length >= 9 &&
        Buffer.from(head).readBigUInt64LE() <= LARGEST_HEADER &&
        /^[\s{]/.test(latin1(head.subarray(8, 9))),
    },
  ],
  [/\.json$/, { what: "JSON text", kind: "json", holds: (head) => /^\s*[{["]/.test(latin1(head)) && isText(head) }],
  [
    // A protobuf message: field 1, length-delimited, holds the first piece, which begins with field 1 as well.
    /\.model$/,
    { what: "a sentencepiece model", kind: "other", holds: (head) => head[0] === 0x0a && head[2] === 0x0a },
  ],
  [/\.(txt|md|py|jinja)$|^(LICENSE|NOTICE)/i, { what: "text", kind: "other", holds: isText }],
];

/** What a file of this name should be; null if the name tells nothing. */
export function promiseOf(name: string): FilePromise | null {
  return PROMISES.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/** The first bytes for a message: "1f 8b 08 00 …". */
export function headText(head: Uint8Array): string {
  const bytes = [...head.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0"));
  return bytes.length === 0 ? "nothing" : `${bytes.join(" ")}${head.length > 8 ? " …" : ""}`;
}

/** Is it UTF-8 without control characters? A character that the end of `head` cuts does not count. */
export function isText(head: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    return !head.some((byte) => byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  } catch {
    return false;
  }
}
