/** What verify says of files and tensors that are not as the manifest lists them. */

export const MISSING = "missing: the manifest lists it";
export const EXTRA = "extra: the manifest does not list it";
export const DIFFERS = "differs: its sha256 is not the one in the manifest";
export const NOT_BARE = "the manifest lists it, but it is no bare file name";

/** @param found bytes there are. @param size bytes there should be. */
export const otherSize = (found: number, size: number): string => `has ${found} bytes, the manifest says ${size}`;
