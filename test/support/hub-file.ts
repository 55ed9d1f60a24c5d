/** A test Hub with one file, as the readers of src/http and src/engine/io get it. */
import assert from "node:assert/strict";
import { type HubAccess, PATIENCE, type RemoteFile } from "../../src/http/access.js";
import type { Ahead } from "../../src/http/ahead.js";
import { networkOf } from "../../src/http/network.js";
import { repoFile } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";

const NAME = "model.safetensors";

/** @param patience in the place of two attempts, a millisecond apart. */
export async function hubWithFile(
  bytes: Buffer,
  patience: Partial<HubAccess> = {},
): Promise<{ readonly hub: TestHub; readonly file: RemoteFile }> {
  const hub = await startHub();
  const stored = repoFile(NAME, bytes);
  const repo = hub.add("org/name", new Map([[NAME, stored]]));
  const page = `${hub.endpoint}/org/name`;
  const access = {
    ...PATIENCE,
    endpoint: hub.endpoint,
    token: null,
    network: networkOf({}, null),
    attempts: 2,
    pauseMs: 1,
  };
  const file = {
    name: `org/name@1: ${NAME}`,
    repo: "org/name",
    url: `${page}/resolve/${repo.branches.get("main")}/${NAME}`,
    page,
    size: bytes.length,
    etag: stored.lfs?.oid ?? "",
    access: { ...access, ...patience },
  };
  return { hub, file };
}

/** The ranges that the storage was asked for, in order; null for the whole file. */
export function rangesAsked(hub: TestHub): readonly (string | null)[] {
  return hub.log.filter(({ port }) => port === "cdn").map(({ range }) => range);
}

/** Reads all that is ahead, `together` reads at a time, and compares it with the file's bytes. @param length of the next read. */
export async function readWhole(ahead: Ahead, bytes: Buffer, length: () => number, together: number): Promise<void> {
  const reads: Promise<void>[] = [];
  while (ahead.next() < ahead.end) {
    const at = ahead.next();
    const target = new Uint8Array(Math.min(length(), ahead.end - at));
    reads.push(
      ahead.read(target).then(() => assert.ok(bytes.subarray(at, at + target.length).equals(target), `at ${at}`)),
    );
    if (reads.length === together) {
      await reads.shift();
    }
  }
  await Promise.all(reads);
  await ahead.over;
  assert.equal(ahead.idle(), true);
}
