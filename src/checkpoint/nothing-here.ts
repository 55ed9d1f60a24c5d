/**
 * Tells why a directory, or a repository's folder, has no weights that can be read: what it holds instead, by names alone, and what to do.
 * Trainers, quantisers, unfinished downloads and archives leave such directories.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type ErrorCode, WeightDiffError } from "../errors.js";
import { isVocabulary } from "../files/side-names.js";
import { printable, quote } from "../formats/quote.js";
import { ORIGINAL_FLOATS } from "../formats/torch-globals.js";
import { PUBLISHED_FLOATS } from "../formats/weight-file.js";
import { isAddress, parseHubName } from "../hub/name.js";
import type { HubPlace } from "../hub/place.js";
import { PRECEDENCE } from "./layouts/huggingface.js";
import { findWeights } from "./layouts/registry.js";
import { readSettings } from "./tokenizer.js";

/** A directory in which no weights were found. */
interface BarePlace {
  /** As the user wrote it. */
  readonly path: string;
  readonly directory: string;
  /** Bare names of its files and folders, sorted. */
  readonly names: readonly string[];
  /** For a repository, whose folders are not on this disk. */
  readonly hub: Pick<HubPlace, "id" | "folder" | "folders"> | null;
}

type Finding = readonly [code: ErrorCode, fact: string, hint: string];

/** The most folders to look into. */
const MAX_FOLDERS = 100;
const SHOWN = 5;

/** The explanations, the most helpful one first. The first that applies is told. */
export async function nothingHere(place: BarePlace): Promise<WeightDiffError> {
  const finding =
    shardsWithoutIndex(place) ??
    wrongCase(place) ??
    (await oneDeeper(place)) ??
    unfinished(place.names) ??
    unfinished(await inCache(place)) ??
    (await adapter(place)) ??
    otherFormat(place) ??
    otherNames(place) ??
    onlySmallFiles(place) ??
    nothing(place);
  const [code, fact, hint] = finding;
  const hidden = hiddenRepository(place);
  return new WeightDiffError(code, fact, hidden === null ? hint : `${hint}; ${hidden}`, {
    at: { file: place.path },
  });
}

/** A local folder wins over a repository of the same name. A user who meant the repository is told how to name it. */
function hiddenRepository({ path, hub }: BarePlace): string | null {
  const name = hub === null && !isAddress(path) ? parseHubName(path) : null;
  return name === null || name.explicit
    ? null
    : `this folder hides the Hub's repository of that name, which is hf://${name.id}${name.revision === null ? "" : `@${name.revision}`}`;
}

function shardsWithoutIndex({ names }: BarePlace): Finding | null {
  const shard = names.find((name) => /^(pytorch_model|model)-\d+(-of-\d+)?\.(bin|safetensors)$/.test(name));
  if (shard === undefined || /-0*1-of-0*1\./.test(shard)) {
    return null;
  }
  const index = shard.endsWith(".bin") ? "pytorch_model.bin.index.json" : "model.safetensors.index.json";
  return [
    "NOT_FOUND",
    `has shards (${shard}) without their index ${index}`,
    `fetch ${index} from where the shards came from: it says which tensor is in which shard`,
  ];
}

function wrongCase({ names }: BarePlace): Finding | null {
  const shouted = names.find((name) => PRECEDENCE.some(({ file }) => file === name.toLowerCase()));
  return shouted === undefined
    ? null
    : [
        "NOT_FOUND",
        `no weights here: ${printable(shouted)} is not ${shouted.toLowerCase()}, the name that every loader looks for`,
        `rename it to ${shouted.toLowerCase()}`,
      ];
}

