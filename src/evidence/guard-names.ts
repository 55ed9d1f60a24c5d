/** The names of the guards, apart from what they do: whoever offers a choice of them need not load them. */

/** Every guard that the user may switch off by name. */
export const GUARDS = ["swapped", "not-a-diff", "not-a-model", "wrong-base", "base-precision", "bit-census"] as const;
export type Guard = (typeof GUARDS)[number];
