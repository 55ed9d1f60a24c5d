/**
 * How verify checks names and shapes. For well-known architectures they follow from config.json, so verify finds missing and cut tensors
 * without a digest. For other architectures it only reports traces of training frameworks.
 */
import type { StateDict, StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { headOf, type KnownPart, knownParts, layersOf, type PlainNames, plainNames } from "../evidence/architecture.js";
import { findUngathered } from "../evidence/ungathered.js";
import type { AddFinding } from "../finding.js";
import { quote } from "../formats/quote.js";
import { type Shape, shapeText } from "../formats/tensor-info.js";
import type { ArchitectureTensor, Sizes } from "../known/architecture.js";

/** Tensors whose values can be judged by their role in the model, by their names in the files. */
export interface Judged {
  /** Matrices, and scales of norms: a model in which one of them is all zero is broken. */
  readonly neverZero: ReadonlySet<string>;
  /** The output embedding, where the config ties it to the input embedding. */
  readonly tied: { readonly input: string; readonly output: string } | null;
}

const FILE = "config.json";
const CODE = "architecture";
/** The most findings of one kind: a shape that is wrong in every layer is one mistake. */
const SHOWN = 20;

/**
 * Does config.json describe these tensors?
 * @param made the tensors as the manifest states them, by name: who wrote it had the other side and found them gathered.
 */
export function checkArchitecture(
  stateDict: StateDict,
  config: ModelConfig | null,
  report: AddFinding,
  made: ReadonlyMap<string, { readonly shape: Shape }> = new Map(),
): Judged {
  const names = plainNames(stateDict);
  const parts = knownParts(names, config);
  if (parts.length > 0) {
    for (const { part, who } of names.wrappers) {
      report(
        "warning",
        `names have ${quote(`${part}.`)} in them: ${who} put it there, and loaders do not know these names`,
        {
          code: CODE,
        },
      );
    }
  }
  const judged = parts.map((part) => checkPart(part, names, report));
  const matrices = judged.flatMap(({ found }) => found.filter(({ row }) => row.shape.includes(" ")));
  const cut = findUngathered(stateDict, {
    matrices: new Set(matrices.map(({ tensor }) => tensor.name)),
    isGathered: (name, { shape }) => made.get(name)?.shape.join() === shape.join(),
  });
  if (cut !== null) {
    report("error", `${cut.fact}; ${cut.remedy}`, { code: "ungathered" });
  }
  const told = cut?.names ?? new Set();
  for (const { found, sizes, owner } of judged) {
    checkShapes(
      found.filter(({ tensor }) => !told.has(tensor.name)),
      sizes,
      owner,
      report,
    );
  }
  const neverZero = new Set(
    judged.flatMap(({ found }) =>
      found.flatMap(({ row, tensor }) => (row.scale || tensor.shape.length > 1 ? [tensor.name] : [])),
    ),
  );
  return { neverZero, tied: judged.find(({ tied }) => tied !== null)?.tied ?? null };
}

interface Found {
  readonly row: Pick<ArchitectureTensor, "shape" | "scale">;
  readonly tensor: StoredTensor;
}

interface JudgedPart {
  readonly owner: string;
  readonly found: readonly Found[];
  readonly sizes: ReadonlyMap<string, number>;
  readonly tied: Judged["tied"];
}

function checkPart(part: KnownPart, names: PlainNames, report: AddFinding): JudgedPart {
  const { tensors } = names;
  const { architecture, prefix, owner } = part;
  if (prefix === null) {
    report("error", `not one tensor has a name of ${owner}'s`, { file: FILE, code: CODE });
    return { owner, found: [], sizes: new Map(), tied: null };
  }
  if (!part.placed) {
    report("warning", `names begin with ${quote(prefix)}: loaders do not look for ${owner}'s there`, { code: CODE });
  }
  const stated = architecture.sizes(part.config);
  const layers = layersOf(part, names);
  checkLayers(stated.L ?? null, layers, architecture.keys.L ?? "", report);
  const found: Found[] = [];
  for (const row of architecture.tensors) {
    found.push(...rowTensors(row, part, stated, layers, tensors, report));
  }
  const embedding = architecture.embedding === null ? undefined : tensors.get(prefix + architecture.embedding);
  const head = headOf(part, names);
  checkHead(part, embedding, head, tensors, report);
  if (head !== undefined && architecture.head !== null) {
    found.push({ row: architecture.head, tensor: head });
  }
  const sizes = sizesByTensors(found, stated, architecture.keys, report);
  const tied =
    part.tied === true && embedding !== undefined && head !== undefined
      ? { input: embedding.name, output: head.name }
      : null;
  return { owner, found, sizes, tied };
}

function checkLayers(stated: number | null, layers: ReadonlySet<number>, key: string, report: AddFinding): void {
  const count = stated ?? layers.size;
  if (layers.size !== count) {
    report("error", `${key} is ${stated}, the number of layers among the tensors is ${layers.size}`, {
      file: FILE,
      code: CODE,
    });
  } else if ([...layers].some((layer) => layer >= count)) {
    report("error", `the ${count} layers among the tensors are not 0 to ${count - 1}`, { code: CODE });
  }
}

/** Finds the tensors of one row of the table, and reports missing ones. */
function rowTensors(
  row: ArchitectureTensor,
  { architecture, prefix, config, owner }: KnownPart,
  { E: experts = null }: Sizes,
  layers: ReadonlySet<number>,
  tensors: ReadonlyMap<string, StoredTensor>,
  report: AddFinding,
): readonly Found[] {
  const places = placesOf(row, config, layers, experts);
  const found = places.flatMap(({ name }) => {
    const tensor = tensors.get(prefix + name);
    return tensor === undefined ? [] : [{ row, tensor }];
  });
  const missing = places.filter(({ name }) => !tensors.has(prefix + name));
  // A tied model may be saved with its output embedding only.
  if (missing.length === 0 || row.name === architecture.embedding || (row.otherwiseStored && found.length === 0)) {
    return found;
  }
  const where = [...new Set(missing.flatMap(({ layer }) => layer ?? []))];
  const all = missing.length === places.length;
  const which =
    where.length === 0
      ? "missing"
      : all
        ? "missing in every layer"
        : `missing in layer ${where.slice(0, SHOWN).join(", ")}${where.length > SHOWN ? ` and ${where.length - SHOWN} more` : ""}`;
  report("error", `${which}: ${owner} has it`, { tensor: prefix + row.name, code: CODE });
  return found;
}

interface Place {
  readonly name: string;
  readonly layer: number | null;
}

function placesOf(
  { name, when }: ArchitectureTensor,
  config: KnownPart["config"],
  layers: ReadonlySet<number>,
  experts: number | null,
): readonly Place[] {
  if (!name.includes("*")) {
    return when?.(config, 0) === false ? [] : [{ name, layer: null }];
  }
  return [...layers]
    .filter((layer) => when?.(config, layer) !== false)
    .flatMap((layer): readonly Place[] => {
      const inLayer = name.replace("*", String(layer));
      return inLayer.includes("*")
        ? Array.from({ length: Math.min(experts ?? 0, MAX_EXPERTS) }, (_, expert) => ({
            name: inLayer.replace("*", String(expert)),
            layer,
          }))
        : [{ name: inLayer, layer }];
    });
}

/** A config may state any number. */
const MAX_EXPERTS = 4096;

function checkHead(
  { tied, heads, owner, architecture, prefix }: KnownPart,
  embedding: StoredTensor | undefined,
  head: StoredTensor | undefined,
  tensors: ReadonlyMap<string, StoredTensor>,
  report: AddFinding,
): void {
  if (embedding === undefined && architecture.embedding !== null && (head === undefined || tied === false)) {
    report("error", `missing: ${owner} has it`, { tensor: `${prefix}${architecture.embedding}`, code: CODE });
  }
  if (
    head === undefined &&
    heads.length > 0 &&
    tied === false &&
    ![...tensors.keys()].some((name) => OWN_HEAD.test(name))
  ) {
    report("error", "tie_word_embeddings is false, and there is no output embedding", { file: FILE, code: CODE });
  }
}

/** What reward models have in place of an output embedding, whatever class their config names. */
const OWN_HEAD = /(^|\.)(score|v_head|value_head|value_model|reward_head|rm_head|classifier|regression_layer)(\.|$)/;

/** Where the config states a wrong size or none, takes the size that most tensors have, and reports the difference. */
function sizesByTensors(
  found: readonly Found[],
  stated: Sizes,
  keys: Readonly<Record<string, string>>,
  report: AddFinding,
): ReadonlyMap<string, number> {
  const votes = new Map<string, Map<number, { count: number; readonly first: StoredTensor }>>();
  for (const { row, tensor } of found) {
    const dims = row.shape.split(" ");
    if (dims.length !== tensor.shape.length) {
      continue;
    }
    dims.forEach((dim, index) => {
      const { factor, letter } = sizeOf(dim);
      const size = (tensor.shape[index] ?? 0) / factor;
      if (letter === null || !Number.isInteger(size) || size === 0) {
        return;
      }
      const sizes = votes.get(letter) ?? new Map<number, { count: number; readonly first: StoredTensor }>();
      const vote = sizes.get(size) ?? { count: 0, first: tensor };
      vote.count++;
      sizes.set(size, vote);
      votes.set(letter, sizes);
    });
  }
  const sizes = new Map<string, number>();
  const wrong: { readonly letter: string; readonly text: string }[] = [];
  for (const [letter, found] of votes) {
    const said = stated[letter] ?? null;
    const [most] = [...found].sort((a, b) => b[1].count - a[1].count);
    if (most === undefined || (said !== null && found.has(said))) {
      continue;
    }
    const [size, { first }] = most;
    sizes.set(letter, size);
    if (said !== null) {
      const verb = DERIVED.has(letter) ? "makes" : "is";
      const text = `${keys[letter]} ${verb} ${said}, the tensors have ${size}: ${quote(first.name)} is ${shapeText(first.shape)}`;
      wrong.push({ letter, text });
    }
  }
  // A product is wrong if its factors are; only the factors are reported.
  const own = wrong.filter(({ letter }) => !DERIVED.has(letter));
  for (const { text } of own.length > 0 ? own : wrong) {
    report("error", text, { file: FILE, code: CODE });
  }
  for (const [letter, said] of Object.entries(stated)) {
    if (said !== null && !sizes.has(letter)) {
      sizes.set(letter, said);
    }
  }
  return sizes;
}

/** Sizes without a key of their own in config.json, such as heads times head size. */
const DERIVED: ReadonlySet<string> = new Set(["Q", "K", "P", "N", "D"]);

function sizeOf(dim: string): { readonly factor: number; readonly letter: string | null } {
  const [, factor = "", letter = ""] = /^(\d*)([A-Z]?)$/.exec(dim) ?? [];
  return { factor: factor === "" ? 1 : Number(factor), letter: letter === "" ? null : letter };
}

function checkShapes(
  found: readonly Found[],
  sizes: ReadonlyMap<string, number>,
  owner: string,
  report: AddFinding,
): void {
  const wrong = found.flatMap(({ row, tensor }) => {
    const expected = row.shape.split(" ").map((dim) => {
      const { factor, letter } = sizeOf(dim);
      const size = letter === null ? 1 : sizes.get(letter);
      return size === undefined ? null : factor * size;
    });
    return fits(tensor.shape, expected) ? [] : [{ tensor, expected }];
  });
  for (const { tensor, expected } of wrong.slice(0, SHOWN)) {
    const wanted = `[${expected.map((size) => size ?? "any").join(", ")}]`;
    report("error", `is ${shapeText(tensor.shape)}: in ${owner} it is ${wanted}`, {
      file: tensor.shard.file,
      tensor: tensor.name,
      code: CODE,
    });
  }
  if (wrong.length > SHOWN) {
    report("error", `${wrong.length - SHOWN} more tensors have other shapes than ${owner}'s`, { code: CODE });
  }
}

function fits(shape: Shape, expected: readonly (number | null)[]): boolean {
  return shape.length === expected.length && expected.every((size, index) => size === null || size === shape[index]);
}
