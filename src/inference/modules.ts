/** The modules of a checkpoint by name: weights with their biases. Reports everything that is missing or has another shape at once. */
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import { NEVER_USED } from "../known/buffers.js";
import { isRunDtype } from "./values.js";

/** A matrix [outputs, inputs] or a norm [size], and its bias [outputs] or [size]. */
export interface Module {
  readonly weight: StoredTensor;
  readonly bias: StoredTensor | null;
}

/** Null: any size. */
type Sizes = readonly (number | null)[];

interface Modules {
  /**
   * A module that must exist. If it does not, the result cannot be used: call `refuse` before.
   * @param bias "none" ignores a stored bias; "may" takes zeros for a missing one, as transformers does.
   */
  must(name: string, shape: Sizes, bias: "must" | "may" | "none"): Module;
  /** Null if it does not exist. */
  may(name: string, shape: Sizes): Module | null;
  /**
   * @throws {WeightDiffError} MISMATCH if the module is a head and only it is missing. If others are missing too, `refuse` names all of
   * them.
   */
  refuseHeadless(name: string, config: string): void;
  /**
   * @throws {WeightDiffError} MISMATCH, naming what is missing or has another shape.
   * @param assumed what the message adds about the shapes.
   */
  refuse(path: string, config: string, assumed: string): void;
  /** Notes about tensors that are not used, and about biases that are zeros. */
  notes(): readonly string[];
}

export const RUNS = "F32, F16 and BF16 run: get the model as it was before it was quantised";

/** A message names so many tensors. */
const NAMED = 8;
const NOTED = 3;

export function findModules(stateDict: ReadonlyMap<string, StoredTensor>): Modules {
  const used = new Set<string>();
  const missing: string[] = [];
  const zeros: string[] = [];
  const wrong: string[] = [];
  /** @throws {WeightDiffError} FORMAT_UNSUPPORTED for an unsupported dtype. */
  const take = (name: string, shape: Sizes): StoredTensor | null => {
    const tensor = stateDict.get(name);
    if (tensor === undefined) {
      return null;
    }
    used.add(name);
    if (!isRunDtype(tensor.dtype)) {
      throw new WeightDiffError("FORMAT_UNSUPPORTED", `tensor ${quote(name)} is ${tensor.dtype}`, RUNS, {
        at: { file: tensor.shard.path, tensor: name },
      });
    }
    if (tensor.shape.length !== shape.length || shape.some((size, i) => size !== null && size !== tensor.shape[i])) {
      wrong.push(`${name} is ${shapeText(tensor.shape)}, expected ${shapeText(shape)}`);
    }
    return tensor;
  };
  const orListed = (name: string, shape: Sizes, list: string[]): StoredTensor | null => {
    const tensor = take(name, shape);
    if (tensor === null) {
      list.push(name);
    }
    return tensor;
  };
  return {
    must(name, shape, bias) {
      const own = shape.slice(0, 1);
      return {
        weight: orListed(`${name}.weight`, shape, missing) as StoredTensor, // missing ones are refused before they are used
        bias: bias === "none" ? null : orListed(`${name}.bias`, own, bias === "must" ? missing : zeros),
      };
    },
    may(name, shape) {
      const weight = take(`${name}.weight`, shape);
      return weight === null ? null : { weight, bias: null };
    },
    refuseHeadless(name, config) {
      if (missing.length > 0) {
        missing.push(`${name}.weight`);
        return;
      }
      throw new WeightDiffError(
        "MISMATCH",
        `the model has no output head: there is no ${name}.weight, and the config does not say that the embedding serves`,
        "a reward or base model does not write text: give the language model",
        { at: { file: config } },
      );
    },
    refuse(path, config, assumed) {
      refuse(path, missing, "tensors are missing");
      refuse(path, wrong, `tensors have other shapes than ${config} says${assumed}`);
    },
    notes() {
      const rest = [...stateDict.keys()].filter((name) => !used.has(name) && !NEVER_USED.test(name));
      return [
        ...(rest.length === 0 ? [] : [`tensors that are not used: ${listed(rest, NOTED)}`]),
        ...(zeros.length === 0
          ? []
          : [`biases that are missing, so zeros, as transformers has it: ${listed(zeros, NOTED)}`]),
      ];
    },
  };
}

function refuse(path: string, found: readonly string[], what: string): void {
  if (found.length > 0) {
    throw new WeightDiffError(
      "MISMATCH",
      `${found.length} ${what}: ${listed(found, NAMED)}`,
      "get the checkpoint again, or its config.json",
      { at: { file: path } },
    );
  }
}

function listed(names: readonly string[], most: number): string {
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return `${names.slice(0, most).map(quote).join(", ")}${more}`;
}

function shapeText(shape: Sizes): string {
  return `[${shape.map((size) => size ?? "any").join(", ")}]`;
}
