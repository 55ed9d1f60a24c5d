import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { hintText } from "../../../src/cli/output/advice.js";
import { WeightDiffError } from "../../../src/errors.js";
import { cacheFolder, hubSettings } from "../../../src/hub/settings.js";
import { refuses } from "../../support/refusal.js";

const home = mkdtempSync(join(tmpdir(), "weight-diff-"));
after(() => rmSync(home, { recursive: true, force: true }));

for (const [environment, expected] of [
  [{}, "H/.cache/huggingface/hub"],
  [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
  [{ XDG_CACHE_HOME: "/x", HF_HOME: "/h" }, "/h/hub"],
  [{ HF_HOME: "~/hf" }, "H/hf/hub"],
  [{ HF_HOME: "$DISK/hf", DISK: "/d" }, "/d/hf/hub"],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Python expands it
  [{ HF_HOME: "${DISK}/$NOT/hf", DISK: "/d" }, "/d/$NOT/hf/hub"],
  [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
  [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "~/new" }, "H/new"],
  [{ HF_HUB_CACHE: "" }, "H/.cache/huggingface/hub"],
] as const) {
  test(`the cache under ${JSON.stringify(environment)}`, () => {
    assert.equal(cacheFolder({ HOME: home, ...environment }), expected.replace(/^H/, home));
  });
}

test("the token: HF_TOKEN, then the file that hf auth login writes, then none", async () => {
  const environment = { HOME: home, HF_HOME: join(home, "hf") };
  const token = async (more: Record<string, string>): Promise<string | null> =>
    (await hubSettings({ environment: { ...environment, ...more } })).access.token;
  assert.equal(await token({}), null);
  mkdirSync(join(home, "hf"), { recursive: true });
  writeFileSync(join(home, "hf/token"), "hf_file\n");
  writeFileSync(join(home, "other"), "hf_other");
  assert.equal(await token({}), "hf_file");
  assert.equal(await token({ HF_TOKEN: " hf_env\n" }), "hf_env");
  assert.equal(await token({ HUGGING_FACE_HUB_TOKEN: "hf_old" }), "hf_old");
  assert.equal(await token({ HF_TOKEN_PATH: join(home, "other") }), "hf_other");
  assert.equal(await token({ HF_TOKEN: "hf_env", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }), null);
  const given = await hubSettings({
    environment: { ...environment, HF_TOKEN: "hf_env" },
    tokenFile: join(home, "other"),
  });
  assert.equal(given.access.token, "hf_other");
  const none = await hubSettings({ environment: { ...environment, HF_TOKEN: "hf_env" }, token: null });
  assert.equal(none.access.token, null);
});

test("a token that no header can hold is refused, and not shown", async () => {
  await assert.rejects(hubSettings({ environment: { HOME: home, HF_TOKEN: "hf_se\u0001cret" } }), (error: Error) => {
    assert.match(error.message, /^HF_TOKEN: /);
    assert.doesNotMatch(JSON.stringify(error) + error.message, /cret/);
    return true;
  });
});

test("what is wrong with a token's file names the option that gives it", async () => {
  writeFileSync(join(home, "empty"), "\n");
  writeFileSync(join(home, "long"), "x".repeat(20_000));
  writeFileSync(join(home, "binary"), Uint8Array.of(0xff, 0xfe));
  for (const [file, code] of [
    ["nothing", "NOT_FOUND"],
    ["empty", "USAGE"],
    ["long", "LIMIT"],
    ["binary", "FORMAT_INVALID"],
    [".", "NOT_FOUND"],
  ] as const) {
    const tokenFile = join(home, file);
    const error = await hubSettings({ environment: { HOME: home }, tokenFile }).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof WeightDiffError && error.code === code, String(error));
    assert.ok(error.message.startsWith(`${tokenFile}: gives no token for the Hub: `), error.message);
    assert.match(hintText(error, "recover") ?? "", /give another file with --token-file$/);
  }
});

test("the endpoint, timeouts and offline", async () => {
  const { access, offline, cache } = await hubSettings({
    environment: {
      HOME: home,
      HF_ENDPOINT: "https://mirror.example/hub/",
      HF_HUB_ETAG_TIMEOUT: "3",
      HF_HUB_DOWNLOAD_TIMEOUT: "never",
      TRANSFORMERS_OFFLINE: "YES",
    },
  });
  assert.equal(access.endpoint, "https://mirror.example/hub");
  assert.deepEqual([access.answerMs, access.silenceMs, offline], [3000, 10_000, true]);
  assert.equal(cache, join(home, ".cache/huggingface/hub"));
});

for (const endpoint of ["huggingface.co", "ftp://huggingface.co", "https://user:pass@host", "https://host/?x=1"]) {
  test(`refuses the endpoint ${endpoint}`, () =>
    refuses(() => hubSettings({ environment: {}, endpoint }), "USAGE", /endpoint/));
}

test("offline without a cache is a contradiction", () =>
  refuses(() => hubSettings({ environment: { HF_HUB_OFFLINE: "1" }, cache: null }), "USAGE", /offline/));
