/** Which well-known architectures a checkpoint has by its config, and where their tensors begin. */
import type { StateDict, StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { ConfigValues, KnownArchitecture } from "../known/architecture.js";
import { ARCHITECTURES, COMPOSITES, LANGUAGE_MODELS } from "../known/architectures.js";
import { NEVER_USED } from "../known/buffers.js";
import { unwrapName, type Wrapper } from "../known/names.js";

/** A part of a model whose names and shapes follow from its config: a whole model, the language model inside one, or a vision tower. */
export interface KnownPart {
  readonly architecture: KnownArchitecture;
  readonly config: ConfigValues;
  /** Its name in messages: "LlamaForCausalLM", "the text_config". */
  readonly owner: string;
  /** The prefix of its names in the files; null if no name belongs to it. */
  readonly prefix: string | null;
  /** Do loaders look for its names at that prefix? */
  readonly placed: boolean;
  /** Possible names of the output embedding. Empty if the model needs no output embedding. */
  readonly heads: readonly string[];
  /** By the config, is the output embedding the input embedding? Null if the config does not tell. */
  readonly tied: boolean | null;
}

/** The tensors under their names without wrappers, and the wrappers that were removed. */
export interface PlainNames {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly wrappers: ReadonlySet<Wrapper>;
}

export function plainNames(stateDict: StateDict): PlainNames {
  const tensors = new Map<string, StoredTensor>();
  const found = new Set<Wrapper>();
  for (const [stored, tensor] of stateDict) {
    const { name, wrappers } = unwrapName(stored);
    tensors.set(name, tensor);
    for (const wrapper of wrappers) {
      found.add(wrapper);
    }
  }
  return { tensors, wrappers: found };
}

/** So many names are enough to find their prefix. */
const MAX_NAMES = 4000;
/** The most parts of a name to look at; models have about ten. */
const MAX_PARTS = 32;

/** The parts of a model whose architecture is certain. */
export function knownParts({ tensors }: PlainNames, config: ModelConfig | null): readonly KnownPart[] {
  if (config === null || config.quantised || config.ownCode || isOfSeveral(config)) {
    return [];
  }
  const names = [...tensors.keys()];
  const className = config.architecture;
  const values = configValues(config.values);
  const type = config.modelType ?? "";
  const plain = ARCHITECTURES.get(type);
  if (plain !== undefined && plain.embedding !== null) {
    const kind =
      className === null
        ? "ForCausalLM"
        : new RegExp(`^${plain.className}(Model|For\\w+|LMHeadModel)$`).exec(className)?.[1];
    return kind === undefined
      ? []
      : [plainPart(plain, values, className ?? `a ${type} model`, CAUSAL.has(kind), config.tied, names)];
  }
  return COMPOSITES.has(type) && className !== null && /(Model|ForConditionalGeneration)$/.test(className)
    ? [...languageModel(config, names), ...tower(config, names)]
    : [];
}

/** A config that lists several classes does not tell which one was saved. */
function isOfSeveral({ values: { architectures } }: ModelConfig): boolean {
  return Array.isArray(architectures) && architectures.length > 1;
}

/** Endings of the class names of causal language models. */
const CAUSAL: ReadonlySet<string> = new Set(["ForCausalLM", "LMHeadModel"]);

function plainPart(
  architecture: KnownArchitecture,
  config: ConfigValues,
  owner: string,
  causal: boolean,
  tied: boolean | null,
  names: readonly string[],
): KnownPart {
  const prefix = prefixOf(architecture, names, [architecture.prefix, ""]);
  const before = prefix === null ? "" : outerOf(prefix, architecture.prefix);
  return {
    architecture,
    config,
    owner,
    prefix,
    placed: before === "",
    heads: causal ? (architecture.head?.names ?? []).map((name) => before + name) : [],
    tied,
  };
}

/** The numbers of the layers that have at least one tensor. */
export function layersOf({ architecture, prefix }: KnownPart, { tensors }: PlainNames): ReadonlySet<number> {
  const row = architecture.tensors.find(({ name }) => name.includes("*"));
  const before = `${prefix}${row?.name.slice(0, row.name.indexOf("*")) ?? ""}`;
  const layers = new Set<number>();
  for (const name of tensors.keys()) {
    const number = name.startsWith(before) ? /^(\d{1,6})\./.exec(name.slice(before.length))?.[1] : undefined;
    if (number !== undefined) {
      layers.add(Number(number));
    }
  }
  return layers;
}

/** The output embedding, under any of its names. */
export function headOf({ heads }: KnownPart, { tensors }: PlainNames): StoredTensor | undefined {
  return heads.flatMap((name) => tensors.get(name) ?? [])[0];
}

/** The text before the body's prefix, or before its names if it has no prefix. */
function outerOf(found: string, prefix: string): string {
  return found.endsWith(prefix) ? found.slice(0, found.length - prefix.length) : found;
}

function languageModel(config: ModelConfig, names: readonly string[]): readonly KnownPart[] {
  const text = subConfig(config, "text_config");
  const architecture = ARCHITECTURES.get(text?.modelType ?? "");
  if (text === null || architecture === undefined || architecture.embedding === null) {
    return [];
  }
  const prefix = prefixOf(
    architecture,
    names,
    LANGUAGE_MODELS.map((one) => one.prefix),
  );
  const place = LANGUAGE_MODELS.find((one) => one.prefix === prefix);
  const heads = (architecture.head?.names ?? []).flatMap((name) =>
    place === undefined ? [] : [place.head + name, name],
  );
  const said = [config.values.tie_word_embeddings, text.values.flag("tie_word_embeddings") ? true : undefined];
  const tied = said.includes(true) ? true : config.values.tie_word_embeddings === false ? false : null;
  const causal = config.architecture?.endsWith("ForConditionalGeneration") === true;
  return [
    {
      architecture,
      config: text.values,
      owner: `the ${architecture.modelType} model of text_config`,
      prefix,
      placed: place !== undefined,
      heads: causal ? heads : [],
      tied,
    },
  ];
}

function tower(config: ModelConfig, names: readonly string[]): readonly KnownPart[] {
  const vision = subConfig(config, "vision_config");
  const architecture = ARCHITECTURES.get(vision?.modelType ?? "");
  if (vision === null || architecture === undefined || architecture.embedding !== null) {
    return [];
  }
  // A tower may be loaded from another repository.
  return prefixesOf(architecture, names)
    .filter((prefix) => TOWER.test(prefix))
    .map((prefix) => ({
      architecture,
      config: vision.values,
      owner: `the ${architecture.modelType} of vision_config`,
      prefix,
      placed: true,
      heads: [],
      tied: null,
    }));
}

/** Prefixes of towers. */
const TOWER = /(^|\.)(vision|image|video)_(tower|model)\.$/;

function subConfig(
  { values }: ModelConfig,
  key: string,
): { readonly modelType: string | null; readonly values: ConfigValues } | null {
  const value = values[key];
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return null;
  }
  const record = value as Readonly<Record<string, unknown>>;
  const type = record.model_type;
  return { modelType: typeof type === "string" ? type : null, values: configValues(record) };
}

