/** Opens a chain, in any layout, from a directory or a repository. It only looks at names. A version is read when somebody asks for it. */
import { findAnyFolder, noFolder } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import type { Hub } from "../hub/place.js";
import type { Chain } from "./chain.js";
import { FIREWORKS } from "./fireworks.js";
import type { ChainLayout, ChainQuestion } from "./layout.js";
import { MODEL_EXPRESS } from "./modelexpress.js";
import { SKYRL } from "./skyrl.js";
import { SLIME } from "./slime.js";
import { TRL } from "./trl.js";

/** Add a row to add a layout. */
const LAYOUTS: readonly ChainLayout[] = [SLIME, SKYRL, TRL, MODEL_EXPRESS, FIREWORKS];

/** The most versions that are listed. Nobody publishes more. */
const MOST_VERSIONS = 100_000;

/** @returns null if the path is not a chain. @throws {WeightDiffError} LIMIT, IO, HUB_…, NETWORK; with `why` for a damaged pointer. */
export async function findChain(path: string, hub: Hub | null, question: ChainQuestion = {}): Promise<Chain | null> {
  const { layout = null } = question;
  const folder = await findAnyFolder(path, hub);
  if (folder === null) {
    return null;
  }
  for (const { names, find } of LAYOUTS) {
    const found = layout === null || names.includes(layout) ? await find(folder, hub, question) : null;
    if (found !== null) {
      if (found.versions.length > MOST_VERSIONS) {
        throw new WeightDiffError(
          "LIMIT",
          `${found.versions.length} versions, at most ${MOST_VERSIONS} are read`,
          "give a directory with fewer of them",
          {
            at: { file: path },
          },
        );
      }
      const { directory, repo, commit } = found.folder ?? folder;
      return { path, directory, repo, commit, ...found };
    }
  }
  return null;
}

/** @throws {WeightDiffError} NOT_FOUND if it is not a chain; as findChain. */
export async function openChain(path: string, hub: Hub | null, question: ChainQuestion = {}): Promise<Chain> {
  const { layout = null } = question;
  const chain = await findChain(path, hub, question);
  if (chain === null) {
    throw await noFolder(
      path,
      hub,
      layout === null ? "no chain of updates" : `no chain of the layout ${layout}`,
      "give the directory with the versions: weight_v000001 and so on (slime, miles, stitch), v1 (ModelExpress), delta-00000001 (SkyRL), or deltas and anchors (TRL)",
    );
  }
  return chain;
}
