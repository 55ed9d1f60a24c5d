/** The cache's folders on disks that do not take them. */
import { join } from "node:path";
import { test } from "node:test";
import { makeFolder } from "../../../src/hub/cache.js";
import { withFolder } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";
import { watchDisk } from "../../support/watched-disk.js";

const disk = watchDisk();

for (const [code, words] of [
  ["EROFS", /make the folder: the file system is read-only/],
  ["EACCES", /make the folder: permission denied/],
] as const) {
  test(`a cache that cannot be made says so (${code}), however many folders of it are missing`, async () => {
    await withFolder(async (folder) => {
      disk.fail = (call, path) => (call === "mkdir" && path === join(folder, "hub") ? code : null);
      try {
        await refuses(() => makeFolder(join(folder, "hub", "models--org--name", "blobs")), "IO", words);
      } finally {
        disk.fail = null;
      }
    });
  });
}
