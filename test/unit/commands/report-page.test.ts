/** The page of a report as bytes: the same every time, and nothing in it but what the policy knows. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { changePage } from "../../../src/commands/report/html.js";
import { madeReport } from "../../support/reports.js";

const HOSTILE = '</script><script>alert("1")</script><!--\u2028\ud800';

test("the policy lets only the page's own script and style run, by their digests, and nothing load", async () => {
  const page = (await changePage(madeReport(["a.0.w"]))).join("");
  const [, policy = ""] = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(page) ?? [];
  const digest = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const [script = ""] = page.match(/(?<=<script>)[\s\S]*?(?=<\/script>)/) ?? [];
  const [style = ""] = page.match(/(?<=<style>)[\s\S]*?(?=<\/style>)/) ?? [];
  assert.ok(script.length > 10_000 && style.length > 1000);
  assert.deepEqual(policy.split("; "), [
    "default-src 'none'",
    `script-src ${digest(script)}`,
    `style-src ${digest(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ]);
  assert.match(script, /Mike Bostock/, "the licence of what draws goes along");
});

test("names are data: no piece of one ends the element that it is in, and all of it comes back", async () => {
  const page = (await changePage(madeReport([HOSTILE, "b.1.w"]))).join("");
  assert.equal(page.match(/<script/g)?.length, 2);
  const [, data = ""] = /<script type="application\/json" id="data">([\s\S]*?)<\/script>/.exec(page) ?? [];
  assert.ok(!data.includes("<"));
  assert.deepEqual(JSON.parse(data).tensors.name, [HOSTILE, "b.1.w"]);
});

test("the same report gives the same bytes, and figures that are no numbers are null", async () => {
  const report = madeReport(["a.0.w", "a.1.w"]);
  const odd = {
    ...report,
    tensors: report.tensors.map((tensor) => ({ ...tensor, relative: Number.NaN, largest: Number.POSITIVE_INFINITY })),
  };
  const [one, two] = [(await changePage(odd)).join(""), (await changePage(odd)).join("")];
  assert.equal(one, two);
  assert.match(one, /"moved":\[null,null\],"largest":\[null,null\]/);
});
