/** The repository that a push goes to. Whatever can be refused is refused here, before a byte is read or sent. */

import type { Say } from "../../advice.js";
import { WeightDiffError } from "../../errors.js";
import { printable } from "../../formats/quote.js";
import { type HubName, parseHubName } from "../../hub/name.js";
import { type HubOptions, type HubSettings, hubSettings } from "../../hub/settings.js";
import { type HubWriter, openHubWriter, type RemoteState, remoteState, whoAsks } from "../../hub/upload.js";
import type { RunOptions } from "../../run/run-plan.js";

/** The options of `push`. */
export interface PushOptions extends Omit<RunOptions, "hub" | "signal">, TargetOptions {
  /** The directory that recover or make-diff wrote. */
  readonly path: string;
  /** The title of the commit. */
  readonly message?: string | null;
  /** Verify and compare, tell what would be sent, and stop. */
  readonly dryRun?: boolean;
  /** Also push files without a manifest. Then only structure and values are checked. Damaged files are never pushed. */
  readonly force?: boolean;
  /** Called with every note for the user, as soon as it is known. */
  readonly onNote?: Say;
}

/** The options that name the target. */
export interface TargetOptions {
  /** "org/name", or "org/name@branch". */
  readonly repo: string;
  /** The address of the Hub, and the token. */
  readonly hub?: HubOptions;
  /** Make the repository private if it is created. Otherwise the organisation's settings decide. */
  readonly private?: boolean;
  /** An upload ends after so many milliseconds without progress. */
  readonly idleMs?: number;
  /** Ends the push. The next push does not send again what the Hub already has. */
  readonly signal?: AbortSignal | undefined;
  /** Called with every warning. The push goes on. */
  readonly onWarning?: Say;
}

/** A repository that the token may write to, in its present state. */
interface PushTarget {
  readonly writer: HubWriter;
  /** Null if the repository does not exist yet. */
  readonly before: RemoteState | null;
}

const DEFAULT_IDLE_MS = 120_000;

/** The repository that is meant, and the settings. @throws {WeightDiffError} USAGE for what names none; as hubSettings. */
export async function targetOf(options: TargetOptions): Promise<{ readonly name: HubName; readonly how: HubSettings }> {
  const how = await hubSettings(options.hub ?? {});
  const name = parseHubName(options.repo, how.access.endpoint);
  if (name === null || name.path !== "" || !name.id.includes("/")) {
    throw new WeightDiffError("USAGE", "not the name of a repository", "write org/name, or org/name@branch", {
      at: { file: options.repo },
    });
  }
  return { name, how };
}

/**
 * Refuses whatever can be refused before a byte is read: an invalid name, no token, no right to write, a public repository where a private
 * one is wanted.
 * @throws {WeightDiffError} USAGE, HUB_DENIED, HUB_OFFLINE, HUB_NO_REVISION, OUTPUT_REFUSED, NETWORK.
 */
export async function openTarget(
  options: TargetOptions,
  onSent: (count: number) => void = () => {},
): Promise<PushTarget> {
  const {
    name,
    how: { access, offline },
  } = await targetOf(options);
  if (offline) {
    throw new WeightDiffError(
      "HUB_OFFLINE",
      "offline, nothing can be pushed",
      "go online: leave out the option, and unset HF_HUB_OFFLINE",
      { at: { file: name.id } },
    );
  }
  const tokens = `${access.endpoint}/settings/tokens`;
  if (access.token === null) {
    const hint = `make one with the right to write: ${tokens}, and give it as HF_TOKEN or through hf auth login`;
    const advice = [{ to: "take it from a file", option: "hub.tokenFile" }];
    throw new WeightDiffError("HUB_DENIED", "pushing needs a token", hint, { at: { file: name.id }, advice });
  }
  const writer = openHubWriter(access, name.id, name.revision ?? "main", {
    signal: options.signal,
    idleMs: options.idleMs ?? DEFAULT_IDLE_MS,
    onSent,
  });
  const { name: account, organisations, writes } = await whoAsks(writer);
  if (writes === false) {
    const hint = `make one with the right to write: ${tokens}`;
    throw new WeightDiffError("HUB_DENIED", `the token of ${printable(account)} may only read`, hint, {
      at: { file: name.id },
    });
  }
  const before = await remoteState(writer);
  if (before === null && writer.branch !== "main") {
    const hint = "a new repository has only the branch main: push there, or make the branch first";
    throw new WeightDiffError(
      "HUB_NO_REVISION",
      `there is no such repository, so it has no branch ${writer.branch}`,
      hint,
      { at: { file: name.id } },
    );
  }
  const [owner = ""] = name.id.split("/");
  if (before === null && owner !== account && !organisations.includes(owner)) {
    options.onWarning?.(
      `${name.id}: the token of ${printable(account)} does not name the organisation ${owner}: the Hub may refuse to make the repository`,
    );
  }
  if (before?.private === false && options.private === true) {
    const hint = `push to a new name, make it private at ${writer.page}/settings, or do not ask for a private one`;
    throw new WeightDiffError("OUTPUT_REFUSED", "exists and is public: a push does not make it private", hint, {
      at: { file: name.id },
    });
  }
  return { writer, before };
}
