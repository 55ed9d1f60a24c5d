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

let loaded: Promise<CreateChecksum> | undefined;

/** Loads the algorithms; once in a thread. What it gives works synchronously. */
export function loadChecksums(): Promise<CreateChecksum> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<CreateChecksum> {
  const { createAdler32, createBLAKE3, createXXHash128 } = await import("hash-wasm");
  const shared = {
    "xxh3-128": share(await createXXHash128(0, 0)),
    blake3: share(await createBLAKE3()),
    adler32: share(await createAdler32()),
  };
  return (name) => (name === "sha256" ? sha256() : shared[name]());
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
