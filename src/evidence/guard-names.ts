/** The names of the guards. They have a file of their own, so that the table of flags need not load the guards. */

/** Every guard that the user may switch off by name. */
export const GUARDS = ["swapped", "not-a-diff", "not-a-model", "wrong-base", "base-precision", "bit-census"] as const;
export type Guard = (typeof GUARDS)[number];
