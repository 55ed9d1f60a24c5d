/** The commands: flags in, one call of the library, one report out. Each loads its own story: together they take as long as a small run. */
import type { Command } from "commander";
import { EXIT_CODES } from "../errors.js";
import { ALL_FAMILIES, FAMILIES } from "../scheme/families.js";
import { convertJson, convertText } from "./convert-report.js";
import {
  declareConvert,
  declareInspect,
  declareMakeDiff,
  declarePush,
  declareRecover,
  declareSchemes,
  declareVerify,
  declareXor,
} from "./flags.js";
import { inspectJson, inspectText } from "./inspect-report.js";
import {
  convertOptions,
  inspectOptions,
  makeDiffOptions,
  type Presentation,
  pushOptions,
  recoverOptions,
  verifyOptions,
  xorOptions,
} from "./options.js";
import { openProgress, type ProgressPrinter } from "./progress.js";
import { pushFields, pushJson, pushText } from "./push-report.js";
import { makeDiffJson, makeDiffText, recoverJson, recoverText } from "./report.js";
import { barePaths } from "./scheme-flags.js";
import { schemesJson, schemesText } from "./schemes-report.js";
import type { ResultWriter } from "./stdout.js";
import { VERIFY_FORMATS } from "./verify-report.js";
import { xorJson, xorText } from "./xor-report.js";

export interface CommandHost {
  readonly out: ResultWriter;
  readonly signal: AbortSignal;
  setExitCode(code: number): void;
}

