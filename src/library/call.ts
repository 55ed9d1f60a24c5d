/** One call of the library: checks the options first, and lets nothing but a WeightDiffError out. */
import { WeightDiffError } from "../errors.js";
import { machineError } from "../files/errno.js";
import { STREAM } from "../files/pipe.js";
import { type LibraryOptions, refuseWrongOptions } from "./options.js";

/** The option that names the output, by function. A function without one leaves nothing to continue. */
const OUTPUT: { readonly [C in keyof LibraryOptions]?: keyof LibraryOptions[C] } = {
  recover: "tuned",
  makeDiff: "diff",
  convert: "output",
  xor: "output",
  chainMaterialize: "tuned",
  chainFold: "output",
  chainMake: "chain",
};

/** @throws {WeightDiffError} USAGE; INTERRUPTED once `signal` is aborted, with its reason as the cause; whatever `run` throws. */
export async function call<C extends keyof LibraryOptions, R>(
  name: C,
  options: LibraryOptions[C],
  run: (options: LibraryOptions[C]) => Promise<R>,
): Promise<R> {
  refuseWrongOptions(name, options);
  const signal = "signal" in options ? options.signal : undefined;
  const output = OUTPUT[name];
  const writes =
    output !== undefined && typeof options[output] === "string" && options[output] !== STREAM && !isDryRun(options);
  const isStopped = (): boolean => signal?.aborted === true;
  if (isStopped()) {
    throw interrupted(signal?.reason, false);
  }
  try {
    return await run(options);
  } catch (error) {
    const known = machineError(error);
    const stopped = known instanceof WeightDiffError ? known.code === "INTERRUPTED" : isStopped();
    throw stopped ? interrupted(signal?.reason, writes) : known;
  }
}

function isDryRun(options: object): boolean {
  return "dryRun" in options && options.dryRun === true;
}

function interrupted(reason: unknown, writes: boolean): WeightDiffError {
  return reason instanceof WeightDiffError
    ? reason
    : new WeightDiffError("INTERRUPTED", `interrupted${writes ? ": what is finished stays" : ""}`, undefined, {
        cause: reason,
        advice: writes ? [{ to: "continue", option: "mode", value: "resume" }] : [],
      });
}
