/** report on the command line: the page for people, the document for scripts, and names that are no commands to a terminal. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";
import { publish } from "../support/diffs.js";
import { BASE, DIFF, weightDiff } from "./command.js";

test("shows totals, a heat map, the most changed tensors and tokens; a diff is applied", async () => {
  const { code, out } = await weightDiff(["report", BASE, DIFF, "--quiet"]);
  assert.equal(code, 0);
  const lines = out.split("\n");
  assert.match(
    lines[0] ?? "",
    /^.*demo\/diff beside .*demo\/base: 21 tensors, \d+ elements, applied by the scheme open-instruct$/,
  );
  assert.match(
    lines[1] ?? "",
    /^ {2}changed {2}\d+ of \d+ elements \([\d.]+ %\), relative change 0\.\d+, cosine 0\.\d+, largest 0\.\d+, [\d.]+ bits an element$/,
  );
  assert.match(lines[2] ?? "", /^ {2}new {6}\d+ elements in 2 tensors that the base does not have$/);
  assert.ok(lines.includes("relative change by module, layers 0 to 1 from left to right"));
  assert.match(out, /^ {2}self_attn\.q_proj\.weight +[▁-█]{2}$/m);
  assert.match(out, /^most changed\n {2}relative +changed +largest +tensor\n( {2}\S+ +[\d.]+ % .*\n){10}/m);
  assert.match(
    out,
    /^tokens of model\.embed_tokens\.weight that moved most: how far, and relative to the base's norm\n {2}\d+ +"[^"\\]+" +\S+ +\S+$/m,
  );
  assert.ok(!out.includes("\u001b"));
});

test("--json has every figure, and a model beside itself is equal", async () => {
  await withFolder(async (folder) => {
    const { base, tuned } = await publish(folder);
    const { code, out } = await weightDiff(["report", base, tuned, "--json", "--quiet"]);
    assert.equal(code, 0);
    const value = JSON.parse(out);
    assert.deepEqual([value.command, value.scheme, value.tensors.length, value.layers.length], ["report", null, 21, 2]);
    assert.deepEqual(
      value.modules.map(({ module, tensors }: { module: string; tensors: number }) => [module, tensors]).slice(0, 2),
      [
        ["input_layernorm.weight", 2],
        ["mlp.down_proj.weight", 2],
      ],
    );
    const copy = await writeFiles(join(folder, "copy"), {});
    await writeFile(
      join(copy, "model.safetensors"),
      safetensors(["a.0.w", "F32", [2, 2], Float32Array.of(1, 2, 3, 4)]),
    );
    await writeFiles(join(folder, "copy2"), {
      "model.safetensors": safetensors(["a.0.w", "F32", [2, 2], Float32Array.of(1, 2, 3, 4)]),
    });
    const equal = JSON.parse((await weightDiff(["report", copy, join(folder, "copy2"), "--json"])).out);
    assert.deepEqual(
      [equal.total.changed, equal.total.relative, equal.total.steps, equal.total.bits_per_element],
      [0, 0, [4], 0],
    );
    assert.match((await weightDiff(["report", copy, join(folder, "copy2")])).out, /nothing changed/);
  });
});

test("what holds NaN or infinity comes first: tensors, tokens, and on the page", async () => {
  await withFolder(async (folder) => {
    const write = (at: string, embedding: readonly number[], infinite: number, last: number) =>
      writeFiles(join(folder, at), {
        "model.safetensors": safetensors(
          ["model.embed_tokens.weight", "F32", [3, 2], Float32Array.from(embedding)],
          ["model.layers.0.a", "F32", [2], Float32Array.of(1, last)],
          ["model.layers.1.a", "F32", [2], Float32Array.of(1, infinite)],
        ),
      });
    const base = await write("a", [1, 1, 1, 1, 1, 1], 1, 1);
    const tuned = await write("b", [9, 9, 1, Number.NaN, 1, 2], Number.POSITIVE_INFINITY, 2);
    const page = join(folder, "page.html");
    const { code, out } = await weightDiff(["report", base, tuned, "--out", page, "--quiet"]);
    assert.equal(code, 0);
    const ranked = [
      ...out.slice(out.indexOf("most changed")).matchAll(/^ {2}(\S+) +[\d.]+ % +(\S+) +(model\.\S+) +F32/gm),
    ];
    assert.deepEqual(
      ranked.map(([, moved, largest, name]) => [moved, largest, name]),
      [
        ["NaN", "NaN", "model.embed_tokens.weight"],
        ["Infinity", "Infinity", "model.layers.1.a"],
        ["0.707", "1", "model.layers.0.a"],
      ],
    );
    assert.match(out, / {2}· unchanged, .*, \? NaN or infinity\n/);
    const rows = [...out.slice(out.indexOf("tokens of")).matchAll(/^ {2}(\d) +(\S+)/gm)];
    assert.deepEqual(
      rows.map(([, row, moved]) => [row, moved]),
      [
        ["1", "NaN"],
        ["0", "11.3"],
        ["2", "1"],
      ],
    );
    assert.match(await readFile(page, "utf8"), /"noNumber":\[0,2\]/);
    const map = join(folder, "map.svg");
    assert.equal((await weightDiff(["report", base, tuned, "--svg", map, "--quiet"])).code, 0);
    const drawn = await readFile(map, "utf8");
    assert.match(drawn, /class="strange"><title>layer 1, a: NaN or infinity<\/title>/);
    assert.match(drawn, />NaN or infinity<\/text>/);
  });
});

test("a tuned side that nothing marks, and that does not point where the base does, is compared with a note", async () => {
  await withFolder(async (folder) => {
    const write = (at: string, value: (at: number) => number) =>
      writeFiles(join(folder, at), {
        "model.safetensors": safetensors([
          "x.0.w",
          "F32",
          [64, 64],
          Float32Array.from({ length: 4096 }, (_, k) => value(k)),
        ]),
      });
    const base = await write("base", (k) => Math.sin(k));
    const note =
      /other is compared as a model, since nothing marks it as a diff; .* cosine is 0, .* \(if it is a diff, apply it with --scheme auto\)$/;
    const saying = async (other: string): Promise<number> =>
      (await weightDiff(["report", base, other])).said.filter((line) => note.test(line)).length;
    assert.equal(await saying(await write("other", (k) => Math.cos(k) / 100)), 1);
    assert.equal(await saying(await write("tuned/other", (k) => 1.01 * Math.sin(k) + Math.cos(k) / 100)), 0);
  });
});

test("names that are no names are shown as text", async () => {
  await withFolder(async (folder) => {
    const name = 'x.3.<script>alert("1")</script>\u001b[31m\u202e';
    const write = (at: string, value: number) =>
      writeFiles(join(folder, at), { "model.safetensors": safetensors([name, "F32", [2], Float32Array.of(1, value)]) });
    const { code, out } = await weightDiff(["report", await write("a", 2), await write("b", 3), "--quiet"]);
    assert.equal(code, 0);
    assert.ok(!out.includes("\u001b") && !out.includes("\u202e"));
    assert.match(out, /<script>alert/);
  });
});

test("--svg draws the heat map: well-formed, without scripts, whatever the names; a file that is there is not written over", async () => {
  await withFolder(async (folder) => {
    const hostile = 'x.3.</text><script>alert("1")</script>&\u0001\u202e';
    const write = (at: string, value: number) =>
      writeFiles(join(folder, at), {
        "model.safetensors": safetensors(
          [hostile, "F32", [2], Float32Array.of(1, value)],
          ["x.4.same", "F32", [2], Float32Array.of(1, 2)],
          ["x.5.w", "F32", [2], Float32Array.of(1, 2 * value)],
        ),
      });
    const [one, two] = [await write("a", 2), await write("b", 3)];
    const file = join(folder, "map.svg");
    const args = ["report", one, two, "--svg", file, "--quiet"];
    assert.equal((await weightDiff(args)).code, 0);
    const text = await readFile(file, "utf8");
    assert.match(
      text,
      /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .* role="img" aria-labelledby="title desc">\n<title id="title">What changed: 2 of 6 elements, relative change /,
    );
    assert.match(text, /&lt;\/text&gt;&lt;script&gt;alert\(&quot;1&quot;\)&lt;\/script&gt;&amp;\\u\{1\}\\u\{202e\}/);
    assert.doesNotMatch(text, /<script|http(?!:\/\/www\.w3\.org\/2000\/svg")|url\(|<image|<a /);
    // Every element is closed, and in order.
    const open: string[] = [];
    for (const [, end, name = "", attributes = ""] of text.matchAll(/<(\/?)([a-z]+)((?:"[^"]*"|[^">])*)>/g)) {
      if (end === "/") {
        assert.equal(open.pop(), name);
      } else if (!attributes.endsWith("/")) {
        open.push(name);
      }
    }
    assert.deepEqual(open, []);
    // x.4 did not change; the hostile tensor and x.5 did.
    assert.equal(text.match(/<rect x="[\d.]+" y="\d+" width="15" height="17" class="same">/g)?.length, 1);
    assert.equal(text.match(/<rect [^>]*><title>layer (3|5), /g)?.length, 2);
    const again = await weightDiff(args);
    assert.deepEqual([again.code, await readFile(file, "utf8")], [4, text]);
    const failed = join(folder, "failed.svg");
    assert.equal((await weightDiff(["report", one, join(folder, "none"), "--svg", failed])).code, 4);
    assert.equal(existsSync(failed), false);
  });
});

test("--out writes one page; a file that is there is not written over, and a run that fails leaves none", async () => {
  await withFolder(async (folder) => {
    const { base, tuned } = await publish(folder);
    const file = join(folder, "report.html");
    const args = ["report", base, tuned, "--out", file, "--quiet"];
    assert.equal((await weightDiff(args)).code, 0);
    const text = await readFile(file, "utf8");
    assert.match(text, /^<!doctype html>\n/);
    assert.match(text, /"model\.layers\.1\.mlp\.down_proj\.weight"/);
    const again = await weightDiff(args);
    assert.deepEqual([again.code, await readFile(file, "utf8")], [4, text]);
    assert.equal((await weightDiff([...args.slice(0, 4), join(folder, "two.html")])).code, 0);
    assert.equal(await readFile(join(folder, "two.html"), "utf8"), text, "the same bytes");
    const failed = join(folder, "failed.html");
    assert.equal((await weightDiff(["report", base, join(folder, "none"), "--out", failed])).code, 4);
    assert.equal(existsSync(failed), false);
    // Of two files one is there: the other is not left empty.
    const map = join(folder, "map.svg");
    assert.equal((await weightDiff([...args, "--svg", map])).code, 4);
    assert.equal(existsSync(map), false);
  });
});

test("what does not fit is refused as make-diff and recover refuse it", async () => {
  await withFolder(async (folder) => {
    const other = await writeFiles(join(folder, "a"), {
      "model.safetensors": safetensors(["z", "F32", [2], Float32Array.of(1, 2)]),
    });
    const { code, said } = await weightDiff(["report", BASE, other, "--quiet"]);
    assert.equal(code, 4, said.join("\n"));
    assert.equal((await weightDiff(["report"])).code, 2);
  });
});

test("a model whose norms look like a diff's is compared as a model, for who says so", async () => {
  await withFolder(async (folder) => {
    let state = 1;
    const values = (count: number, size: number): Float32Array<ArrayBuffer> =>
      Float32Array.from({ length: count }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return size * (state / 2 ** 32 - 0.5);
      });
    const names = ["input_layernorm", "post_attention_layernorm"].map((norm) => `model.layers.0.${norm}.weight`);
    const matrix = "model.layers.0.self_attn.q_proj.weight";
    const [norms, weights] = [names.map(() => values(64, 0.02)), values(4096, 0.02)];
    const write = (at: string, moved: number) =>
      writeFiles(join(folder, at), {
        "config.json": JSON.stringify({ model_type: "llama" }),
        "model.safetensors": safetensors(
          [matrix, "F32", [64, 64], weights.map((value, i) => value + moved * (i % 2))],
          ...names.map((name, i) => [name, "F32", [64], norms[i] ?? values(64, 0)] as const),
        ),
      });
    const args = ["report", await write("a", 0), await write("b", 1e-3), "--json", "--quiet"];
    const refused = await weightDiff(args);
    assert.equal(refused.code, 4);
    assert.match(refused.said.join("\n"), /not a model but a diff: .*--ignore not-a-model/s);
    const { code, out } = await weightDiff([...args, "--ignore", "not-a-model"]);
    assert.equal(code, 0);
    const { scheme, total } = JSON.parse(out);
    assert.deepEqual([scheme, total.changed], [null, 2048]);
  });
});

test("one word is a diff, told of alone; a model needs its base", async () => {
  const { code, out } = await weightDiff(["report", DIFF, "--quiet"]);
  assert.equal(code, 0);
  assert.match(out, /demo\/diff alone: 21 tensors, \d+ elements\n {2}not zero \d+ of \d+ elements/);
  assert.match(out, /^root mean square of the differences by module, layers 0 to 1/m);
  assert.match(out, /the base tells more: relative change, cosine, steps of value, and which rows are new/);
  assert.equal(JSON.parse((await weightDiff(["report", DIFF, "--json"])).out).base, null);
  assert.equal((await weightDiff(["report", BASE])).code, 4);
});

test("a diff alone has a page and a picture; of differences without a size, the map shows how many are not zero", async () => {
  await withFolder(async (folder) => {
    const { base, tuned } = await publish(folder);
    const make = ["make-diff", "--path_raw", base, "--path_tuned", tuned, "--path_diff"];
    for (const [how, title, cells] of [
      [["--encoding", "additive"], "Root mean square of the differences", 18],
      [["--encoding", "exact"], "Share of the differences that are not zero", 18],
      [["--compress"], "Share of the differences that are not zero", 1],
    ] as const) {
      const [diff, page, map] = ["diff", "html", "svg"].map((part) => join(folder, `${how.join("")}.${part}`)) as [
        string,
        string,
        string,
      ];
      assert.equal((await weightDiff([...make, diff, ...how, "--quiet"])).code, 0);
      const { code, out } = await weightDiff(["report", diff, "--out", page, "--svg", map, "--quiet"]);
      assert.equal(code, 0);
      assert.ok(out.includes(`${title.toLowerCase()} by module, layers 0 to 1 from left to right`), out);
      const picture = await readFile(map, "utf8");
      assert.match(picture, /<title id="title">What changed: \d+ of \d+ differences are not zero<\/title>/);
      assert.ok(picture.includes(`${title}, of 9 modules in 2 layers`), picture.slice(0, 600));
      assert.ok((picture.match(/<rect [^>]*><title>/g)?.length ?? 0) >= cells);
      assert.match(await readFile(page, "utf8"), /"base":null,/);
    }
    assert.equal((await weightDiff(["report", base, "--out", join(folder, "none.html")])).code, 4);
    assert.equal(existsSync(join(folder, "none.html")), false);
  });
});

test("the example of docs/report.md: from one zero to the other is a step", () =>
  withFolder(async (folder) => {
    const write = async (name: string, ...values: readonly number[]): Promise<string> => {
      const bytes = new Uint8Array(Uint16Array.from(values).buffer);
      const file = safetensors(["model.norm.weight", "BF16", [values.length], bytes]);
      await writeFiles(join(folder, name), { "model.safetensors": file });
      return join(folder, name);
    };
    const base = await write("base", 0, 0x8000, 0x8000, 0x8001, 0x3f80, 0x3f80, 0x3f80, 1);
    const tuned = await write("tuned", 0x8000, 0, 1, 1, 0x3f81, 0x3f80, 0x3f7f, 0x8001);
    const { total } = JSON.parse((await weightDiff(["report", base, tuned, "--json", "--quiet"])).out);
    assert.deepEqual([total.changed, total.steps], [7, [1, 4, 3]]);
  }));
