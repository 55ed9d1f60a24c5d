/**
 * The checksums of updates: xxh3-128 (seed 0, canonical form), blake3, adler32, sha256, in lower-case hex padded with zeros. A thread has
 * one instance of each algorithm. All checksums that are under way share it: it takes over the state of the one that continues.
 */
import { createHash } from "node:crypto";

/** The names of the algorithms, and the number of hex digits of each. An update's `checksum_format` is one of the first three; older records of SkyRL have sha256. */
export const CHECKSUM_DIGITS = { "xxh3-128": 32, blake3: 64, adler32: 8, sha256: 64 } as const;
export type ChecksumName = keyof typeof CHECKSUM_DIGITS;

export interface Checksum {
  update(bytes: Uint8Array): void;
  /** The checksum in hex. `update` must not be called after it. */
  digest(): string;
}

type CreateChecksum = (name: ChecksumName) => Checksum;

/** The part of hash-wasm's IHasher that is used here. */
interface Hasher {
  init(): unknown;
  update(bytes: Uint8Array): unknown;
  digest(): string;
  save(): Uint8Array;
  load(state: Uint8Array): unknown;
}

const loaded = new Map<ChecksumName, Promise<() => Checksum>>();

/** Loads algorithms, each once in a thread, since one takes a megabyte or two. The result works synchronously. It throws a TypeError for an algorithm that was not loaded. */
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

/** Lets many checksums use one hasher in turn. */
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
