/** Do the input embedding and the output head of a result have as many rows as each other, if those of the base do? */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { quote } from "../formats/quote.js";
import { embeddingsOf } from "../known/embeddings.js";
import type { Plan } from "../plan/plan.js";

interface Rows {
  readonly name: string;
  readonly rows: number;
}

const REMEDIES = {
  result: "look on the model card for the code that loads it, or ask the diff's publisher for the missing rows",
  "fine-tuned model": "save it again after model.resize_token_embeddings, or say on the model card how it is loaded",
} as const;

/**
 * transformers gives both matrices vocab_size rows in nearly every class, and refuses files with another shape (5.23.0, run for test/conformance/
 * unlike-rows.test.ts: "You set `ignore_mismatched_sizes` to `False`, thus raising an error"). The classes that differ, such as Mllama's, have two
 * numbers in the base already.
 * @param whose what the plan's shapes are those of: what recover writes, or the model of which a diff is made.
 * @returns a warning; null if the plan writes only one of the two, or if they differ by as many rows as in the base.
 */
export function unlikeRows(
  raw: Pick<Checkpoint, "stateDict">,
  plan: Pick<Plan, "jobs">,
  whose: keyof typeof REMEDIES,
): string | null {
  const shapes = new Map<string, readonly number[]>();
  for (const job of plan.jobs) {
    if (job.kind === "tensor" && job.output !== null) {
      shapes.set(job.name, job.shape);
    }
  }
  const [input, output] = matricesOf(shapes);
  const [baseInput, baseOutput] = matricesOf(new Map([...raw.stateDict].map(([name, { shape }]) => [name, shape])));
  const base = baseInput ?? baseOutput;
  if (input === null || output === null || base === null) {
    return null;
  }
  const before = (baseInput ?? base).rows - (baseOutput ?? base).rows;
  if (input.rows - output.rows === before) {
    return null;
  }
  const had =
    baseInput !== null && baseOutput !== null
      ? before === 0
        ? `the base has ${base.rows} in both`
        : `the base has ${baseInput.rows} and ${baseOutput.rows}`
      : `the base has only ${quote(base.name)}, with ${base.rows}`;
  return `the ${whose} has ${input.rows} rows in ${quote(input.name)} and ${output.rows} in ${quote(output.name)}, ${had}: a model class that makes both of vocab_size rows, as LlamaForCausalLM does, refuses to load it: ${REMEDIES[whose]}`;
}

function matricesOf(shapes: ReadonlyMap<string, readonly number[]>): readonly [Rows | null, Rows | null] {
  const { input, output } = embeddingsOf(shapes.keys());
  const rowsOf = (name: string | null): Rows | null => {
    const shape = name === null ? undefined : shapes.get(name);
    return name === null || shape?.length !== 2 ? null : { name, rows: shape[0] ?? 0 };
  };
  return [rowsOf(input), rowsOf(output)];
}
