/** Tells what a user must know before trusting a version: what no checksum covers, and which stored copies are out of date. */
import type { Say } from "../../advice.js";
import { INPUT_EMBEDDING, OUTPUT_EMBEDDING } from "../../known/embeddings.js";
import type { UpdatePlan } from "../../plan/plan-update.js";
import type { ChainWarning } from "./report.js";
import type { ChainSource } from "./source.js";
import { statesWhole } from "./whole.js";

/** Tells each warning, and @returns their codes. */
export function warnOf(source: ChainSource, plan: UpdatePlan, warn: Say, note: Say): readonly ChainWarning[] {
  const { chain, path, model, config } = source;
  const found: ChainWarning[] = [];
  const say = (code: ChainWarning, how: Say, text: string): void => {
    found.push(code);
    how(text);
  };
  const untouched = plan.order.length - plan.touched;
  const whole = statesWhole(source) !== null;
  if (untouched > 0 && !whole) {
    const origin = path.start === null ? "the base" : `version ${path.start.id}`;
    const what = `${plan.touched} of ${plan.order.length} tensors are changed by a step`;
    const rest = untouched === 1 ? "other one comes" : `other ${untouched} come`;
    const [as, them] = untouched === 1 ? ["it is", "it"] : ["they are", "them"];
    say("unproven", note, `${what}; the ${rest} from ${origin} as ${as}, and no checksum covers ${them}`);
  }
  if (plan.touched > plan.proven && !whole) {
    const what = `${plan.touched - plan.proven} of ${plan.touched} changed tensors have no checksum`;
    say("no-checksums", warn, `${what}: nothing shows whether they are what the trainer had`);
  }
  const head = [...model.stateDict.keys()].find((name) => OUTPUT_EMBEDDING.test(name));
  const changes = (pattern: RegExp): boolean =>
    path.steps.some(({ payloads }) => [...payloads.keys()].some((name) => pattern.test(name)));
  if (config?.tied === true && head !== undefined && changes(INPUT_EMBEDDING) && !changes(OUTPUT_EMBEDDING)) {
    const what = `config.json ties ${head} to the embedding, which changes, and its stored copy does not`;
    say("tied", warn, `${what}: loaders that follow the config take the embedding, and others are wrong`);
  }
  if ([...plan.expected.values()].some((sums) => sums.some(({ checksum }) => checksum.algorithm === "adler32"))) {
    say(
      "weak",
      note,
      "adler32 is a weak checksum: it shows accidents, but of 2^32 different contents one passes, and of short tensors more",
    );
  }
  const gap = chain.gaps === true && path.steps.some(({ number, base }) => base !== null && number !== base + 1);
  if (gap) {
    say(
      "gap",
      note,
      "numbers are missing between the steps, which this layout allows: nothing changed there, or a step was lost",
    );
  }
  return found;
}
