/** When the base is said to have the rows of the diff's added tokens. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rowsKept } from "../../../src/evidence/added-tokens.js";
import { imagine, withFolder, writeFiles } from "../../support/checkpoints.js";

async function kept(
  rows: number,
  added: string | null,
  embedding = "model.embed_tokens.weight",
): Promise<string | null> {
  const raw = imagine("base", [{ name: embedding, shape: [rows, 4] }]);
  return withFolder(async (folder) => {
    const directory = added === null ? null : await writeFiles(folder, { "added_tokens.json": added });
    return rowsKept(raw, imagine("diff", [], { directory }));
  });
}

test("notes an added token that has a row at the end of the base's vocabulary", async () => {
  assert.match((await kept(32001, '{"[PAD]": 32000}')) ?? "", /has 32001 .* added token 32000 \(added_tokens\.json\)/);
  // A padded vocabulary.
  assert.match((await kept(32064, '{"<pad>": 32000, "<a>": 5}')) ?? "", /added token 32000/);
});

for (const [what, rows, added, embedding] of [
  ["a token past the base's rows", 32000, '{"[PAD]": 32000}', undefined],
  ["a token in the middle, which was there from the beginning", 50432, '{"<|padding|>": 1}', undefined],
  ["no added tokens", 32001, "{}", undefined],
  ["a file that is not what its name says", 32001, "[]", undefined],
  ["a diff that is a lone file", 32001, null, undefined],
  ["a base without an embedding", 32001, '{"[PAD]": 32000}', "norm.weight"],
] as const) {
  test(`says nothing of ${what}`, async () => {
    assert.equal(await kept(rows, added, embedding), null);
  });
}
