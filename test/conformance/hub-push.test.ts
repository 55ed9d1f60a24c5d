/** What push publishes, the real Python client downloads: every file as it was. WEIGHT_DIFF_PYTHON as in hub-server.test.ts. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { push } from "../../src/commands/push.js";
import { recover } from "../../src/commands/recover.js";
import { startPython } from "../hub/python.js";
import { startHub } from "../hub/server.js";
import { FIXTURES } from "../support/fixtures.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with huggingface_hub";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

test("snapshot_download gives back what push sent", { skip }, async (t) => {
  assert.ok(python !== undefined, absent);
  const home = mkdtempSync(join(tmpdir(), "weight-diff-"));
  t.after(() => rmSync(home, { recursive: true }));
  const hub = await startHub();
  t.after(() => hub.close());
  hub.account("hf_me", { name: "me", namespaces: ["me"] });
  const tuned = join(home, "tuned");
  await recover({ raw: join(FIXTURES, "demo/base"), diff: join(FIXTURES, "demo/diff"), tuned });
  const settings = { endpoint: hub.endpoint, token: "hf_me", environment: {} };
  const { commit } = await push({ path: tuned, repo: "me/model", private: true, hub: settings });
  const client = startPython(python, { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN: "hf_me" });
  t.after(() => client.close());
  const { value, message } = await client.call("snapshot_download", { repo_id: "me/model" });
  assert.equal(message, undefined);
  assert.equal(basename(String(value)), commit);
  for (const name of readdirSync(tuned)) {
    assert.ok(readFileSync(join(String(value), name)).equals(readFileSync(join(tuned, name))), name);
  }
});
