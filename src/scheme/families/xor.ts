/** Whole files, byte by byte. These families use no axis of tensors (commands/xor/plan.ts). */
import type { Scheme } from "../axes.js";
import type { Family, Script } from "../family.js";
import { WEIGHT_DIFF } from "../presets.js";

const XOR_OF_FILES: Omit<Scheme, "name"> = {
  ...WEIGHT_DIFF,
  operation: "xor",
  loading: "files",
  arithmetic: "stored",
  output: "stored",
  newRows: "refuse",
};

const XOR_CODEC: Script = {
  repo: "LAION-AI/Open-Assistant",
  file: "scripts/xor-codec/xor_codec.py",
  commit: "f1e6ed9526f5817531f3ab85441a40b3671ddccb",
};

export const XOR_FAMILIES: readonly Family[] = [
  {
    scheme: { ...XOR_OF_FILES, name: "oa-xor" },
    who: "OpenAssistant",
    summary: "every file XORed with the base's file of the same name",
    script: XOR_CODEC,
    repos: [],
    byMarkOnly: true,
  },
  {
    scheme: { ...XOR_OF_FILES, name: "pygmalion" },
    who: "Pygmalion, Metharme",
    summary: "as oa-xor; JSON files that can be read as they are stay as they are",
    script: XOR_CODEC,
    repos: [],
    byMarkOnly: true,
  },
  {
    scheme: { ...XOR_OF_FILES, name: "point-alpaca" },
    who: "point-alpaca, BELLE, lawyer-llama v1",
    summary: ".enc files XORed with Meta's 7B consolidated.00.pth; each states the sha256 of its content",
    script: {
      repo: "pointnetwork/point-alpaca",
      file: "decrypt.py",
      commit: "ca8611d1a9e2a42d01dfbee62cfb06be70e3299e",
    },
    repos: [],
    byMarkOnly: true,
  },
];
