/**
 * The checksums of updates: xxh3-128 with seed 0 as canonical hex, blake3, adler32, sha256; in lower case, padded with zeros. One
 * instance of each algorithm serves all that are under way in a thread: the state of whoever comes next is put into it.
 */
import { createHash } from "node:crypto";

/** The names that an update's `checksum_format` may have, and the digits of each; sha256 is in older records of SkyRL. */
export const CHECKSUM_DIGITS = { "xxh3-128": 32, blake3: 64, adler32: 8, sha256: 64 } as const;
export type ChecksumName = keyof typeof CHECKSUM_DIGITS;

export interface Checksum {
  update(bytes: Uint8Array): void;
  /** Hex. Nothing may be updated after it. */
  digest(): string;
}

export type CreateChecksum = (name: ChecksumName) => Checksum;

/** hash-wasm's IHasher, as far as it is used. */
interface Hasher {
  init(): unknown;
  update(bytes: Uint8Array): unknown;
  digest(): string;
  save(): Uint8Array;
  load(state: Uint8Array): unknown;
}

const loaded = new Map<ChecksumName, Promise<() => Checksum>>();

/** Loads algorithms, each once in a thread: one takes a megabyte or two. What it gives works synchronously. @throws {TypeError} for one that is not among them. */
export async function loadChecksums(names: readonly ChecksumName[]): Promise<CreateChecksum> {
  const shared = new Map<ChecksumName, () => Checksum>();
  for (const name of new Set(names)) {
    const making = loaded.get(name) ?? load(name);
    loaded.set(name, making);
    shared.set(name, await making);
  }
  return (name) => {
    const make = shared.get(name);
    if (make === undefined) {
      throw new TypeError(`${name} is not loaded`);
    }
    return make();
  };
}

async function load(name: ChecksumName): Promise<() => Checksum> {
  if (name === "sha256") {
    return sha256;
  }
  const { createAdler32, createBLAKE3, createXXHash128 } = await import("hash-wasm");
  const create = { "xxh3-128": () => createXXHash128(0, 0), blake3: createBLAKE3, adler32: createAdler32 }[name];
  return share(await create());
}

/** Many sums in turn by one hasher. */
function share(hasher: Hasher): () => Checksum {
  interface Sum {
    state: Uint8Array | null;
  }
  let owner: Sum | null = null;
  const take = (sum: Sum): void => {
    if (owner === sum) {
      return;
    }
    if (owner !== null) {
      owner.state = hasher.save();
    }
    if (sum.state === null) {
      hasher.init();
    } else {
      hasher.load(sum.state);
    }
    owner = sum;
  };
  return () => {
    const sum: Sum = { state: null };
    return {
      update(bytes) {
        take(sum);
        hasher.update(bytes);
      },
      digest() {
        take(sum);
        owner = null;
        return hasher.digest();
      },
    };
  };
}

function sha256(): Checksum {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest("hex"),
  };
}
