/**
 * Where the Hub is, which token is sent, and where the cache lies: by the options, else by the environment variables that
 * huggingface_hub reads, in its order (constants.py, utils/_auth.py).
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { expandHome } from "../files/paths.js";
import { readText } from "../files/small-files.js";
import { type HubAccess, PATIENCE } from "../http/access.js";
import { networkOf } from "../http/network.js";
import { keepSecret } from "../secrets.js";
import { namedAuthorities } from "./authorities.js";

export interface HubOptions {
  /** The Hub's address; by default HF_ENDPOINT, else "https://huggingface.co". */
  readonly endpoint?: string;
  /** The token; by default HF_TOKEN, else what `hf auth login` wrote; null sends none. */
  readonly token?: string | null;
  /** A file that holds the token. */
  readonly tokenFile?: string;
  /** The folder of the cache; by default HF_HUB_CACHE and what it stands for. Null keeps nothing on the disk: bytes are read from the Hub as they are needed. */
  readonly cache?: string | null;
  /** Use the cache only, and send no request; by default as HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE says. */
  readonly offline?: boolean;
  /** The environment variables; by default process.env. */
  readonly environment?: Environment;
  /** How long to wait and how often to try. */
  readonly patience?: Partial<
    Pick<HubAccess, "answerMs" | "silenceMs" | "wholeMs" | "rateMs" | "attempts" | "reachAttempts" | "pauseMs">
  >;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface HubSettings {
  readonly access: HubAccess;
  readonly cache: string | null;
  readonly offline: boolean;
  /** May the cache use symlinks where the system has them? */
  readonly symlinks: boolean;
}

const DEFAULT_ENDPOINT = "https://huggingface.co";
const MAX_TOKEN_BYTES = 10_000;

/** @throws {WeightDiffError} USAGE for an endpoint or token that cannot be one, or for contradictions; NOT_FOUND for a named token file. */
export async function hubSettings(options: HubOptions): Promise<HubSettings> {
  const env = options.environment ?? process.env;
  const offline = options.offline ?? (isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE) || false);
  const cache = options.cache === undefined ? cacheFolder(env) : options.cache;
  if (offline && cache === null) {
    throw new WeightDiffError(
      "USAGE",
      "offline and without a cache there is nothing to read from the Hub",
      "allow one of them (HF_HUB_OFFLINE forbids the Hub)",
    );
  }
  const token = await tokenOf(options, env);
  keepSecret(token ?? "");
  return {
    access: {
      endpoint: endpointOf(options.endpoint ?? (env.HF_ENDPOINT || DEFAULT_ENDPOINT)),
      token,
      network: networkOf(env, offline ? null : await namedAuthorities(env)),
      ...PATIENCE,
      ...milliseconds("answerMs", env.HF_HUB_ETAG_TIMEOUT),
      ...milliseconds("silenceMs", env.HF_HUB_DOWNLOAD_TIMEOUT),
      ...options.patience,
    },
    cache: cache === null ? null : expandHome(cache),
    offline,
    symlinks: !isTrue(env.HF_HUB_DISABLE_SYMLINKS),
  };
}

/** HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else below HF_HOME, else below XDG_CACHE_HOME, else ~/.cache. */
export function cacheFolder(env: Environment): string {
  return expand(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(hubHome(env), "hub"), env);
}

function hubHome(env: Environment): string {
  return expand(env.HF_HOME || join(env.XDG_CACHE_HOME || join(homeOf(env), ".cache"), "huggingface"), env);
}

/** As Python's expanduser and expandvars: a variable that is not set stays as it is written. */
function expand(path: string, env: Environment): string {
  const home =
    path === "~" || path.startsWith("~/") || path.startsWith("~\\") ? join(homeOf(env), path.slice(1)) : path;
  return home.replace(/\$(?:(\w+)|\{([^}]*)\})/g, (whole, plain: string | undefined, braced: string | undefined) => {
    return env[plain ?? braced ?? ""] ?? whole;
  });
}

function homeOf(env: Environment): string {
  return env.HOME || homedir();
}

function isTrue(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? "");
}

function milliseconds<K extends string>(key: K, seconds: string | undefined): Partial<Record<K, number>> {
  const value = Number(seconds);
  return seconds === undefined || !(value > 0 && value <= 86_400) ? {} : ({ [key]: value * 1000 } as Record<K, number>);
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== "" ||
    url.password !== "" ||
    url.search !== ""
  ) {
    throw new WeightDiffError(
      "USAGE",
      "the Hub's endpoint is not an http address",
      "as HF_ENDPOINT=https://huggingface.co",
    );
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

async function tokenOf(options: HubOptions, env: Environment): Promise<string | null> {
  const { tokenFile } = options;
  if (tokenFile !== undefined) {
    return readToken(tokenFile).catch((error: unknown) => {
      throw error instanceof WeightDiffError ? aboutTokenFile(error, tokenFile) : error;
    });
  }
  if (options.token !== undefined || isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) {
    return cleaned(options.token ?? "", "the token");
  }
  const given = cleaned(env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || "", "HF_TOKEN");
  if (given !== null) {
    return given;
  }
  const path = expand(env.HF_TOKEN_PATH || join(hubHome(env), "token"), env);
  // Without a login there is no such file.
  return cleaned(await readText(path, MAX_TOKEN_BYTES).catch(() => ""), path);
}

async function readToken(file: string): Promise<string> {
  const token = cleaned(await readText(expandHome(file), MAX_TOKEN_BYTES), file);
  if (token === null) {
    throw new WeightDiffError("USAGE", "holds no token", "hf auth login writes one", { at: { file } });
  }
  return token;
}

/** A bare "no such file" could be about any of the inputs. */
function aboutTokenFile({ code, fact, hint }: WeightDiffError, file: string): WeightDiffError {
  const advice = [{ to: "give another file", option: "hub.tokenFile" }];
  return new WeightDiffError(code, `gives no token for the Hub: ${fact}`, hint, { at: { file }, advice });
}

/** Refuses a token that no header can hold: the error of an attempt to send it would show it. */
function cleaned(text: string, where: string): string | null {
  const token = text.trim();
  if (!/^[\x21-\x7e]*$/.test(token)) {
    throw new WeightDiffError("USAGE", "holds characters that no token has", "copy it again from the Hub's settings", {
      at: { file: where },
    });
  }
  return token === "" ? null : token;
}