function configValues(values: Readonly<Record<string, unknown>>): ConfigValues {
  return {
    number: (key) => {
      const value = values[key];
      return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
    },
    flag: (key, otherwise = false) => {
      const value = values[key];
      return typeof value === "boolean" ? value : otherwise;
    },
    list: (key) => {
      const value = values[key];
      return Array.isArray(value) ? value.filter((item) => Number.isSafeInteger(item)) : [];
    },
  };
}

/**
 * The prefix of most names that belong to the architecture; null if there is none.
 * @param places prefixes where loaders look. If any name is at one of these, it is chosen.
 */
function prefixOf(architecture: KnownArchitecture, names: readonly string[], places: readonly string[]): string | null {
  const ranked = prefixesOf(architecture, names);
  return ranked.find((prefix) => places.includes(prefix)) ?? ranked[0] ?? null;
}

/** The prefixes of names that belong to the architecture, the most frequent one first. */
function prefixesOf({ tensors }: KnownArchitecture, names: readonly string[]): readonly string[] {
  const patterns = new Set(tensors.map(({ name }) => name));
  const votes = new Map<string, number>();
  const step = Math.ceil(names.length / MAX_NAMES);
  for (let index = 0; index < names.length; index += step) {
    const prefix = prefixBefore(names[index] ?? "", patterns);
    if (prefix !== null) {
      votes.set(prefix, (votes.get(prefix) ?? 0) + 1);
    }
  }
  return [...votes].sort((a, b) => b[1] - a[1]).map(([prefix]) => prefix);
}

/** The shortest prefix after which the name matches one of the patterns; null if there is none. */
function prefixBefore(name: string, patterns: ReadonlySet<string>): string | null {
  const parts = name.split(".", MAX_PARTS + 1);
  for (let first = 0; first < parts.length && parts.length <= MAX_PARTS; first++) {
    if (patterns.has(patternOf(parts.slice(first)))) {
      return parts
        .slice(0, first)
        .map((part) => `${part}.`)
        .join("");
    }
  }
  return null;
}

function patternOf(parts: readonly string[]): string {
  return parts.map((part) => (/^\d+$/.test(part) ? "*" : part)).join(".");
}

/**
 * LLaMA or GPT-NeoX, if all names belong to that family and the output embedding is among them; else null. Gemma has LLaMA's names,
 * but no output embedding of its own.
 */
export function familyByNames({ tensors }: PlainNames): "llama" | "gpt_neox" | null {
  const names = [...tensors.keys()].filter((name) => !NEVER_USED.test(name));
  for (const family of ["llama", "gpt_neox"] as const) {
    const row = ARCHITECTURES.get(family);
    if (row === undefined || !row.head?.names.some((name) => tensors.has(name))) {
      continue;
    }
    const patterns = new Set([...row.tensors.map(({ name }) => row.prefix + name), ...row.head.names]);
    if (names.every((name) => patterns.has(patternOf(name.split(".", MAX_PARTS + 1))))) {
      return family;
    }
  }
  return null;
}