/** Meta's whole download has a folder for every size, a trainer's output one for every checkpoint, an unpacked archive a single one. */
async function oneDeeper({ path, directory, names, hub }: BarePlace): Promise<Finding | null> {
  const metas: string[] = [];
  const usual: string[] = [];
  for (const name of hub === null ? names.slice(0, MAX_FOLDERS) : []) {
    const inside = await readdir(join(directory, name)).catch((): string[] => []);
    const layout = findWeights(new Set(inside))?.layout;
    if (layout !== undefined) {
      (layout === "meta" ? metas : usual).push(name);
    }
  }
  const found = [...usual, ...metas];
  if (found.length === 0) {
    return null;
  }
  const places = [
    ...(usual.length === 0 ? [] : [`in ${listed(usual)}`]),
    ...(metas.length === 0 ? [] : [`Meta's in ${listed(metas)}`]),
  ];
  return [
    "NOT_FOUND",
    `no weights here, but ${places.join(" and ")}`,
    `give ${found.length === 1 ? "that" : "one of them"}: ${listed(found.map((name) => join(path, name)))}`,
  ];
}

/** Endings of unfinished files: of huggingface_hub, wget and curl, aria2, and browsers. */
const PART = /\.(incomplete|part|partial|crdownload|aria2|download|opdownload)$/;

function unfinished(names: readonly string[]): Finding | null {
  const parts = names.filter((name) => PART.test(name));
  return parts.length === 0
    ? null
    : [
        "NOT_FOUND",
        `no weights here, but a download that is not finished: ${listed(parts)}`,
        "run the download again until it says that it is done; hf download goes on where it stopped",
      ];
}

/** The place where `hf download --local-dir` keeps unfinished files. */
async function inCache({ directory, hub }: BarePlace): Promise<readonly string[]> {
  const folder = join(".cache", "huggingface", "download");
  const names = hub === null ? await readdir(join(directory, folder)).catch((): string[] => []) : [];
  return names.sort().map((name) => join(folder, name));
}

/** The files that peft saves. adapter_config.json names the base (peft's PeftConfig, base_model_name_or_path). */
async function adapter({ directory, names }: BarePlace): Promise<Finding | null> {
  const name = names.find((candidate) => /^adapter_model\.(bin|safetensors)$/.test(candidate));
  if (name === undefined) {
    return null;
  }
  const { base_model_name_or_path: base } = await readSettings(directory, "adapter_config.json");
  const whose = typeof base === "string" && base !== "" ? ` for ${quote(base)}` : "";
  return ["FORMAT_UNSUPPORTED", `holds ${printable(name)}: a LoRA adapter${whose}, not whole weights`, MERGE_ADAPTER];
}

/** What to do about a LoRA adapter. */
export const MERGE_ADAPTER = "merge it with peft: PeftModel.from_pretrained(base, adapter).merge_and_unload()";
const OTHER_RUNTIME = "get the PyTorch or safetensors files of the same model";

/** [a telltale name, what it is, what to do]. */
const OTHER_FORMATS: readonly (readonly [pattern: RegExp, what: string, hint: string])[] = [
  [
    /\.enc$/,
    "XOR-encrypted files (point-alpaca, BELLE), not a checkpoint",
    "recover it: give the directory as the diff, and Meta's 7B consolidated.00.pth as the base",
  ],
  [
    /^global_step\d+$|^zero_to_fp32\.py$|_(optim|model)_states\.pt$/,
    "a DeepSpeed checkpoint, whose weights are cut up",
    "gather them: python zero_to_fp32.py . OUT in this directory (DeepSpeed puts the script there), then give OUT",
  ],
  [
    /\.distcp$|^pytorch_model_fsdp_\d+$/,
    "a sharded checkpoint of torch.distributed (FSDP)",
    "gather it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch DIR pytorch_model.bin, or accelerate merge-weights DIR OUT",
  ],
  [
    /^consolidated([-.]\d+(-of-\d+)?)?\.safetensors$/,
    "Mistral's own format, with its own names for tensors",
    "get the Hugging Face files of the same model: model.safetensors, or its shards and their index",
  ],
  [
    /^(quantize_config|quant_config)\.json$|^gptq_model|[-_.](gptq|awq|exl2|int[48]|[2-8]bit)([-_.].*)?\.(safetensors|bin|pt)$/i,
    "quantised weights (GPTQ, AWQ and the like)",
    ORIGINAL_FLOATS,
  ],
  [/\.(gguf|ggml)$|^ggml-.*\.bin$/, "llama.cpp files", PUBLISHED_FLOATS],
  [
    /^(koala_\d+b_diff|streaming_(params|train_state))/,
    "EasyLM checkpoints (Koala), each one file",
    "give one of these files itself, not their directory",
  ],
  [
    /^latest_checkpointed_iteration\.txt$|^iter_\d{7}$|^mp_rank_\d+(_\d+)?$|^model_optim_rng\.pt$/,
    "a Megatron checkpoint",
    "convert it to Hugging Face's format with the converter of whoever trained it",
  ],
  [/\.msgpack$/, "a Flax checkpoint", OTHER_RUNTIME],
  [/\.h5$|\.ckpt\.(index|meta)$/, "a TensorFlow checkpoint", OTHER_RUNTIME],
  [
    /\.onnx(_data)?$|^openvino_model\.|\.(mlmodel|mlpackage|tflite|engine|nemo|npz)$/,
    "a model for another runtime (ONNX, OpenVINO, Core ML, NeMo, MLX and the like)",
    OTHER_RUNTIME,
  ],
  [
    /\.(zip|tar|tgz|tbz2|txz|tar\.(gz|bz2|xz|zst)|7z|rar)(\.\d+)?$/,
    "a packed archive",
    "unpack it, and give the folder",
  ],
  [/^models--/, "a whole Hub cache", "give one of its models--org--name folders"],
];

