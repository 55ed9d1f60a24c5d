/** The files of a folder of a repository at a commit, with their digests: by /api/models/{id}/tree, or by what a mirror has instead. */
import { WeightDiffError } from "../errors.js";
import { isSideFolder } from "../files/side-names.js";
import { readValue } from "../formats/json.js";
import type { HubAccess } from "../http/access.js";
import { type Answered, askApi, encodePath, pageOf } from "./api.js";
import { type HubEntry, type HubListing, newSorter } from "./entries.js";
import { atCommit } from "./name.js";
import { listBySiblings } from "./siblings.js";

const MAX_PAGES = 100;
/** The most files in one folder. */
const MAX_FILES = 20_000;
/** The most pages of a list; real lists have up to three. */
const MAX_SIDE_FOLDERS = 20;

/** The files of one folder, those in folders below it left out. @throws {WeightDiffError} HUB_…, NETWORK, LIMIT. */
export async function listFolder(
  access: HubAccess,
  id: string,
  commit: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<HubListing> {
  const asked = {
    name: `${atCommit(id, commit)}${folder === "" ? "" : `/${folder}`}`,
    repo: id,
    page: pageOf(access, id),
  };
  const tooMuch = (what: string): WeightDiffError =>
    new WeightDiffError("LIMIT", what, `see ${asked.page}`, { at: { file: asked.name } });
  const below = folder === "" ? "" : `/${encodePath(folder)}`;
  const sorter = newSorter(folder === "" ? "" : `${folder}/`);
  let next: string | null = `${access.endpoint}/api/models/${id}/tree/${commit}${below}?recursive=false&expand=false`;
  for (let page = 0, entries = 0; next !== null; page++) {
    if (page === MAX_PAGES) {
      throw tooMuch(`a list of more than ${MAX_PAGES} pages`);
    }
    const before = entries;
    const { value, link }: Answered<readonly unknown[] | null> = await askApi(access, asked, next, signal, {
      what: "list of files",
      read(scanner) {
        const list: unknown[] = [];
        scanner.array((index) => {
          if (before + index >= MAX_FILES) {
            throw tooMuch(`more than ${MAX_FILES} files in one folder`);
          }
          list.push(readValue(scanner, asked.name));
        });
        return list;
      },
      unknown: null,
    });
    if (value === null) {
      return listBySiblings(access, asked, commit, folder, signal);
    }
    entries += value.length;
    value.forEach(sorter.add);
    next = nextPage(link);
  }
  return sorter.listing();
}

/**
 * The files of those folders in `folder` that belong to a model, named "folder/file". @param folders all there are in it.
 * @throws {WeightDiffError} as listFolder.
 */
export async function listSideFolders(
  access: HubAccess,
  id: string,
  commit: string,
  { folder, folders }: { readonly folder: string; readonly folders: readonly string[] },
  signal: AbortSignal | undefined,
): Promise<readonly HubEntry[]> {
  const entries: HubEntry[] = [];
  for (const name of folders.filter(isSideFolder).slice(0, MAX_SIDE_FOLDERS)) {
    const { files } = await listFolder(access, id, commit, folder === "" ? name : `${folder}/${name}`, signal);
    for (const entry of files) {
      entries.push({ ...entry, file: `${name}/${entry.file}` });
    }
  }
  return entries;
}

/** The address of the next page (RFC 8288), as the Hub writes it: <address>; rel="next". */
function nextPage(link: string | null): string | null {
  return /<([^<>]*)>\s*;\s*rel="?next"?/.exec(link ?? "")?.[1] ?? null;
}
