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
  ["org/name/", plain("org/name")],
  ["org/name@v1/", plain("org/name", "v1")],
  ["https://huggingface.co/org/name", explicit("org/name")],
  ["https://huggingface.co/org/name/", explicit("org/name")],
  ["https://huggingface.co/org/name?library=transformers#usage", explicit("org/name")],
  ["http://www.huggingface.co/gpt2", explicit("gpt2")],
  ["HTTPS://HuggingFace.co/org/Name", explicit("org/Name")],
  ["https://hf.co/org/name", explicit("org/name")],
  ["https://huggingface.co/org/name/tree/main", explicit("org/name", "main")],
  ["https://huggingface.co/gpt2/tree/main", explicit("gpt2", "main")],
  ["https://huggingface.co/org/name/tree/main/sub/folder/", explicit("org/name", "main", "sub/folder")],
  ["https://huggingface.co/org/name/tree/main/two%20words", explicit("org/name", "main", "two words")],
  ["https://huggingface.co/org/name/tree/refs%2Fpr%2F7/sub", explicit("org/name", "refs/pr/7", "sub")],
  ["https://huggingface.co/org/name/tree/refs/pr/7", explicit("org/name", "refs/pr/7")],
  ["https://huggingface.co/org/name/blob/main/model.safetensors", explicit("org/name", "main", "model.safetensors")],
  ["https://huggingface.co/org/name/resolve/v1/x.bin?download=true", explicit("org/name", "v1", "x.bin")],
  [`https://huggingface.co/org/name/commit/${"a".repeat(40)}`, explicit("org/name", "a".repeat(40))],
  ["https://mirror.example/hub/org/name/tree/main", explicit("org/name", "main")],
  ["huggingface.co/org/name", plain("org/name")],
  ["huggingface.co/gpt2", plain("gpt2")],
  ["hf.co/org/name/tree/main/sub", { ...explicit("org/name", "main", "sub"), explicit: false }],
] as const) {
  test(`reads ${text}`, () => {
    assert.deepEqual(parseHubName(text, "https://mirror.example/hub"), expected);
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

for (const [text, why] of [
  ["https://example.com/org/name", /not an address of the Hub/],
  ["https://huggingface.co.evil.example/org/name", /not an address of the Hub/],
  ["https://huggingface.co", /not an address of the Hub/],
  ["https://huggingface.co/", /not the name of a repository/],
  ["https://huggingface.co/org/name/discussions/1", /not the name of a repository/],
  ["https://huggingface.co/datasets/org/name", /datasets hold no models/],
  ["https://huggingface.co/spaces/org/name/tree/main", /spaces hold no models/],
  ["https://huggingface.co/org/name/tree/main/%2e%2e/x", /not a path in a repository/],
  ["https://huggingface.co/org/name/tree/%E0%A4%A", /a % that encodes nothing/],
  ["https://huggingface.co/org/name/tree/main/a%2fb%00", /not a path in a repository/],
  ["huggingface.co/org/name/settings", /not the name of a repository/],
  ["https://user:secret@huggingface.co/org/name", /^https:\/\/huggingface\.co\/org\/name: not an address of the Hub/],
] as const) {
  test(`refuses the address ${text}`, () => refuses(() => parseHubName(text), "USAGE", why));
}
