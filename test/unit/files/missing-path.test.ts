/** What is said of a path at which nothing is. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { test } from "node:test";
import { missingPath } from "../../../src/files/missing-path.js";
import { withFolder } from "../../support/checkpoints.js";

async function hintOf(path: string): Promise<string> {
  const error = await missingPath(path);
  assert.equal(error?.message, `${path}: no such file or directory`);
  assert.equal(error.code, "NOT_FOUND");
  return error.hint ?? "";
}

test("says how far the path exists", async () => {
  await withFolder(async (folder) => {
    assert.equal(await missingPath(folder), null);
    assert.equal(await hintOf(join(folder, "models", "7B")), `check the path: ${folder} has no "models"`);
  });
});

test("suggests a similar name", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "llama-7b-hf"));
    for (const slip of ["LLaMA-7B-hf", "llama_7b_hf", "lama-7b-hf", "llama-7b-fh"]) {
      assert.equal(await hintOf(join(folder, slip)), `did you mean ${join(folder, "llama-7b-hf")}?`);
      const short = relative(process.cwd(), join(folder, slip));
      assert.equal(await hintOf(short), `did you mean ${relative(process.cwd(), join(folder, "llama-7b-hf"))}?`);
    }
    assert.equal(
      await hintOf(join(folder, "lama-7b-hf", "sub")),
      `did you mean "llama-7b-hf" for "lama-7b-hf"? It is in ${folder}`,
    );
    assert.match(await hintOf(join(folder, "vicuna-13b")), / has no "vicuna-13b"$/);
  });
});

test("in a short name, one letter that is missing or too many is a slip, another letter is another name", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "base"));
    await mkdir(join(folder, "7b"));
    for (const slip of ["bas", "bases", "basse", "Bas_"]) {
      assert.equal(await hintOf(join(folder, slip)), `did you mean ${join(folder, "base")}?`);
    }
    for (const other of ["vase", "13b", "8b", "7", "b"]) {
      assert.match(await hintOf(join(folder, other)), / has no /);
    }
  });
});

test("one word may have been meant as a repository", async () => {
  assert.equal(
    await hintOf("nosuchmodel"),
    `check the path: ${process.cwd()} has no "nosuchmodel"; the name of a repository on the Hub has two parts, as org/name`,
  );
});

test("three parts may have been meant as a folder in a repository", async () => {
  const here = `check the path: ${process.cwd()} has no "org"`;
  for (const [path, inside] of [
    ["org/chain/weight_v000002", "weight_v000002"],
    ["org/chain/a/b.safetensors/", "a/b.safetensors"],
  ] as const) {
    assert.equal(
      await hintOf(path),
      `${here}; if it is ${inside} in the repository org/chain on the Hub, write hf://org/chain/${inside}`,
    );
  }
  for (const path of ["./org/chain/x", "org/chain//x", "org/-/x", `${process.cwd()}/org/chain/x`, "org/chain"]) {
    assert.equal(await hintOf(path), here, path);
  }
  // The folder is there, so the path is one.
  assert.equal(await hintOf("src/nosuch/x"), `check the path: ${join(process.cwd(), "src")} has no "nosuch"`);
});

test("recognises a Windows path", { skip: process.platform === "win32" && "here it is a path" }, async () => {
  assert.match(await hintOf("C:\\models\\llama"), /^this system .*: under WSL it is \/mnt\/c\/models\/llama$/);
  assert.match(await hintOf("D:/models/llama"), /under WSL it is \/mnt\/d\/models\/llama$/);
  assert.match(
    await hintOf("models\\llama"),
    /^this system separates folders by \/, and knows no drives: models\/llama$/,
  );
});

test("a hostile name is shown escaped", async () => {
  assert.match(await hintOf("./no\u001b[2Jsuch"), / has no "no\\u001b\[2Jsuch"$/);
});
