/**
 * The files of a folder on a server that has no list of it, such as a mirror that has only what Python's snapshot_download asks for. The
 * repository's description names all files ("siblings"). Size and digest come from the headers of each file.
 */
import * as z from "zod";
import { WeightDiffError } from "../errors.js";
import { readValue } from "../formats/json.js";
import { type HubAccess, isEndpoint } from "../http/access.js";
import { plainEtag } from "../http/ranges.js";
import { type HubRequest, refusalOf } from "../http/refusal.js";
import { request } from "../http/request.js";
import { retry } from "../http/retry.js";
import { askApi, resolveUrl } from "./api.js";
import { inParallel } from "./download.js";
import { type HubListing, newSorter } from "./entries.js";

/** Files of one folder whose headers are asked for one by one. */
const MAX_ASKED = 1000;
const PARALLEL = 8;

const descriptionSchema = z.object({
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.number().int().nonnegative().nullish(),
      blobId: z.string().nullish(),
      lfs: z.object({ sha256: z.string(), size: z.number().int().nonnegative() }).nullish(),
    }),
  ),
});

/** As listFolder. @throws {WeightDiffError} HUB_…, NETWORK, LIMIT. */
export async function listBySiblings(
  access: HubAccess,
  asked: HubRequest,
  commit: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<HubListing> {
  const url = `${access.endpoint}/api/models/${asked.repo}/revision/${commit}?blobs=true`;
  const { value } = await askApi(access, asked, url, signal, {
    what: "description",
    read: (scanner) => descriptionSchema.safeParse(readValue(scanner, asked.name)),
  });
  if (value.data === undefined) {
    throw new WeightDiffError(
      "NETWORK",
      `${access.endpoint} has neither a list of the repository's files nor their names in its description`,
      "take another mirror as HF_ENDPOINT, or none",
      { at: { file: asked.name } },
    );
  }
  const prefix = folder === "" ? "" : `${folder}/`;
  const inside = value.data.siblings.filter(({ rfilename }) => rfilename.startsWith(prefix));
  const isHere = ({ rfilename }: { readonly rfilename: string }): boolean =>
    !rfilename.slice(prefix.length).includes("/");
  if (inside.length === 0 && folder !== "") {
    throw new WeightDiffError("HUB_NO_FILE", "the repository has no such folder", `see ${asked.page}`, {
      at: { file: asked.name },
    });
  }
  const here = inside.filter(isHere);
  const untold = here.filter(({ size, blobId, lfs }) => (size ?? lfs?.size) == null || (lfs?.sha256 ?? blobId) == null);
  if (untold.length > MAX_ASKED) {
    throw new WeightDiffError(
      "LIMIT",
      `more than ${MAX_ASKED} files in one folder of a mirror without a list`,
      `see ${asked.page}`,
      {
        at: { file: asked.name },
      },
    );
  }
  const told = new Map<string, Told>();
  await inParallel(
    untold,
    signal,
    async ({ rfilename }, stop) => {
      told.set(rfilename, await askFile(access, asked, resolveUrl(access, asked.repo, commit, rfilename), stop));
    },
    PARALLEL,
  );
  const sorter = newSorter(prefix);
  for (const { rfilename: path, size, blobId, lfs } of here) {
    const known = told.get(path) ?? { size: lfs?.size ?? size, oid: lfs?.sha256 ?? blobId };
    sorter.add({ type: "file", path, ...known });
  }
  const folders = inside
    .filter((file) => !isHere(file))
    .map(({ rfilename }) => rfilename.slice(prefix.length).split("/")[0]);
  for (const name of new Set(folders)) {
    sorter.add({ type: "directory", path: `${prefix}${name}` });
  }
  return sorter.listing();
}

interface Told {
  readonly size: number | undefined;
  readonly oid: string | undefined;
}

/** Size and digest of one file, by its headers. @throws {WeightDiffError} HUB_…, NETWORK. */
function askFile(access: HubAccess, asked: HubRequest, url: string, signal: AbortSignal): Promise<Told> {
  return retry(access, asked.name, signal, async () => {
    const answer = await request(access, url, {
      method: "HEAD",
      signal,
      // The redirect to the bytes has size and digest itself.
      follow: (hop, target) => isEndpoint(access, target) && !hop.headers.has("x-linked-etag"),
    });
    if (answer.status >= 400) {
      throw await refusalOf(access, asked, answer);
    }
    answer.discard();
    const header = (...names: readonly string[]): string | undefined =>
      names.flatMap((name) => answer.headers.get(name) ?? [])[0];
    const size = header("x-linked-size", "content-length");
    const etag = header("x-linked-etag", "etag");
    return {
      size: size === undefined ? undefined : Number(size),
      oid: etag === undefined ? undefined : plainEtag(etag),
    };
  });
}
