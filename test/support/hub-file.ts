/** A test Hub with one file, as the readers of src/http and src/engine/io get it. */
import { type HubAccess, PATIENCE, type RemoteFile } from "../../src/http/access.js";
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
