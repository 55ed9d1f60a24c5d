/** Which files a path means, and what is said where there is nothing to read. */
import assert from "node:assert/strict";
import { mkdir, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join, relative } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { locate } from "../../../src/checkpoint/locate.js";
import { WeightDiffError } from "../../../src/errors.js";
import { expandHome } from "../../../src/files/paths.js";
import { safetensors, withFolder, writeFiles } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const ORDER = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
] as const;

for (const [place, first] of ORDER.entries()) {
  for (const second of ORDER.slice(place + 1)) {
    test(`prefers ${first} to ${second}, as transformers does`, async () => {
      await withFolder(async (folder) => {
        await writeFiles(folder, { [first]: "", [second]: "" });
        const { files, index, single, others } = await locate(folder);
        const name = index ?? files[0];
        assert.deepEqual({ name, single, others }, { name: first, single: false, others: [second] });
      });
    });
  }
}

test("takes a lone weight file, whatever its name", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "my model.pt": "" });
    assert.deepEqual(await locate(join(folder, "my model.pt")), {
      directory: folder,
      layout: "huggingface",
      files: ["my model.pt"],
      index: null,
      others: [],
      single: true,
      repo: null,
      commit: null,
    });
  });
});

for (const given of ["", "consolidated.01.pth"]) {
  test(`finds all parts of Meta's layout, given ${given === "" ? "their directory" : "one of them"}`, async () => {
    await withFolder(async (folder) => {
      const parts = ["consolidated.00.pth", "consolidated.01.pth"];
      await writeFiles(
        folder,
        Object.fromEntries([...parts, "params.json", "consolidated.txt"].map((name) => [name, ""])),
      );
      const { directory, single, ...found } = await locate(join(folder, given));
      assert.deepEqual({ directory, single }, { directory: folder, single: false });
      assert.deepEqual([found.layout, found.files, found.index], ["meta", parts, null]);
    });
  });
}

test("prefers transformers' format to Meta's", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "consolidated.00.pth": "", "model.safetensors": "" });
    const { layout, files } = await locate(folder);
    assert.deepEqual({ layout, files }, { layout: "huggingface", files: ["model.safetensors"] });
  });
});

test("lists the sizes in Meta's whole download", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "7B/consolidated.00.pth": "", "13B/consolidated.00.pth": "", "x/y": "", LICENSE: "" });
    await refuses(() => locate(folder), "NOT_FOUND", /no weights here, but Meta's in 13B, 7B$/);
  });
});

test("expands ~ to the home directory, alone and before a slash", () => {
  assert.equal(expandHome("~"), homedir());
  assert.equal(expandHome("~/models/a"), join(homedir(), "models/a"));
  assert.equal(expandHome("~else/models"), "~else/models");
  assert.equal(expandHome("models/~"), "models/~");
});

test("finds a directory given with a trailing slash and by a relative path", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "model.safetensors": "" });
    assert.equal((await locate(`${relative(process.cwd(), folder)}/`)).directory, folder);
  });
});

test("sends whoever gives an index to its directory", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "pytorch_model.bin.index.json": "{}" });
    await refuses(() => locate(join(folder, "pytorch_model.bin.index.json")), "NOT_FOUND", /an index, not weights/);
  });
});

test("a file that is text by its name is no failed download", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      "config.json": '{"a": 1}',
      "README.md": "# LLaMA",
      "model.safetensors": '{"error": 1}',
    });
    for (const [file, fact, hint] of [
      ["config.json", /config\.json: is JSON text, not weights$/, /^it is not the weights: give the folder/],
      ["README.md", /README\.md: is text, not weights$/, /^it is not the weights: give the folder/],
      ["model.safetensors", /model\.safetensors: is JSON text, not weights$/, /^the download may have been answered/],
    ] as const) {
      await assert.rejects(openCheckpoint(join(folder, file)), (error) => {
        assert.ok(error instanceof WeightDiffError && error.code === "NOT_WEIGHTS", String(error));
        assert.match(error.message, fact);
        assert.match(error.hint ?? "", hint);
        return true;
      });
    }
  });
});

test("names a path that does not exist as it was written", async () => {
  await refuses(() => locate("no/such/model"), "NOT_FOUND", /^no\/such\/model: no such file or directory$/);
});

test("reads a Hub cache folder through refs/main and symlinked snapshot files", async () => {
  await withFolder(async (folder) => {
    const cache = await hubCache(folder, COMMIT);
    const { repo, commit, directory, shards, stateDict } = await openCheckpoint(cache);
    assert.deepEqual({ repo, commit }, { repo: "org/a--name", commit: COMMIT });
    assert.equal(directory, join(cache, "snapshots", COMMIT));
    assert.deepEqual(
      shards.map(({ file }) => file),
      ["model.safetensors"],
    );
    assert.deepEqual([...stateDict.keys()], ["a"]);
  });
});

test("knows repository and commit of a snapshot folder, and of a file in it", async () => {
  await withFolder(async (folder) => {
    const snapshot = join(await hubCache(folder, COMMIT), "snapshots", COMMIT);
    for (const path of [snapshot, join(snapshot, "model.safetensors")]) {
      const { repo, commit } = await locate(path);
      assert.deepEqual({ repo, commit }, { repo: "org/a--name", commit: COMMIT });
    }
  });
});

for (const ref of ["", "../..", "../../../etc", `${COMMIT}/..`, COMMIT.slice(1), COMMIT.toUpperCase()]) {
  test(`does not follow refs/main when it says ${JSON.stringify(ref)}`, async () => {
    await withFolder(async (folder) => {
      await refuses(async () => locate(await hubCache(folder, ref)), "NOT_FOUND", /without a commit in refs\/main/);
    });
  });
}

test("refuses a Hub cache folder without refs", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "models--org--name"));
    await refuses(() => locate(join(folder, "models--org--name")), "NOT_FOUND", /without a commit in refs\/main/);
  });
});

test("names the snapshot that refs/main promises and the cache lacks", async () => {
  await withFolder(async (folder) => {
    const cache = await writeFiles(join(folder, "models--org--name"), { "refs/main": COMMIT });
    await refuses(() => locate(cache), "NOT_FOUND", new RegExp(`snapshots/${COMMIT}: no such`));
  });
});

/** models--org--a--name with one snapshot whose only file is a link to a blob, as huggingface_hub lays it out. */
async function hubCache(folder: string, ref: string): Promise<string> {
  const cache = await writeFiles(join(folder, "models--org--a--name"), {
    "refs/main": ref,
    "blobs/0a1b": safetensors(["a", "F32", [2]]),
  });
  await mkdir(join(cache, "snapshots", COMMIT), { recursive: true });
  await symlink("../../blobs/0a1b", join(cache, "snapshots", COMMIT, "model.safetensors"));
  return cache;
}