/** Adds every command to the program. */
export function declareCommands(program: Command, host: CommandHost): void {
  declareRecover(program.command("recover").description("base + diff -> the fine-tuned model")).action(
    async (flags: Record<string, unknown>, { args }: Command) => {
      const { options, notes, ...look } = recoverOptions(barePaths(args, flags));
      const speak = await speaker(look);
      notes.forEach(speak.note);
      try {
        const report = await (await import("../commands/recover.js")).recover({
          ...options,
          signal: host.signal,
          onNote: speak.note,
          onWarning: speak.warn,
          onProgress: speak.progress,
        });
        speak.done();
        host.out.write(
          report.xor !== undefined
            ? (look.json ? xorJson : xorText)(report.xor, "recover")
            : look.json
              ? recoverJson(report)
              : recoverText(report),
        );
        if (options.expectSum === "known" && report.sumCheck === null && report.outcome !== "planned") {
          speak.note("--check_integrity_naively: no sum was published for this diff: computed, not compared");
        }
        host.setExitCode(report.sumCheck?.verdict === "fail" ? EXIT_CODES.CHECK_FAILED : 0);
      } finally {
        speak.done();
      }
    },
  );

  declareMakeDiff(program.command("make-diff").description("tuned - base -> a diff that can be published")).action(
    async (flags: Record<string, unknown>) => {
      const { options, push: publish, notes, ...look } = makeDiffOptions(flags);
      const speak = await speaker(look);
      const during = {
        signal: host.signal,
        onNote: speak.note,
        onWarning: speak.warn,
        onProgress: speak.progress,
      };
      try {
        notes.forEach(speak.note);
        if (publish !== null) {
          // What stands in the way of publishing is said before an hour's work, not after it.
          await (await import("../commands/push/target.js")).openTarget({
            ...publish,
            signal: host.signal,
            onWarning: speak.warn,
          });
        }
        const report = await (await import("../commands/make-diff.js")).makeDiff({ ...options, ...during });
        speak.done();
        if (publish === null || report.output === null || report.outcome === "planned") {
          host.out.write(look.json ? makeDiffJson(report) : makeDiffText(report));
          return;
        }
        if (!look.json) {
          host.out.write(makeDiffText(report));
        }
        const pushed = await (await import("../commands/push.js")).push({ ...publish, ...during, path: report.output });
        speak.done();
        host.out.write(look.json ? makeDiffJson(report, pushFields(pushed)) : pushText(pushed));
      } finally {
        speak.done();
      }
    },
  );

  declarePush(program.command("push").description("publish what make-diff or recover wrote, on the Hub")).action(
    async (path: string, repo: string, flags: Record<string, unknown>) => {
      const { options, ...look } = pushOptions(repo, flags);
      const speak = await speaker(look);
      try {
        const report = await (await import("../commands/push.js")).push({
          path,
          ...options,
          signal: host.signal,
          onNote: speak.note,
          onWarning: speak.warn,
          onProgress: speak.progress,
        });
        speak.done();
        host.out.write(look.json ? pushJson(report) : pushText(report));
      } finally {
        speak.done();
      }
    },
  );

  declareConvert(program.command("convert").description("Meta's LLaMA files -> Hugging Face's format")).action(
    async (source: string, output: string, flags: Record<string, unknown>) => {
      const { options, ...look } = convertOptions(flags);
      const speak = await speaker(look);
      try {
        const report = await (await import("../commands/convert.js")).convert({
          source,
          output,
          ...options,
          signal: host.signal,
          onNote: speak.note,
          onWarning: speak.warn,
          onProgress: speak.progress,
        });
        speak.done();
        host.out.write(look.json ? convertJson(report) : convertText(report));
      } finally {
        speak.done();
      }
    },
  );

  declareXor(program.command("xor").description("payload XOR base -> the model's files, or back with --encode")).action(
    async (dest: string, payload: string, base: string, flags: Record<string, unknown>) => {
      const { options, scheme, ...look } = xorOptions(flags);
      const speak = await speaker(look);
      try {
        const report = await (await import("../commands/xor.js")).xor({
          ...options,
          scheme,
          payload,
          raw: base,
          output: dest,
          signal: host.signal,
          onNote: speak.note,
          onWarning: speak.warn,
          onProgress: speak.progress,
        });
        speak.done();
        host.out.write((look.json ? xorJson : xorText)(report, "xor"));
      } finally {
        speak.done();
      }
    },
  );

  declareVerify(program.command("verify").description("is a checkpoint whole, and what it should be?")).action(
    async (path: string, flags: Record<string, unknown>) => {
      const { options, format, ...look } = verifyOptions(flags);
      const speak = await speaker(look);
      try {
        const report = await (await import("../commands/verify.js")).verify({
          path,
          ...options,
          signal: host.signal,
          onProgress: speak.progress,
        });
        speak.done();
        host.out.write(VERIFY_FORMATS[format](report));
        host.setExitCode(report.sound ? 0 : EXIT_CODES.CHECK_FAILED);
      } finally {
        speak.done();
      }
    },
  );

  declareSchemes(program.command("schemes").description("the published kinds of diffs, and what each means")).action(
    ({ json }: Record<string, unknown>) => {
      host.out.write(json === true ? schemesJson(ALL_FAMILIES) : schemesText(FAMILIES));
    },
  );

  declareInspect(program.command("inspect").description("what a checkpoint is, and its traps")).action(
    async (path: string, flags: Record<string, unknown>) => {
      const { json, quiet, progress, tensors, ...options } = inspectOptions(flags);
      const speak = await speaker({ json, quiet, progress });
      try {
        const report = await (await import("../commands/inspect.js")).inspect({
          path,
          ...options,
          signal: host.signal,
          onProgress: speak.progress,
        });
        speak.done();
        host.out.write(json ? inspectJson(report) : inspectText(report, tensors || options.digest));
      } finally {
        speak.done();
      }
    },
  );
}

interface Speaker {
  note(text: string): void;
  warn(text: string): void;
  readonly progress: ProgressPrinter["update"];
  done(): void;
}

/** stderr, with the bar out of the way of every line. */
async function speaker(look: Presentation): Promise<Speaker> {
  const printer = look.progress ? await openProgress(process.stderr) : null;
  const line = (text: string): void => {
    printer?.stop();
    process.stderr.write(`weight-diff: ${text}\n`);
  };
  const warned = new Set<string>();
  return {
    note: (text) => (look.quiet ? undefined : line(text)),
    // One command may check a thing twice: before the work, and after it.
    warn: (text) => {
      if (!warned.has(text)) {
        warned.add(text);
        line(`warning: ${text}`);
      }
    },
    progress: (state) => printer?.update(state),
    done: () => printer?.stop(),
  };
}
