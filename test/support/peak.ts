/**
 * How much memory the program takes at most, in a process of its own: VmHWM, which an exec begins anew. (ru_maxrss, which Node
 * tells, begins with the peak of whoever started the process.)
 */
import { spawn } from "node:child_process";
import { BIN } from "../cli/command.js";

/** Only Linux tells. */
export const CAN_MEASURE = process.platform === "linux";

export interface Measured {
  readonly code: number | null;
  readonly peak: number;
  /** Bytes on stdout. */
  readonly printed: number;
  /** stderr, its end. */
  readonly said: string;
}

/** @param bin another checkout's program. */
export function peakOf(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  bin: string = BIN,
): Promise<Measured> {
  const hook = new URL("./tell-peak.js", import.meta.url).href;
  const child = spawn(process.execPath, ["--import", hook, bin, ...args, "--no-progress"], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  let [printed, said, told] = [0, "", ""];
  child.stdout?.on("data", (piece: Buffer) => {
    printed += piece.length;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-20_000);
  });
  child.stdio[3]?.on("data", (piece: Buffer) => {
    told += piece.toString();
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, peak: Number(told), printed, said }));
  });
}
