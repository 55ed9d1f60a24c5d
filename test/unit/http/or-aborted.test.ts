/** An abort ends a wait that nothing else would end: fetch may forget a body that was aborted after its last byte. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { orAborted } from "../../../src/http/request.js";

const never = (): Promise<string> => new Promise(() => {});

test("a wait without end ends with the signal's reason", async () => {
  const stop = new AbortController();
  const waiting = orAborted(stop.signal, never);
  stop.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(orAborted(stop.signal, never), /enough/);
});

test("what comes first counts, and an abort afterwards changes nothing", async () => {
  const stop = new AbortController();
  assert.equal(await orAborted(stop.signal, async () => "done"), "done");
  await assert.rejects(
    orAborted(stop.signal, () => Promise.reject(new Error("failed"))),
    /failed/,
  );
  stop.abort(new Error("too late"));
});
