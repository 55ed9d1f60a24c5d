/** Why a base and a diff do not fit, in words, from what users got wrong (FIELD 8.3, 8.5). The first explanation that applies. */

import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { quote } from "../formats/quote.js";
import { firstLlama } from "../known/models.js";

/** What joins an image encoder to the language model (haotian-liu/LLaVA; GPT4RoI). */
const MULTIMODAL = /(^|\.)(mm_projector|spi_module)\./;

/** One sentence of cause and remedy for the mismatch between these two. */
export function explainMismatch(raw: Checkpoint, driver: Checkpoint, role: "diff" | "tuned" | "model"): string {
  const rawEmbedding = embedding(raw);
  const driverEmbedding = embedding(driver);
  if (rawEmbedding !== undefined && driverEmbedding !== undefined) {
    const [rawRows = 0, rawHidden = 0] = rawEmbedding.shape;
    const [rows = 0, hidden = 0] = driverEmbedding.shape;
    if (rawHidden !== hidden) {
      return `the models have different sizes: hidden size ${sizeName(rawHidden)} in the base, ${sizeName(hidden)} in the ${role}: get the base of its size`;
    }
    if (rawRows > rows) {
      return `the base has ${rawRows} vocabulary rows, the ${role} ${rows}: this base was already given added tokens: use the original one`;
    }
  }
  const shared = [...driver.stateDict.keys()].filter((name) => raw.stateDict.has(name)).length;
  if (shared === 0) {
    return `not one name is in both: the base has ${quote(firstName(raw))}, the ${role} ${quote(firstName(driver))}: they are of different model families, or --path_raw is not the base model in Hugging Face format`;
  }
  if (layers(raw) !== layers(driver)) {
    return `the base has ${layers(raw)} layers, the ${role} ${layers(driver)}: get the base of its size`;
  }
  if ([...driver.stateDict.keys()].some((name) => MULTIMODAL.test(name) && !raw.stateDict.has(name))) {
    return `mm_projector is no part of a language model: the ${role} is of the LLaVA family${role === "diff" ? ": --scheme llava" : ""}`;
  }
  return role === "tuned"
    ? "the tuned model was made from another base, or one of the two is incomplete"
    : "the diff was made against another base, or one of the two is incomplete: check the model card for the base it names";
}

function embedding(checkpoint: Checkpoint): StoredTensor | undefined {
  return [...checkpoint.stateDict].find(
    ([name, tensor]) => /(^|\.)(embed_tokens|embed_in|wte)\.weight$/.test(name) && tensor.shape.length === 2,
  )?.[1];
}

function sizeName(hidden: number): string {
  const name = firstLlama(hidden)?.name;
  return name === undefined ? String(hidden) : `${hidden} (as ${name})`;
}

function layers(checkpoint: Checkpoint): number {
  let most = -1;
  for (const name of checkpoint.stateDict.keys()) {
    most = Math.max(most, Number(/(?:^|\.)layers\.(\d{1,6})\./.exec(name)?.[1] ?? -1));
  }
  return most + 1;
}

function firstName(checkpoint: Checkpoint): string {
  return checkpoint.stateDict.keys().next().value ?? "";
}
