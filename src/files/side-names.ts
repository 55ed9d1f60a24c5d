/** Names of the small files beside the weights that belong to a model (DESIGN 4). */

/** Copied byte for byte: a JSON round trip turns 1e30 and 1.0 into something else, which breaks loaders. */
const COPIED = [
  /^generation_config\.json$/,
  /^tokenizer.*$/,
  /^special_tokens_map\.json$/,
  /^added_tokens\.json$/,
  /^vocab\..*$/,
  /^merges.*$/,
  /^chat_template.*$/,
  /^preprocessor_config\.json$/,
  /^LICENSE.*$/i,
  /license.*\.txt$/i,
  /^NOTICE$/i,
];

/** Does a file of this name go with the model? */
export function isSideFile(name: string): boolean {
  return COPIED.some((pattern) => pattern.test(name));
}
