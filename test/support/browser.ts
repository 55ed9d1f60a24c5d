/** A real browser for pages: Debian's chromium, driven by playwright-core. */
import { spawnSync } from "node:child_process";
import { type Browser, chromium, type Page } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** Where one is; null if there is none. */
function browserPath(): string | null {
  for (const name of NAMES) {
    const { status, stdout } = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" });
    if (status === 0) {
      return stdout.trim();
    }
  }
  return null;
}

/** Why pages cannot be looked at here; false if they can. */
export function whyNoBrowser(): string | false {
  return browserPath() === null && `no browser is installed (${NAMES.join(", ")}): apt-get install chromium`;
}

/** As root, chromium has no sandbox; the pages are the tests' own. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: browserPath() ?? "", args: ["--no-sandbox"] });
}

/** What a page has asked for, said and failed with. */
export interface Watched {
  readonly page: Page;
  readonly requests: readonly string[];
  readonly said: readonly string[];
}

export async function watch(browser: Browser, options: Parameters<Browser["newPage"]>[0] = {}): Promise<Watched> {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, ...options });
  const requests: string[] = [];
  const said: string[] = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.message));
  return { page, requests, said };
}