function otherFormat({ names }: BarePlace): Finding | null {
  for (const [pattern, what, hint] of OTHER_FORMATS) {
    const name = names.find((candidate) => pattern.test(candidate));
    if (name !== undefined) {
      return ["FORMAT_UNSUPPORTED", `holds ${printable(name)}: ${what}`, hint];
    }
  }
  return null;
}

/** Files that trainers write beside the weights with the same endings. */
const NO_WEIGHTS = /^(training_args|optimizer|scheduler|scaler|rng_state)/;

/** Weight files with names that no loader looks for: variants such as model.fp16.safetensors, or the publisher's own names. */
function otherNames({ path, names }: BarePlace): Finding | null {
  const files = names.filter((name) => /\.(safetensors|bin|pt|pth|ckpt)$/.test(name) && !NO_WEIGHTS.test(name));
  const [first] = files;
  if (first === undefined) {
    return null;
  }
  const usual = first.endsWith(".safetensors") ? "model.safetensors" : "pytorch_model.bin";
  return files.length === 1
    ? [
        "NOT_FOUND",
        `no weights here under a name that loaders look for, but ${printable(first)}`,
        `give that file itself, ${printable(join(path, first))}, or rename it ${usual} so that config and tokenizer go along`,
      ]
    : [
        "NOT_FOUND",
        `no weights here under names that loaders look for, but ${listed(files)}`,
        `give one of these files itself; shards of one model need their index, ${usual}.index.json`,
      ];
}

function onlySmallFiles({ names }: BarePlace): Finding | null {
  const known = names.filter((name) => name === "config.json" || isVocabulary(name));
  return known.length === 0
    ? null
    : [
        "NOT_FOUND",
        `no weights here, only what lies beside them (${listed(known)})`,
        `fetch ${PRECEDENCE[0].file} or ${PRECEDENCE[2].file}, or shards and index, from where these files came from`,
      ];
}

function nothing({ names, hub }: BarePlace): Finding {
  const looked = `looked for ${PRECEDENCE.map(({ file }) => file).join(", ")}`;
  if (hub !== null && hub.folders.length > 0) {
    const inside = hub.folders.map((name) => [hub.id, hub.folder, name].filter((part) => part !== "").join("/"));
    return [
      "NOT_FOUND",
      `no weights here (${looked}), but folders: ${listed(hub.folders)}`,
      `give the one with the weights: ${listed(inside)}`,
    ];
  }
  return [
    "NOT_FOUND",
    `no weights here (${looked})${names.length === 0 ? ": the directory is empty" : ""}`,
    "give the directory that holds config.json and the weight files",
  ];
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).map(printable).join(", ");
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}
