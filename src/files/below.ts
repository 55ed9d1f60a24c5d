/** All files of a folder and of the folders in it, by name. Also replaces a small file at once. */
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "./errno.js";

/** Nobody has more files beside a model. */
const MAX_FILES = 100_000;
const MAX_DEPTH = 64;

/**
 * Names relative to `directory`, with "/" between folders, ordered part by part by code points. Links to files count as files. A link to a
 * folder is refused, since it could lead in a circle.
 * @param skip names of files and folders to leave out.
 * @throws {WeightDiffError} IO, LIMIT; FORMAT_UNSUPPORTED for anything that is neither file nor folder.
 */
export async function filesBelow(directory: string, skip: (name: string) => boolean): Promise<readonly string[]> {
  const names: string[] = [];
  const walk = async (folder: string, depth: number): Promise<void> => {
    const place = join(directory, folder);
    const entries = await readdir(place, { withFileTypes: true }).catch((error: unknown) => {
      throw fileError(place, "list", error);
    });
    for (const entry of entries) {
      const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (skip(name)) {
        continue;
      }
      if (names.length === MAX_FILES || depth === MAX_DEPTH) {
        throw new WeightDiffError(
          "LIMIT",
          `more than ${MAX_FILES} files, or ${MAX_DEPTH} folders in one another`,
          undefined,
          {
            at: { file: directory },
          },
        );
      }
      if (entry.isDirectory()) {
        await walk(name, depth + 1);
      } else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(join(directory, name))))) {
        names.push(name);
      } else {
        throw new WeightDiffError("FORMAT_UNSUPPORTED", "neither a file nor a folder", "take it out of the folder", {
          at: { file: join(directory, name) },
        });
      }
    }
  };
  await walk("", 0);
  return names.sort(byParts);
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() === true;
}

/** Part by part, as Python orders paths. */
function byParts(a: string, b: string): number {
  const [left, right] = [a.split("/"), b.split("/")];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const order = Buffer.compare(Buffer.from(left[at] ?? ""), Buffer.from(right[at] ?? ""));
    if (order !== 0) {
      return order;
    }
  }
  return left.length - right.length;
}

/** Writes the file under another name, and renames it once it is on the disk. @throws {WeightDiffError} IO, DISK_FULL. */
export async function putFile(path: string, bytes: string): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`;
  try {
    const handle = await open(draft, "wx");
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, path);
    const folder = await open(dirname(path), "r").catch(() => null);
    await folder?.sync().catch(() => {}); // not every file system can sync a folder
    await folder?.close();
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {});
    throw fileError(path, "write", error);
  }
}
