/**
 * Sessions in the documentation: a block fenced as `console` is typed line by line, and what it shows is what comes. Blocks of one
 * page share a directory that holds the fixtures. A page that needs the Hub says so: `<!-- hub: org/name=fixtures/x … -->`.
 */
import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filesOf } from "../hub/repo.js";
import { startHub } from "../hub/server.js";
import { ROOT } from "./fixtures.js";

export interface Session {
  /** Line of the page where the block's first line stands, from 0. */
  readonly line: number;
  readonly steps: readonly { readonly command: string; readonly shown: readonly string[] }[];
  /** Lines that the block takes. */
  readonly length: number;
}

/** The page's console blocks. Output lines follow the command that starts with "$ "; "…" stands for lines left out. */
export function sessionsOf(page: string): readonly Session[] {
  const lines = page.split("\n");
  const sessions: Session[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (lines[at] !== "```console") {
      continue;
    }
    const line = at + 1;
    const end = lines.indexOf("```", line);
    const steps: { command: string; shown: string[] }[] = [];
    for (const text of lines.slice(line, end)) {
      if (text.startsWith("$ ")) {
        steps.push({ command: text.slice(2), shown: [] });
      } else {
        steps.at(-1)?.shown.push(text);
      }
    }
    sessions.push({ line, steps, length: end - line });
    at = end;
  }
  return sessions;
}

/** Runs `work` in a directory of its own where `weight-diff` is a command; `page` says which repositories its Hub has. */
export async function withShell<T>(
  page: string,
  work: (type: (command: string) => Promise<string[]>) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "weight-diff-docs-"));
  const home = join(folder, "home");
  const here = join(folder, "here");
  const bin = join(folder, "bin");
  const wanted = /<!-- hub: (.*?) -->/.exec(page)?.[1]?.split(" ") ?? [];
  const hub = wanted.length === 0 ? null : await startHub();
  try {
    for (const path of [home, here, bin]) {
      await mkdir(path);
    }
    await symlink(join(ROOT, "fixtures"), join(here, "fixtures"));
    const launcher = `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, "bin/weight-diff.js")}" "$@"\n`;
    await writeFile(join(bin, "weight-diff"), launcher);
    await chmod(join(bin, "weight-diff"), 0o755);
    for (const repository of wanted) {
      const [name = "", path = ""] = repository.split("=");
      hub?.add(name, filesOf(join(ROOT, path)));
    }
    hub?.account("hf_docs", { name: "me", namespaces: ["me"], accepted: [] });
    const env = {
      PATH: `${bin}:${process.env.PATH ?? ""}`,
      HOME: home,
      LANG: "C.UTF-8",
      ...(hub === null ? { HF_HUB_OFFLINE: "1" } : { HF_ENDPOINT: hub.endpoint, HF_TOKEN: "hf_docs" }),
    };
    return await work(async (command) => {
      const text = await run(command, here, env);
      return text
        .replaceAll(hub?.endpoint ?? "\0", "https://huggingface.co")
        .replaceAll(`${here}/`, "")
        .split("\n")
        .filter((line, index, all) => index < all.length - 1 || line !== "");
    });
  } finally {
    await hub?.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** stdout and stderr as they come. */
function run(command: string, cwd: string, env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", `${command} 2>&1`], { cwd, env });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
    child.on("error", reject);
    child.on("close", () => resolve(text));
  });
}

/** Figures that differ from run to run: seconds, rates, peak memory, commits. */
export function steady(line: string): string {
  return line
    .replace(/took {5}.*/, "took")
    .replace(/\b[0-9a-f]{40}\b/g, "<commit>")
    .replace(/"(seconds|bytes_per_second|peak_memory_bytes)": [\d.]+/g, '"$1": 0');
}
