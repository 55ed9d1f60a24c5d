/** Generates text greedily, one token with each pass, and shows it as it comes. */
import type { LanguageModel } from "./model.js";
import type { TextTokenizer } from "./tokenizer.js";

/** The key of the text to continue. The first pass must have had the prompt under this key. */
export const ANSWER = "answer";

export type StoppedBy = "end" | "tokens" | "time" | "positions";

export interface GenerateOptions {
  readonly prompt: readonly number[];
  /** Logits after the prompt. */
  readonly last: Float32Array;
  /** Null if only ids are wanted, and no text. */
  readonly tokenizer: TextTokenizer | null;
  /** Ids, and the text, that end an answer. */
  readonly ends: readonly number[];
  readonly endText: string | null;
  /** The most new ids. */
  readonly most: number;
  /** Time of performance.now() by which every pass should end, judged by the duration of the one before; null without a limit. */
  readonly deadline: number | null;
  /** Milliseconds that the pass over the prompt took. */
  readonly passMs: number;
  readonly onText: (text: string) => void;
  /** Called with the number of finished passes, and the bytes that the next one has read. */
  readonly onProgress: (passes: number, bytes: number) => void;
}

export interface Generated {
  readonly ids: readonly number[];
  readonly text: string;
  readonly stopped: StoppedBy;
  readonly passes: number;
}

/** Like `generate` of transformers without sampling. @throws {BrokenModel}; whatever LanguageModel.pass throws. */
export async function generate(model: LanguageModel, options: GenerateOptions): Promise<Generated> {
  const { prompt, tokenizer, ends, endText, most, deadline, onText } = options;
  const ids: number[] = [];
  let { last } = options;
  let text = "";
  let told = 0;
  let passes = 0;
  let { passMs } = options;
  const done = (stopped: StoppedBy): Generated => {
    if (text.length > told) {
      onText(text.slice(told));
    }
    return { ids, text, stopped, passes };
  };
  for (;;) {
    const next = largest(last);
    if (ends.includes(next)) {
      return done("end");
    }
    ids.push(next);
    if (tokenizer !== null) {
      text = await tokenizer.rest([...prompt, ...ids], prompt.length);
      const end = endText === null ? -1 : text.indexOf(endText);
      if (end >= 0) {
        text = text.slice(0, end);
        return done("end");
      }
      const sure = text.length - unsure(text, endText);
      if (sure > told) {
        onText(text.slice(told, sure));
        told = sure;
      }
    }
    if (ids.length >= most) {
      return done("tokens");
    }
    if (prompt.length + ids.length >= model.positions) {
      return done("positions");
    }
    const started = performance.now();
    if (deadline !== null && started + passMs > deadline) {
      return done("time");
    }
    const before = passes;
    const [said] = await model.pass([{ key: ANSWER, ids: [next], wanted: "last" }], (bytes) =>
      options.onProgress(before, bytes),
    );
    passes++;
    passMs = performance.now() - started;
    last = said?.last ?? last;
  }
}

/** The id of the largest logit. If several are equal, the first, as torch.argmax returns. */
function largest(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) {
    if ((logits[id] ?? 0) > (logits[best] ?? 0)) {
      best = id;
    }
  }
  return best;
}

/** How many characters at the end may still change: half a character, or a possible beginning of the end text. */
function unsure(text: string, endText: string | null): number {
  const broken = /\ufffd+$/.exec(text)?.[0].length ?? 0;
  for (let length = Math.min(text.length, (endText?.length ?? 0) - 1); length > broken; length--) {
    if (endText?.startsWith(text.slice(text.length - length)) === true) {
      return length;
    }
  }
  return broken;
}

interface Likely {
  readonly id: number;
  readonly probability: number;
}

/** The likeliest ids. If several are equal, the first comes first. */
export function likeliest(logits: Float32Array, count: number): readonly Likely[] {
  const top = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - top), 0);
  const found: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] ?? 0;
    if (found.length < count || logit > (logits[found.at(-1) ?? 0] ?? 0)) {
      const place = found.findIndex((other) => (logits[other] ?? 0) < logit);
      found.splice(place < 0 ? found.length : place, 0, id);
      found.length = Math.min(found.length, count);
    }
  }
  return found.map((id) => ({ id, probability: Math.exp((logits[id] ?? 0) - top) / sum }));
}
