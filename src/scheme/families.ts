/**
 * Every published family of diffs, in the order in which candidates are listed. To add one, add a row to one of the files in families/: its
 * arithmetic, names and marks, taken from its script at a commit that the row states.
 */
import { WeightDiffError } from "../errors.js";
import { isAlike } from "../formats/alike.js";
import { quote } from "../formats/quote.js";
import type { Scheme } from "./axes.js";
import { APPLY_DELTA_FAMILIES } from "./families/apply-delta.js";
import { MULTIMODAL_FAMILIES } from "./families/multimodal.js";
import { OWN_EMBEDDING_FAMILIES } from "./families/own-embeddings.js";
import { PATCH_FAMILIES } from "./families/patches.js";
import { WEIGHT_DIFF_FAMILIES } from "./families/weight-diff.js";
import { XOR_FAMILIES } from "./families/xor.js";
import { type Family, VARIANT_FLAGS, variantOf } from "./family.js";

export const FAMILIES: readonly Family[] = [
  ...WEIGHT_DIFF_FAMILIES,
  ...APPLY_DELTA_FAMILIES,
  ...MULTIMODAL_FAMILIES,
  ...OWN_EMBEDDING_FAMILIES,
  ...PATCH_FAMILIES,
  ...XOR_FAMILIES,
];

/** The families. Each is followed by its variants, one for each flag of its script that changes the result. */
export const ALL_FAMILIES: readonly Family[] = FAMILIES.flatMap((family) => [
  family,
  ...VARIANT_FLAGS.flatMap((flag) => variantOf(family, flag) ?? []),
]);

/** The schemes of all families. */
export const SCHEMES: readonly Scheme[] = ALL_FAMILIES.map(({ scheme }) => scheme);

/** The family, or variant of a family, whose scheme has this name. @throws {WeightDiffError} USAGE. */
export function familyNamed(name: string): Family {
  const family = ALL_FAMILIES.find(({ scheme }) => scheme.name === name);
  if (family === undefined) {
    const meant = namesMeant(name);
    throw new WeightDiffError(
      "USAGE",
      `unknown scheme ${quote(name)}: it is not one of auto, custom, ${SCHEMES.map((scheme) => scheme.name).join(", ")}`,
      meant.length === 0 ? undefined : `perhaps ${meant.join(" or ")} is meant`,
      { advice: [{ to: "see what each does", command: "schemes", options: {} }] },
    );
  }
  return family;
}

/** The schemes that a user may mean by a name that none has: those of a similar name, or else those of the publisher so called. */
function namesMeant(name: string): readonly string[] {
  const similar = SCHEMES.filter((scheme) => isAlike(scheme.name, name));
  const theirs = FAMILIES.filter(({ who }) => who.split(/[^\w.-]+/).some((word) => isAlike(word, name)));
  return (similar.length > 0 ? similar : theirs.map(({ scheme }) => scheme)).map((scheme) => scheme.name);
}

/** The scheme of that name. @throws {WeightDiffError} USAGE. */
export function schemeNamed(name: string): Scheme {
  return familyNamed(name).scheme;
}
