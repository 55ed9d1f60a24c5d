/**
 * Inputs that are not what they seem: links that lead to the user's own files, and files in whose place, during the run, a named
 * pipe or a folder stands. Nothing foreign is copied or published, and nothing waits for ever.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { convert } from "../../src/commands/convert.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { push } from "../../src/commands/push.js";
import { recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { localDisk } from "../../src/engine/io/disk.js";
import { startHub } from "../hub/server.js";
import { FIXTURES } from "../support/fixtures.js";
import { refuses } from "../support/refusal.js";

const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
after(() => rmSync(HOME, { recursive: true }));
const SECRET = "hf_the_users_own_token\n";
const TOKEN = join(HOME, "token");
writeFileSync(TOKEN, SECRET);
const RAW = join(FIXTURES, "demo/base");

function copyOf(source: string): string {
  const copy = mkdtempSync(join(HOME, "copy-"));
  cpSync(source, copy, { recursive: true });
  return copy;
}

/** Puts something else in the place of a file. */
const swaps = {
  "a named pipe": (path: string): void => {
    rmSync(path);
    execFileSync("mkfifo", [path]);
  },
  "a folder": (path: string): void => {
    rmSync(path);
    mkdirSync(path);
  },
  "a link to another place": (path: string): void => {
    rmSync(path);
    symlinkSync(TOKEN, path);
  },
} as const;

for (const file of ["LICENSE.txt", "tokenizer.extra", "config.json"]) {
  test(`recover refuses a diff whose ${file} leads to the user's token, and writes nothing`, async () => {
    const diff = copyOf(join(FIXTURES, "demo/diff"));
    rmSync(join(diff, file), { force: true });
    if (file === "config.json") {
      writeFileSync(join(HOME, "secret.json"), JSON.stringify({ auths: SECRET }));
    }
    symlinkSync(file === "config.json" ? join(HOME, "secret.json") : "../token", join(diff, file));
    const tuned = join(mkdtempSync(join(HOME, "out-")), "tuned");
    await refuses(
      () => recover({ raw: RAW, diff, tuned }),
      "LINK_OUTSIDE",
      new RegExp(`${diff}/${file}: a link leads out`),
    );
    assert.ok(!existsSync(tuned));
  });
}

test("make-diff refuses a tuned model with a link that leads out of its folder", async () => {
  const tuned = join(mkdtempSync(join(HOME, "made-")), "tuned");
  await recover({ raw: RAW, diff: join(FIXTURES, "demo/diff"), tuned });
  symlinkSync("../../token", join(tuned, "NOTICE"));
  await refuses(() => makeDiff({ raw: RAW, tuned, diff: `${tuned}-diff` }), "LINK_OUTSIDE", /NOTICE: a link leads out/);
});

test("convert refuses a link out of Meta's folder, but follows one to the tokenizer above it", async () => {
  const meta = copyOf(join(FIXTURES, "meta"));
  const [size] = readdirSync(meta).filter((name) => existsSync(join(meta, name, "params.json")));
  assert.ok(size !== undefined);
  const source = join(meta, size);
  writeFileSync(join(meta, "tokenizer.model"), "\n\x05\n\x03abc");
  rmSync(join(source, "tokenizer.model"), { force: true });
  symlinkSync("../tokenizer.model", join(source, "tokenizer.model"));
  await convert({ source, output: join(meta, "out") });
  assert.equal(readFileSync(join(meta, "out/tokenizer.model"), "latin1"), "\n\x05\n\x03abc");
  symlinkSync("../../token", join(source, "USE_POLICY.md"));
  symlinkSync("../../token", join(source, "LICENSE"));
  await refuses(() => convert({ source, output: join(meta, "out2") }), "LINK_OUTSIDE", /LICENSE: a link leads out/);
  rmSync(join(source, "LICENSE"));
  rmSync(join(source, "tokenizer.model"));
  symlinkSync(TOKEN, join(source, "tokenizer.model"));
  await refuses(() => convert({ source, output: join(meta, "out2") }), "LINK_OUTSIDE", /tokenizer\.model: a link/);
});

