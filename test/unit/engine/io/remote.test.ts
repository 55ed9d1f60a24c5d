/** A file at the Hub that is read during a run: what is said where the line gives out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openRemote } from "../../../../src/engine/io/remote.js";
import { WeightDiffError } from "../../../../src/errors.js";
import { PATIENCE, type RemoteFile } from "../../../../src/http/access.js";
import { DIRECT } from "../../../../src/http/network.js";
import { repoFile } from "../../../hub/repo.js";
import { startHub } from "../../../hub/server.js";

const NAME = "model.safetensors";
const BYTES = Buffer.alloc(100_000, 7);

test("a run that the line ended is to be continued: the same command again would find its output begun", async (t) => {
  const hub = await startHub();
  t.after(() => hub.close());
  const repo = hub.add("org/name", new Map([[NAME, repoFile(NAME, BYTES)]]));
  const page = `${hub.endpoint}/org/name`;
  const file: RemoteFile = {
    name: `org/name@1: ${NAME}`,
    repo: "org/name",
    url: `${page}/resolve/${repo.branches.get("main")}/${NAME}`,
    page,
    size: BYTES.length,
    etag: repoFile(NAME, BYTES).lfs?.oid ?? "",
    access: { ...PATIENCE, endpoint: hub.endpoint, token: null, network: DIRECT, attempts: 2, pauseMs: 1 },
  };
  const remote = openRemote(file);
  const target = new Uint8Array(BYTES.length);
  assert.equal(await remote.read(target, 0), BYTES.length);
  assert.ok(BYTES.equals(target));
  hub.fault(/^GET cdn/, { kind: "cut", after: 10 }, 100);
  await assert.rejects(remote.read(target, 0), (error) => {
    assert.ok(error instanceof WeightDiffError);
    assert.equal(error.code, "NETWORK");
    assert.equal(error.hint, "check the connection");
    assert.deepEqual(error.advice, [{ to: "continue", option: "mode", value: "resume", afterwards: true }]);
    return true;
  });
});
