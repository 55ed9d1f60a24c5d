/** The text of try: first the prompt and the likeliest tokens, then the answer, then figures and verdict. */
import type { TextFigure, TryFirst, TryReport } from "../../commands/try.js";
import { printable, quote } from "../../formats/quote.js";
import type { PromptReason } from "../../inference/prompts.js";
import { bytesText } from "../../run/preflight.js";
import { finite, json } from "./json.js";
import { countText } from "./text.js";

/** The lines before the answer, which follows on a line of its own. */
export function firstText({ path, family, layers, vocabulary, prompt, next }: TryFirst): string {
  const sent =
    prompt.text === null
      ? `${countText(prompt.ids.length, "id")}`
      : `${quote(prompt.text)}, ${countText(prompt.ids.length, "token")}`;
  const likely = next.map(
    ({ id, text, probability }) => `${text === null ? id : quote(text)} ${(100 * probability).toFixed(1)} %`,
  );
  return `${[
    `${printable(path)}: ${family}, ${countText(layers, "layer")}, ${vocabulary} rows of tokens`,
    `  form     ${prompt.form ?? "none"}: ${reasonText(prompt.reason)}`,
    `  prompt   ${sent}`,
    ...(likely.length === 0 ? [] : [`  next     ${likely.join(", ")}`]),
    "",
  ].join("\n")}\n`;
}

function reasonText(reason: PromptReason): string {
  switch (reason.by) {
    case "name":
      return `the name ${quote(reason.name)} tells the family`;
    case "scheme":
      return `the scheme ${reason.scheme} tells the family`;
    case "template":
      return "the model has a chat template, which is not evaluated here, and its name tells no family: the text is sent as it is";
    case "nothing":
      return "neither name nor scheme tells a family: the text is sent as it is";
    case "asked":
      return "sent as it was given";
  }
}

const STOPPED = {
  end: "the model ended its answer",
  tokens: "as many tokens as were asked for",
  time: "the time was up",
  positions: "the model was made for no more tokens",
} as const;

/** The lines after the answer: why it ended, the figures, the verdict, and what the verdict does not show. */
export function verdictText(report: TryReport): string {
  const { ids, text, stopped, known, form, guessing, gain } = report;
  return `${[
    text === null ? ids.join(" ") : "",
    "",
    ...(stopped === null ? [] : [`  ended    after ${countText(ids.length, "token")}: ${STOPPED[stopped]}`]),
    ...(known === null
      ? []
      : [`  known    ${figureText(known)}, guessing ${nats(guessing)}: a text that models know by heart`]),
    ...(form === null
      ? []
      : [
          `  answer   ${figureText(form)}${gain === null ? "" : `, gain ${nats(gain)}`}: an answer in the family's own form`,
        ]),
    `  verdict  ${verdictLine(report)}`,
    ...(report.verdict.noGain
      ? [
          `           but knows its own form no better than the base does (gain ${nats(gain ?? 0)}): was the diff made from another base?`,
        ]
      : []),
    "           this shows that the parts fit together, not that every tensor is right: verify does",
    `  took     ${report.seconds.toFixed(2)} s: ${report.passes === 1 ? "1 pass" : `${report.passes} passes`} over the model's weights, peak memory ${bytesText(report.peakBytes)}`,
  ].join("\n")}\n`;
}

/** The verdict in one line. */
export function verdictLine({ verdict, known, guessing, vocabulary, brokenFrom }: TryReport): string {
  const loss = known === null ? "" : nats(known.loss);
  const base = known?.base == null ? null : nats(known.base);
  switch (verdict.code) {
    case "broken":
      return `broken: no numbers from ${printable(brokenFrom ?? "")} on`;
    case "guessing":
      return `says nothing: ${loss} nats a token, as good as guessing among ${vocabulary}; so do the weights of a diff without its base`;
    case "silent":
      return `does not speak: ${loss} nats a token${base === null ? "" : `, its base ${base}`}; parts may be in the wrong place (q/k order, shards, tokenizer)`;
    case "worse-than-base":
      return `speaks worse than its base: ${loss} nats a token against ${base}; a strong tune can do that, damage too: run verify`;
    case "speaks":
      return `speaks: ${loss} nats a token on a known text (${base === null ? "" : `its base ${base}, `}guessing ${nats(guessing)})`;
    case "unmeasured":
      return "no figure: without a tokenizer there is no known text";
  }
}

function figureText({ loss, base }: TextFigure): string {
  return `${nats(loss)} nats a token${base === null ? "" : `, its base ${nats(base)}`}`;
}

function nats(value: number): string {
  // Drops the sign of a zero.
  return (Math.round(100 * value) / 100 + 0).toFixed(2);
}

/** The document for scripts. */
export function tryJson(report: TryReport): string {
  return json({ command: "try", ...tryDocument(report) });
}

/** The document without the name of the command. */
export function tryDocument(report: TryReport): object {
  const figure = (text: TextFigure | null): object | null =>
    text === null ? null : { loss: finite(text.loss), base_loss: finite(text.base) };
  return {
    path: report.path,
    base: report.base,
    family: report.family,
    layers: report.layers,
    vocabulary: report.vocabulary,
    tokenizer: report.tokenizer,
    form: report.prompt.form,
    form_reason: report.prompt.reason,
    prompt: report.prompt.text,
    prompt_ids: report.prompt.ids,
    next: report.next,
    text: report.text,
    ids: report.ids,
    stopped: report.stopped,
    known_text: figure(report.known),
    answer: figure(report.form),
    gain: finite(report.gain),
    guessing: report.guessing,
    verdict: report.verdict.code,
    failed: report.verdict.failed,
    no_gain: report.verdict.noGain,
    broken_from: report.brokenFrom,
    passes: report.passes,
    bytes_read: report.bytesRead,
    seconds: report.seconds,
    peak_memory_bytes: report.peakBytes,
  };
}