for (const file of ["LICENSE.txt", "README.md", "weight-diff.json", "model.safetensors"]) {
  test(`push refuses a ${file} that leads out of the directory, and sends nothing`, async (t) => {
    const hub = await startHub();
    t.after(() => hub.close());
    hub.account("hf_me", { name: "me", namespaces: ["me"] });
    const path = join(mkdtempSync(join(HOME, "made-")), "tuned");
    await recover({ raw: RAW, diff: join(FIXTURES, "demo/diff"), tuned: path });
    // The very same bytes from elsewhere: a digest would find nothing.
    const elsewhere = join(HOME, `elsewhere-${file}`);
    cpSync(existsSync(join(path, file)) ? join(path, file) : TOKEN, elsewhere);
    rmSync(join(path, file), { force: true });
    symlinkSync(elsewhere, join(path, file));
    const settings = { endpoint: hub.endpoint, token: "hf_me", environment: {} };
    const sent = () => push({ path, repo: "me/model", hub: settings });
    await refuses(sent, "LINK_OUTSIDE", new RegExp(`${path}/${file}: a link leads out`));
    assert.equal(hub.repos.size, 0);
  });
}

test("weights that lie on another disk are read through links, and the model is recovered", async () => {
  const diff = mkdtempSync(join(HOME, "linked-"));
  cpSync(join(FIXTURES, "demo/diff"), diff, { recursive: true });
  const weights = readdirSync(diff).filter((name) => /\.(bin|safetensors)$/.test(name));
  assert.ok(weights.length > 0);
  for (const name of weights) {
    rmSync(join(diff, name));
    symlinkSync(join(FIXTURES, "demo/diff", name), join(diff, name));
  }
  const { outcome } = await recover({ raw: RAW, diff, tuned: join(HOME, "from-links") });
  assert.equal(outcome, "recovered");
});

for (const [what, swap] of Object.entries(swaps)) {
  test(`a side file that becomes ${what} during the run ends it`, { timeout: 30_000 }, async () => {
    const diff = copyOf(join(FIXTURES, "demo/diff"));
    const tuned = `${diff}-tuned`;
    let done = false;
    const onProgress = (): void => {
      if (!done) {
        done = true;
        swap(join(diff, "LICENSE.txt"));
      }
    };
    const code = what === "a link to another place" ? "LINK_OUTSIDE" : "INPUT_CHANGED";
    await refuses(() => recover({ raw: RAW, diff, tuned, onProgress }), code, /LICENSE\.txt: /);
    assert.ok(!existsSync(tuned));
  });

  for (const directIo of ["always", false] as const) {
    test(`a weight file that becomes ${what} before it is read ends the run, direct reads: ${directIo}`, {
      timeout: 30_000,
    }, async () => {
      const raw = copyOf(RAW);
      const weights = join(raw, readdirSync(raw).find((name) => /\.(bin|safetensors)$/.test(name)) ?? "");
      let done = false;
      const disk: typeof localDisk = {
        openFile(path, mode, direct) {
          if (!done && path === weights) {
            done = true;
            swap(weights);
          }
          return localDisk.openFile(path, mode, direct);
        },
      };
      const run = () => recover({ raw, diff: join(FIXTURES, "demo/diff"), tuned: `${raw}-tuned`, disk, directIo });
      await refuses(run, "INPUT_CHANGED", /the input changed during the run/);
    });
  }
}

test("inputs that are pipes are refused by name, without waiting for them", { timeout: 60_000 }, async () => {
  const diff = join(FIXTURES, "demo/diff");
  for (const file of readdirSync(RAW)) {
    const raw = copyOf(RAW);
    swaps["a named pipe"](join(raw, file));
    await recover({ raw, diff, tuned: `${raw}-tuned` }).catch((error: unknown) => {
      assert.equal((error as { code?: string }).code, "NOT_FOUND", `${file}: ${error}`);
    });
    await verify({ path: raw }).catch((error: unknown) => {
      assert.equal((error as { code?: string }).code, "NOT_FOUND", `${file}: ${error}`);
    });
  }
  const cache = join(mkdtempSync(join(HOME, "cache-")), "models--org--name");
  mkdirSync(join(cache, "refs"), { recursive: true });
  execFileSync("mkfifo", [join(cache, "refs", "main")]);
  await refuses(() => verify({ path: cache }), "NOT_FOUND", /without a commit in refs\/main/);
});
