/** The names of the guards, in a file of their own: the table of flags needs the names without loading the guards. */

/** Every guard that the user may switch off by name. */
export const GUARDS = ["swapped", "not-a-diff", "not-a-model", "wrong-base", "base-precision", "bit-census"] as const;
export type Guard = (typeof GUARDS)[number];
