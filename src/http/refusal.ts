/**
 * Turns a refusal of the Hub into an error that says what to do. The header X-Error-Code tells more than the status: without a token, a
 * missing and a private repository are both 401 (huggingface_hub, utils/_http.py, hf_raise_for_status).
 */
import { type ErrorCode, WeightDiffError } from "../errors.js";
import { printable } from "../formats/quote.js";
import type { HubAccess } from "./access.js";
import { type Answer, readWhole } from "./request.js";

/** What the request was for. */
export interface HubRequest {
  /** "org/name", "org/name@main", "org/name@1a2b3c4d: config.json". */
  readonly name: string;
  /** "org/name": for messages about the whole repository. */
  readonly repo: string;
  /** The repository's page. */
  readonly page: string;
}

const GET_TOKEN = "give a token: HF_TOKEN, or hf auth login";

interface Refusal {
  readonly code: ErrorCode;
  readonly what: string;
  readonly hint: string;
  /** A token might help, if none was given. */
  readonly wantsToken?: true;
}

const repoNotFound = (page: string, hasToken: boolean): Refusal => ({
  code: "HUB_NO_REPO",
  wantsToken: true,
  what: hasToken ? "no such repository that this token may see" : "no such repository, or a private one",
  hint: `check the name: ${page}; for a private one ${hasToken ? "take a token of an account that may read it" : GET_TOKEN}`,
});

const BY_CODE: Readonly<Record<string, (page: string, hasToken: boolean) => Refusal>> = {
  GatedRepo: (page, hasToken) => ({
    code: "HUB_GATED",
    wantsToken: true,
    what: "a gated repository: its owner's terms must be accepted first",
    hint: hasToken
      ? `accept them at ${page}, with the account that the token belongs to`
      : `accept them at ${page}, then ${GET_TOKEN}`,
  }),
  RepoNotFound: repoNotFound,
  RevisionNotFound: (page) => ({
    code: "HUB_NO_REVISION",
    what: "the repository has no such revision",
    hint: `its branches and tags are listed at ${page}/tree/main`,
  }),
  EntryNotFound: (page) => ({
    code: "HUB_NO_FILE",
    what: "the repository has no such file",
    hint: `its files are listed at ${page}/tree/main`,
  }),
  DisabledRepo: (page) => ({
    code: "HUB_DENIED",
    what: "the repository was disabled by the Hub",
    hint: `see ${page}`,
  }),
};

function byStatus(status: number, page: string, hasToken: boolean): Refusal {
  if (status === 401) {
    return hasToken
      ? {
          code: "HUB_DENIED",
          what: "the token is not accepted",
          hint: `make a new one (${originOf(page)}/settings/tokens), and give it: HF_TOKEN, or hf auth login`,
        }
      : // The Hub gives no code here: without a token, missing and private repositories look the same.
        repoNotFound(page, hasToken);
  }
  if (status === 403) {
    return {
      code: "HUB_DENIED",
      wantsToken: true,
      what: "access is denied",
      hint: hasToken ? `see ${page}; the token needs the right to read it` : `see ${page}, and ${GET_TOKEN}`,
    };
  }
  return status === 404
    ? { code: "HUB_NO_FILE", what: "nothing is there", hint: `see ${page}; check the endpoint` }
    : {
        code: "NETWORK",
        what: `an answer that was not expected: status ${status}`,
        hint: `see ${page}; check the endpoint`,
      };
}

/** The error for an answer that is not what was asked for. Consumes it. */
export async function refusalOf(access: HubAccess, asked: HubRequest, answer: Answer): Promise<WeightDiffError> {
  const hasToken = access.token !== null;
  const said = answer.headers.get("x-error-message");
  const code = said === DISABLED ? "DisabledRepo" : (answer.headers.get("x-error-code") ?? "");
  const byCode = Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined;
  const {
    code: ours,
    what,
    hint,
    wantsToken,
  } = byCode?.(asked.page, hasToken) ?? byStatus(answer.status, asked.page, hasToken);
  await readWhole(answer, MAX_BODY, access.wholeMs).catch(() => {}); // the headers say enough
  const quoted = said === null || byCode !== undefined ? "" : ` (${printable(said)})`;
  const name = WHOLE.has(ours) ? asked.repo : asked.name;
  const advice = hasToken || wantsToken !== true ? [] : [{ to: "take a token from a file", option: "hub.tokenFile" }];
  return new WeightDiffError(ours, `${what}${quoted}`, hint, { at: { file: name }, advice });
}

const MAX_BODY = 65_536;
/** This refusal has no code (hf_raise_for_status goes by these words too). */
const DISABLED = "Access to this resource is disabled.";
/** These concern the whole repository, whatever the request was for. */
const WHOLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["HUB_GATED", "HUB_NO_REPO", "HUB_DENIED"]);

function originOf(page: string): string {
  return new URL(page).origin;
}
