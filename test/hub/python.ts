/** The real Python huggingface_hub in a process of its own, called function by function, with the test Hub as its endpoint. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "../support/fixtures.js";

const CLIENT = join(ROOT, "test", "conformance", "hub_client.py");

export interface PythonAnswer {
  readonly value?: unknown;
  /** Name of the exception's class. */
  readonly error?: string;
  readonly message?: string;
}

export interface PythonHub {
  call(name: string, args: Readonly<Record<string, unknown>>): Promise<PythonAnswer>;
  close(): Promise<void>;
}

/** @param env HF_ENDPOINT, HF_HOME, HF_TOKEN. Xet is off: the test Hub has none. */
export function startPython(python: string, env: Readonly<Record<string, string>>): PythonHub {
  const child = spawn(python, [CLIENT], {
    env: { PATH: process.env.PATH ?? "", HF_HUB_DISABLE_XET: "1", HF_HUB_DISABLE_TELEMETRY: "1", ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    call: async (name, args) => {
      child.stdin.write(`${JSON.stringify({ call: name, args })}\n`);
      const { value, done } = await lines.next();
      assert.notEqual(done, true, `python ended during ${name}`);
      return JSON.parse(String(value));
    },
    close: () => {
      child.stdin.end();
      return ended;
    },
  };
}
