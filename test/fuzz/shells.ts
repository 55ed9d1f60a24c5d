/** Digests and checksums that fit what was mutated: what is behind them is reached. */
import { createHash } from "node:crypto";
import { digestOf } from "../../src/manifest/write.js";

export interface Shell {
  /** What is mutated of a seed. */
  readonly open: (seed: Uint8Array) => Uint8Array;
  /** How the file is made of it again. */
  readonly close: (inner: Uint8Array) => Uint8Array;
}

/** A manifest without its digest, which is the last key; only what is JSON gets one. */
export const DIGESTED: Shell = {
  open: (seed) =>
    Buffer.from(
      Buffer.from(seed)
        .toString()
        .replace(/,"digest":"[0-9a-f]{64}"\}$/, "}"),
    ),
  close(inner) {
    const text = Buffer.from(inner).toString();
    try {
      return Buffer.from(text.replace(/\}\s*$/, `,"digest":"${digestOf(JSON.parse(text))}"}`));
    } catch {
      return inner;
    }
  },
};

/** Lines of a journal without their checksums; the first one's salts the others'. */
export const CHECKED_LINES: Shell = {
  open: (seed) =>
    Buffer.from(
      Buffer.from(seed)
        .toString()
        .replaceAll(/^[0-9a-f]{32} /gm, ""),
    ),
  close(inner) {
    let salt = "";
    const lines = Buffer.from(inner).toString().split("\n").slice(0, -1);
    return Buffer.from(
      lines
        .map((json) => {
          const sum = createHash("sha256").update(salt).update(json).digest("hex").slice(0, 32);
          salt = salt === "" ? sum : salt;
          return `${sum} ${json}\n`;
        })
        .join(""),
    );
  },
};
