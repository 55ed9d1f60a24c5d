import assert from "node:assert/strict";
import { test } from "node:test";
import { type HubName, parseHubName } from "../../../src/hub/name.js";
import { refuses } from "../../support/refusal.js";

const plain = (id: string, revision: string | null = null): HubName => ({ id, revision, path: "", explicit: false });
const explicit = (id: string, revision: string | null = null, path = ""): HubName => ({
  id,
  revision,
  path,
  explicit: true,
});

for (const [text, expected] of [
  ["huggyllama/llama-7b", plain("huggyllama/llama-7b")],
  ["allenai/tulu-7b@main", plain("allenai/tulu-7b", "main")],
  ["allenai/tulu-7b@refs/pr/1", plain("allenai/tulu-7b", "refs/pr/1")],
  ["a/b@v1.0", plain("a/b", "v1.0")],
  ["hf://org/name", explicit("org/name")],
  ["hf://org/name/", explicit("org/name")],
  ["hf://org/name@rev", explicit("org/name", "rev")],
  ["hf://org/name@rev/sub/folder", explicit("org/name", "rev", "sub/folder")],
  ["hf://org/name@rev/sub/folder/", explicit("org/name", "rev", "sub/folder")],
  ["hf://org/name/sub", explicit("org/name", null, "sub")],
  ["hf://org/name@refs/pr/7/sub", explicit("org/name", "refs/pr/7", "sub")],
  ["hf://org/name@feature%2Fx/sub", explicit("org/name", "feature/x", "sub")],
  ["hf://gpt2", explicit("gpt2")],
  ["hf://gpt2@main", explicit("gpt2", "main")],
  ["hf://org/name/model.safetensors", explicit("org/name", null, "model.safetensors")],
] as const) {
  test(`reads ${text}`, () => {
    assert.deepEqual(parseHubName(text), expected);
  });
}

for (const text of [
  "./org/name",
  "../name",
  "../../name",
  "/org/name",
  "~/name",
  "~",
  "gpt2",
  "a/b/c",
  "a//b",
  "a/",
  "/a",
  "",
  ".",
  "a/.b",
  ".a/b",
  "a/b..c",
  "a/b--c",
  "-a/b",
  "a/b-",
  "a b/c",
  "org\\name",
  "C:/name",
  "org/name@",
  "org/name@a/../b",
  "org/name@a b",
  "örg/name",
  `a/${"x".repeat(97)}`,
]) {
  test(`takes ${JSON.stringify(text.slice(0, 20))} for a path`, () => {
    assert.equal(parseHubName(text), null);
  });
}

for (const text of [
  "hf://",
  "hf:///x",
  "hf://org//name",
  "hf://datasets/org/name",
  "hf://spaces/org/name",
  "hf://org/name@",
  "hf://org/name@main/../x",
  "hf://org/name@main/a//b",
  "hf://org/name/..",
  "hf://org/name@..%2Fx",
  "hf://org/name@%E0%A4%A",
  "hf://a/b/c@main",
  "hf://org/na me",
]) {
  test(`refuses ${text}`, () => refuses(() => parseHubName(text), "USAGE", /hf:\/\//));
}
