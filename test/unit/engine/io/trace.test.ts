/** WEIGHT_DIFF_TRACE: what a run writes into it, read back as a viewer reads it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ROOT } from "../../../support/fixtures.js";

interface Event {
  readonly name: string;
  readonly ph: "X" | "b" | "e";
  readonly ts: number;
  readonly dur?: number;
  readonly id?: string;
  readonly pid: number;
  readonly tid: number;
  readonly args?: Readonly<Record<string, string | number>>;
}

const dir = mkdtempSync(join(tmpdir(), "weight-diff-trace-"));
after(() => rmSync(dir, { recursive: true }));

function recover(tuned: string, trace?: string): { readonly status: number | null; readonly stderr: string } {
  const { WEIGHT_DIFF_TRACE: _, ...env } = process.env;
  const demo = join(ROOT, "fixtures/demo");
  const places = [
    "--path_raw",
    join(demo, "base"),
    "--path_diff",
    join(demo, "diff"),
    "--path_tuned",
    join(dir, tuned),
  ];
  return spawnSync(process.execPath, [join(ROOT, "bin/weight-diff.js"), "recover", ...places, "--threads", "2"], {
    env: { ...env, ...(trace === undefined ? {} : { WEIGHT_DIFF_TRACE: join(dir, trace) }) },
    encoding: "utf8",
  });
}

test("a trace tells of every thread, and the output is the same as without one", () => {
  assert.equal(recover("plain").status, 0);
  assert.equal(recover("traced", "trace.json").status, 0);
  for (const file of ["model.safetensors", "weight-diff.json"]) {
    assert.ok(existsSync(join(dir, "plain", file)));
    assert.deepEqual(readFileSync(join(dir, "traced", file)), readFileSync(join(dir, "plain", file)));
  }
  const text = readFileSync(join(dir, "trace.json"), "utf8");
  const [first, ...lines] = text.trimEnd().split("\n");
  assert.equal(first, "[");
  const events = lines.map((line): Event => JSON.parse(line.replace(/,$/, "")));
  assert.equal(new Set(events.map(({ pid }) => pid)).size, 1);
  const named = (name: string): readonly Event[] => events.filter((event) => event.name === name);
  for (const name of [
    "start",
    "recover",
    "run",
    "jobs",
    "finish",
    "start of a worker",
    "seal",
    "fsync",
    "read",
    "write",
  ]) {
    assert.ok(named(name).length > 0, name);
  }
  const manifest = JSON.parse(readFileSync(join(dir, "plain/weight-diff.json"), "utf8"));
  const made = named("compute");
  const computed = new Set(made.map(({ args }) => args?.tensor));
  assert.ok(manifest.tensors.length > 0);
  for (const { name } of manifest.tensors) {
    assert.ok(computed.has(name), `${name} is computed on some thread`);
  }
  assert.ok(made.every(({ tid, args }) => tid > 0 && Number(args?.["digest µs"]) >= 0));
  for (const { id, tid } of events.filter(({ ph }) => ph === "b")) {
    const ends = events.filter((event) => event.ph === "e" && event.id === id);
    assert.deepEqual(
      ends.map((end) => end.tid),
      [tid],
      `${id} ends once`,
    );
  }
});

test("what a thread does in turn follows, or lies within, what it did before", () => {
  recover("nested", "nested.json");
  const lines = readFileSync(join(dir, "nested.json"), "utf8").trimEnd().split("\n").slice(1);
  const spans = lines
    .map((line): Event => JSON.parse(line.replace(/,$/, "")))
    .filter(({ ph }) => ph === "X")
    .map(({ name, tid, ts, dur = Number.NaN }) => ({ name, tid, begin: ts, end: ts + dur }));
  assert.ok(spans.length > 10);
  for (const a of spans) {
    for (const b of spans.filter(({ tid }) => tid === a.tid)) {
      assert.ok(!(a.begin < b.begin && b.begin < a.end && a.end < b.end), `${a.name} and ${b.name} overlap`);
    }
  }
});

test("a file that is there already is kept, and no output is begun", () => {
  writeFileSync(join(dir, "mine"), "mine");
  const { status, stderr } = recover("refused", "mine");
  assert.match(stderr, /mine: is there already, and WEIGHT_DIFF_TRACE names it/);
  assert.equal(status, 4);
  assert.equal(readFileSync(join(dir, "mine"), "utf8"), "mine");
  assert.ok(!existsSync(join(dir, "refused")));
});

test("a folder that is not there is told before the run", () => {
  const { status, stderr } = recover("nowhere", "no/such/trace.json");
  assert.match(stderr, /no such file/);
  assert.equal(status, 4);
  assert.ok(!existsSync(join(dir, "nowhere")));
});
