/** Index and shards against each other; wrappers; hostile names. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { WeightDiffError } from "../../../src/errors.js";
import { indexText, safetensors, withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { dictOf, pickleOf, tensorPickle, torchZip } from "../../support/hostile-files.js";
import { refuses } from "../../support/refusal.js";

const INDEX = "model.safetensors.index.json";
const A = "model-00001-of-00002.safetensors";
const B = "model-00002-of-00002.safetensors";

test("reads shards in the order of their names, tensors in the order of the files", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      [INDEX]: indexText({ z: B, b: A, a: A }),
      [A]: safetensors(["b", "F32", [1]], ["a", "F16", [2, 3]]),
      [B]: safetensors(["z", "I64", []]),
    });
    const { stateDict, shards, notes } = await openCheckpoint(folder);
    assert.deepEqual([...stateDict.keys()], ["b", "a", "z"]);
    assert.deepEqual(stateDict.get("a")?.shape, [2, 3]);
    assert.equal(stateDict.get("z")?.shard, shards[1]);
    assert.deepEqual(notes, []);
  });
});

test("the first note tells which of several sets of weights is used", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      [INDEX]: indexText({ a: A }),
      [A]: safetensors(["a", "F32", [1]], ["b", "F32", [1]]),
      "pytorch_model.bin": "not looked at",
      "pytorch_model.bin.index.json": "not looked at",
    });
    const { notes } = await openCheckpoint(folder);
    assert.match(
      notes[0] ?? "",
      /^\S+index\.json is used; pytorch_model\.bin, pytorch_model\.bin\.index\.json are not read/,
    );
    assert.match(notes[1] ?? "", /ignored$/);
  });
});

test("names the other set of weights where the one that comes first cannot be read", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "model.safetensors": "", "pytorch_model.bin": safetensors(["a", "F32", [1]]) });
    const error = await openCheckpoint(folder).catch((reason: unknown) => reason);
    assert.ok(error instanceof WeightDiffError);
    assert.equal(error.code, "NOT_WEIGHTS");
    assert.match(
      error.hint ?? "",
      /^download it again; or move model\.safetensors .* pytorch_model\.bin beside it is used$/,
    );
  });
});

test("notes a tensor that is in a listed shard and not in the index, and leaves it out", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { [INDEX]: indexText({ a: A }), [A]: safetensors(["a", "F32", [1]], ["b", "F32", [1]]) });
    const { stateDict, notes } = await openCheckpoint(folder);
    assert.deepEqual([...stateDict.keys()], ["a"]);
    assert.deepEqual(notes, [`${A}: tensor "b" is in the file and not in ${INDEX}: ignored`]);
  });
});

test("takes a name that two shards hold from the one that the index names", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      [INDEX]: indexText({ a: B, b: A }),
      [A]: safetensors(["b", "F32", [1]], ["a", "F32", [1]]),
      [B]: safetensors(["a", "F32", [7]]),
    });
    const { stateDict, notes } = await openCheckpoint(folder);
    assert.deepEqual(stateDict.get("a")?.shape, [7]);
    assert.deepEqual(notes, [`${A}: tensor "a" is in the file and not in ${INDEX}: ignored`]);
  });
});

test("lists every entry of the index that its shard does not hold", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      [INDEX]: indexText({ a: A, b: A, c: A }),
      [A]: safetensors(["b", "F32", [1]]),
    });
    await refuses(
      () => openCheckpoint(folder),
      "MISMATCH",
      /2 of its 3 entries are wrong\n {2}tensor "a" is not in model-00001.*\n {2}tensor "c" is not in/,
    );
  });
});

test("counts the wrong entries past the twentieth", async () => {
  await withFolder(async (folder) => {
    const names = Array.from({ length: 25 }, (_, i) => [`t${i}`, A] as const);
    await writeFiles(folder, { [INDEX]: indexText(Object.fromEntries(names)), [A]: safetensors(["b", "F32", [1]]) });
    await refuses(() => openCheckpoint(folder), "MISMATCH", /"t19" is not in .*\n {2}and 5 more$/);
  });
});

test("names a missing shard and the index that lists it", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { [INDEX]: indexText({ a: A, b: B }), [A]: safetensors(["a", "F32", [1]]) });
    await refuses(() => openCheckpoint(folder), "NOT_FOUND", new RegExp(`${B}: shard is missing, ${INDEX} lists it`));
  });
});

test("counts the shards that are missing", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { [INDEX]: indexText({ a: A, b: B }) });
    await assert.rejects(openCheckpoint(folder), (error) => {
      assert.ok(error instanceof WeightDiffError && error.code === "NOT_FOUND", String(error));
      assert.equal(error.hint, `fetch ${A}, and 1 more of 2 shards, from where the model came from`);
      return true;
    });
  });
});

test("names a shard whose link leads nowhere", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { [INDEX]: indexText({ a: A }) });
    await symlink("../../blobs/gone", join(folder, A));
    await refuses(() => openCheckpoint(folder), "NOT_FOUND", new RegExp(`${A}: shard is missing`));
  });
});

for (const path of ["../secret.safetensors", "/etc/passwd", "a\\b.safetensors", "..", ""]) {
  test(`refuses an index that names ${JSON.stringify(path)} as a shard`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { [INDEX]: indexText({ a: path }) });
      await refuses(() => openCheckpoint(folder), "FORMAT_INVALID", /not a bare file name/);
    });
  });
}

for (const [what, text, message] of [
  ["a git-lfs pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", /a git-lfs pointer/],
  ["an HTML page", "\n<!DOCTYPE html><html></html>", /an HTML page/],
] as const) {
  test(`says that the index is ${what}`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { [INDEX]: text });
      await refuses(() => openCheckpoint(folder), "NOT_WEIGHTS", message);
    });
  });
}

test("refuses an index that is a directory, not UTF-8, or no JSON", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, INDEX));
    await refuses(() => openCheckpoint(folder), "NOT_FOUND", /not a regular file/);
    await writeFiles(join(folder, "b"), { [INDEX]: Buffer.from([0x7b, 0xff, 0x7d]) });
    await refuses(() => openCheckpoint(join(folder, "b")), "FORMAT_INVALID", /not UTF-8 text/);
    await writeFiles(join(folder, "c"), { [INDEX]: "{" });
    await refuses(() => openCheckpoint(join(folder, "c")), "FORMAT_INVALID", /not the JSON expected/);
  });
});

for (const wrapper of ["model", "state_dict", "module"]) {
  test(`looks into a lone "${wrapper}" around the state dict, and says so`, async () => {
    await withFolder(async (folder) => {
      const file = torchZip(pickleOf(dictOf({ [wrapper]: dictOf({ "a.b": tensorPickle() }) })));
      await writeFiles(folder, { "pytorch_model.bin": file });
      const { stateDict, notes } = await openCheckpoint(folder);
      assert.deepEqual([...stateDict.keys()], ["a.b"]);
      assert.equal(stateDict.get("a.b")?.name, `${wrapper}.a.b`);
      assert.deepEqual(notes, [`pytorch_model.bin: the state dict lies under the key "${wrapper}"`]);
    });
  });
}

for (const [what, entries] of [
  ["another tensor lies beside it", { model: dictOf({ a: tensorPickle() }), b: tensorPickle() }],
  ["the key is another", { ema: dictOf({ a: tensorPickle() }) }],
] as const) {
  test(`keeps a container's key in the names where ${what}`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { "pytorch_model.bin": torchZip(pickleOf(dictOf(entries))) });
      const { stateDict } = await openCheckpoint(folder);
      assert.equal([...stateDict.keys()][0], `${Object.keys(entries)[0]}.a`);
    });
  });
}

test("does not take the first part of dotted names for a wrapper", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "model.safetensors": safetensors(["model.a", "F32", [1]], ["model.b", "F32", [1]]) });
    assert.deepEqual([...(await openCheckpoint(folder)).stateDict.keys()], ["model.a", "model.b"]);
  });
});

test("keeps the names __proto__ and constructor as names", async () => {
  await withFolder(async (folder) => {
    const map = '{"weight_map":{"__proto__":"x.safetensors","constructor":"x.safetensors"}}';
    await writeFiles(folder, {
      [INDEX]: map,
      "x.safetensors": safetensors(["__proto__", "F32", [1]], ["constructor", "F32", [2]]),
    });
    assert.deepEqual([...(await openCheckpoint(folder)).stateDict.keys()], ["__proto__", "constructor"]);
  });
});

test("lets no control character of a name into a message", async () => {
  const name = "\u001b[2J\r\n\u009b31m\u202ea";
  await withFolder(async (folder) => {
    await writeFiles(folder, { [INDEX]: indexText({ a: A }), [A]: safetensors(["a", "F32", [1]], [name, "F32", [1]]) });
    const { notes } = await openCheckpoint(folder);
    await writeFiles(folder, { [INDEX]: indexText({ a: A, [`${name}b`]: A }) });
    const error = await openCheckpoint(folder).catch((reason: unknown) => reason);
    assert.ok(error instanceof WeightDiffError);
    for (const text of [...notes, error.message.replaceAll("\n  ", "")]) {
      assert.match(text, /\\u001b\[2J\\r\\n\\u009b31m\\u202ea/);
      assert.doesNotMatch(text, /\p{Cc}|\u202e/u);
    }
  });
});

test("keeps config and directory out of a checkpoint that is a single file", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "x.safetensors": safetensors(["a", "F32", [1]]) });
    const { directory, path } = await openCheckpoint(join(folder, "x.safetensors"));
    assert.deepEqual({ directory, path }, { directory: null, path: join(folder, "x.safetensors") });
  });
});

test("reads an EasyLM file only if something tells its number of heads", async () => {
  await withFolder(async (folder) => {
    const file = readFileSync(join(FIXTURES, "koala/diff/koala_7b_diff_v2"));
    await writeFiles(folder, { koala: file });
    await refuses(
      () => openCheckpoint(join(folder, "koala")),
      "NOT_FOUND",
      /koala \(as Meta's layout\): has no params\.json/,
    );
    const params = readFileSync(join(FIXTURES, "koala/diff/params.json"), "utf8");
    await writeFiles(folder, { "params.json": params });
    const { stateDict, notes, directory } = await openCheckpoint(join(folder, "koala"));
    assert.deepEqual(stateDict.get("model.layers.1.mlp.down_proj.weight")?.shape, [16, 24]);
    assert.equal(stateDict.get("model.layers.1.self_attn.q_proj.weight")?.pieces?.length, 1);
    assert.deepEqual([directory, notes.length], [null, 1]);
    await writeFiles(folder, { "params.json": params.replace('"n_layers": 2', '"n_layers": 3') });
    await refuses(() => openCheckpoint(join(folder, "koala")), "MISMATCH", /n_layers/);
  });
});

test("sends whoever gives a folder of EasyLM files to one of them", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { koala_7b_diff_v1: "", koala_7b_diff_v2: "" });
    await refuses(() => openCheckpoint(folder), "FORMAT_UNSUPPORTED", /koala_7b_diff_v1: EasyLM checkpoints/);
  });
});
