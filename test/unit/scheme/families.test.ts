/** The table of families: what every row must have, and the order in which candidates are named. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WeightDiffError } from "../../../src/errors.js";
import { ALL_FAMILIES, FAMILIES, familyNamed, SCHEMES, schemeNamed } from "../../../src/scheme/families.js";
import { refuses } from "../../support/refusal.js";

test("names candidates in this order: scripts before their copies, a script before itself with a flag", () => {
  assert.deepEqual(
    ALL_FAMILIES.map(({ scheme }) => scheme.name),
    [
      ...[
        "open-instruct",
        "alpaca",
        "exact",
        "alpaca-farm",
        "gisting",
        "knowlm",
        "knowlm-fp16",
        "moss-rlhf",
        "landmark",
      ],
      ...[
        "lawyer-llama",
        "fastchat",
        "fastchat-low-mem",
        "fastchat-v0",
        "lmflow",
        "lmflow-low-mem",
        "yulan",
        "yulan-f32",
      ],
      ...["llava", "mmpretrain-llava", "husky"],
      ...["huatuo", "ziya", "ziya-low-mem", "pandallm", "pandallm-low-mem"],
      ...["openchinesellama", "billa", "koala"],
      ...["oa-xor", "pygmalion", "point-alpaca"],
    ],
  );
  assert.deepEqual(
    SCHEMES,
    ALL_FAMILIES.map(({ scheme }) => scheme),
  );
});

test("every row names its script, has words for users, and a name of its own", () => {
  const names = ALL_FAMILIES.map(({ scheme }) => scheme.name);
  assert.equal(new Set(names).size, names.length);
  for (const { scheme, script, summary, who, repos } of FAMILIES) {
    assert.match(scheme.name, /^[a-z0-9-]+$/);
    assert.ok(script === null || /^[0-9a-f]{40}$/.test(script.commit), scheme.name);
    assert.ok(summary.length > 0 && who.length > 0 && repos.every((repo) => repo === repo.toLowerCase()), scheme.name);
  }
  const repos = ALL_FAMILIES.flatMap((family) => family.repos);
  assert.equal(new Set(repos).size, repos.length);
});

test("every flag of a script is spelled as arguments are read, and every flag that it needs is one of its own", () => {
  for (const { scheme, line } of FAMILIES) {
    for (const { name, shortest = name } of line?.flags ?? []) {
      assert.match(name, /^[a-z0-9]+([-_][a-z0-9]+)*$/, scheme.name);
      assert.ok(name.startsWith(shortest), scheme.name);
    }
    const flags = (line?.flags ?? []).map(({ name }) => name);
    assert.equal(new Set(flags).size, flags.length, scheme.name);
    assert.ok(
      (line?.needs ?? []).every((name) => flags.includes(name)),
      scheme.name,
    );
  }
});

test("what a flag of a script is here is said once: an operand, a reason why it is none, or one that stands for others", () => {
  for (const { scheme, line } of FAMILIES) {
    for (const { name, means, note } of line?.flags ?? []) {
      assert.ok(means === null || note === undefined, `${scheme.name} --${name}`);
    }
  }
});

test("finds a family by the name of its scheme, and lists the names for any other", async () => {
  assert.equal(familyNamed("knowlm-fp16").variant, "is_fp16");
  assert.equal(schemeNamed("gisting").newRows, "zero");
  await refuses(
    () => familyNamed("vicuna"),
    "USAGE",
    /^unknown scheme "vicuna": it is not one of auto, custom, open-instruct, .*, point-alpaca$/,
  );
  await refuses(() => schemeNamed("__proto__"), "USAGE", /unknown scheme/);
});

test("of an unknown name, says which schemes may be meant: of a similar name, or else of a publisher so called", () => {
  for (const [name, hint] of [
    ["open-instrct", "perhaps open-instruct is meant"],
    ["Open_Instruct", "perhaps open-instruct is meant"],
    ["fastchat-lowmem", "perhaps fastchat-low-mem is meant"],
    ["alpacafarm", "perhaps alpaca-farm is meant"],
    ["tulu", "perhaps open-instruct is meant"],
    ["vicuna", "perhaps fastchat or fastchat-v0 is meant"],
    ["nothing-like-it", undefined],
  ] as const) {
    assert.throws(
      () => familyNamed(name),
      (error) => error instanceof WeightDiffError && error.hint === hint,
      `${name}: ${hint}`,
    );
  }
});

test("a scheme with a flag of its script says in which dtypes it computes", () => {
  const said = (name: string) => familyNamed(name).summary;
  assert.equal(said("knowlm-fp16"), "as knowlm, in float16");
  assert.equal(said("fastchat-low-mem"), "as fastchat, in the files' own dtypes");
});
