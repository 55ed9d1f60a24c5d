/**
 * Any bytes of one file of a repository, by HTTP range requests (RFC 9110, 14). The Hub answers with a signed address of a
 * content network, which is asked for once and again when it has expired. Every answer must be exactly the range that was
 * asked for, of a file of the right length; a body that is cut is continued where it stopped.
 */
import { WeightDiffError } from "../errors.js";
import { isEndpoint, type RemoteFile } from "./access.js";
import { refusalOf } from "./refusal.js";
import { type Answer, redirectOf, request } from "./request.js";
import { retry, TransientError } from "./retry.js";

export interface RangeReader {
  /** Hands over the bytes from `begin` to `end` in order. @param stop ends it. @throws {WeightDiffError} NETWORK, INPUT_CHANGED, HUB_…. */
  stream(
    begin: number,
    end: number,
    take: (piece: Uint8Array) => void | Promise<void>,
    stop?: AbortSignal,
  ): Promise<void>;
  /** Fills `target` from `position` on. @throws {WeightDiffError} likewise. */
  read(target: Uint8Array, position: number): Promise<void>;
}

/** Requests under way at once. More would only queue at the server. */
const MAX_PARALLEL = 16;
/** Fewer bytes than this between two cuts are no progress: a server that sends one byte at a time must not hold us for ever. */
const PROGRESS_BYTES = 65_536;
/** Length of the name of a git object (sha1, hex). */
const GIT_NAME = 40;
/** Too many requests, or too many for now (S3's "slow down"). */
const BUSY: ReadonlySet<number> = new Set([429, 503]);
/** The statuses of a signed address that has expired. */
const EXPIRED: ReadonlySet<number> = new Set([400, 401, 403, 404, 410]);

/** Where the bytes of a file lie; null if the Hub must be asked, for the first time or again. */
interface Place {
  url: Promise<URL> | null;
}

/** The places of all files that were opened: a file that is opened again needs no further request. */
const places = new WeakMap<RemoteFile, Place>();

function placeOf(file: RemoteFile): Place {
  // The Hub serves small files itself. If its list has git's name of one, its place is known.
  const known = file.etag.length === GIT_NAME ? file.url : file.address;
  const place = places.get(file) ?? { url: known === undefined ? null : Promise.resolve(new URL(known)) };
  places.set(file, place);
  return place;
}

/** The file with its address, if that is known. Makes no request. */
export async function withAddress(file: RemoteFile): Promise<RemoteFile> {
  const url = await places.get(file)?.url?.catch(() => null); // the next read asks again, and throws
  return url == null ? file : { ...file, address: url.href };
}

/** @param ended ends all requests. @param onBusy is called when a server has too many requests. */
export function openRanges(file: RemoteFile, ended?: AbortSignal, onBusy: () => void = () => {}): RangeReader {
  const place = placeOf(file);
  const turn = takeTurns(MAX_PARALLEL);

  const stream: RangeReader["stream"] = (begin, end, take, stop) =>
    turn(async () => {
      const signal = stop === undefined || ended === undefined ? (stop ?? ended) : AbortSignal.any([stop, ended]);
      let at = begin;
      let before = begin;
      const attempt = async (): Promise<void> => {
        before = at;
        if (at === end && end > begin) {
          return; // the connection broke after the last byte
        }
        place.url ??= findBytes(file, ended);
        const known = place.url;
        const askAgain = (): void => {
          place.url = place.url === known ? null : place.url;
        };
        const url = await known.catch((error: unknown) => {
          askAgain();
          throw error;
        });
        const whole = at === 0 && end === file.size;
        const answer = await request(file.access, url, {
          signal,
          bulk: true,
          headers: whole ? {} : { range: `bytes=${at}-${end - 1}` },
        }).catch((error: unknown) => {
          if (error instanceof TransientError && BUSY.has(error.status ?? 0)) {
            onBusy();
          }
          throw error;
        });
        if (EXPIRED.has(answer.status) && !isEndpoint(file.access, answer.url)) {
          askAgain();
          const { status } = answer;
          answer.discard();
          throw new TransientError(`${url.host} answers ${status}: the signed address has expired`, 0);
        }
        if (answer.status >= 400 && answer.status !== 416) {
          throw await refusalOf(file.access, file, answer);
        }
        const fault = rangeFault(answer, file, at, end);
        if (fault !== null) {
          answer.discard();
          throw new TransientError(`${answer.url.host}: ${fault}`);
        }
        await answer.read(async (piece) => {
          if (at + piece.length > end) {
            throw new TransientError(`${answer.url.host}: more bytes than were asked for`);
          }
          at += piece.length;
          await take(piece);
        });
        if (at < end) {
          throw new TransientError(`${answer.url.host}: the answer ends ${end - at} bytes early`);
        }
      };
      await retry(file.access, file.name, signal, attempt, () => at - before >= PROGRESS_BYTES);
    });

  return {
    stream,
    async read(target, position) {
      if (position < 0 || position + target.length > file.size) {
        throw new WeightDiffError(
          "TRUNCATED",
          `bytes ${position} to ${position + target.length} are wanted, the file has ${file.size}`,
          undefined,
          { at: { file: file.name } },
        );
      }
      if (target.length > 0) {
        let at = 0;
        await stream(position, position + target.length, (piece) => {
          target.set(piece, at);
          at += piece.length;
        });
      }
    },
  };
}

/**
 * Where the bytes lie: the signed address, or the file's own where the Hub serves it itself.
 * @throws {WeightDiffError} INPUT_CHANGED if the Hub has another file there than it listed; HUB_…, NETWORK; {TransientError}.
 */
async function findBytes(file: RemoteFile, signal: AbortSignal | undefined): Promise<URL> {
  const answer = await request(file.access, file.url, {
    method: "HEAD",
    signal,
    // A renamed repository is a redirect on the endpoint itself; the one that leads to the bytes has the file's own name with it.
    follow: (hop, target) => isEndpoint(file.access, target) && !hop.headers.has("x-linked-etag"),
  });
  const target = redirectOf(answer);
  if (answer.status >= 400) {
    throw await refusalOf(file.access, file, answer);
  }
  answer.discard();
  const etag = answer.headers.get("x-linked-etag");
  const size = answer.headers.get("x-linked-size");
  if ((etag !== null && plainEtag(etag) !== file.etag) || (size !== null && Number(size) !== file.size)) {
    throw new WeightDiffError(
      "INPUT_CHANGED",
      `the repository's list has ${file.etag} of ${file.size} bytes, its server ${plainEtag(etag ?? "?")} of ${size ?? "?"}`,
      "run the command again; if that stays, tell the repository's owner",
      { at: { file: file.name } },
    );
  }
  return target ?? answer.url;
}

/** An ETag without its quotes and the mark of a weak one (RFC 9110, 8.8.3). */
export function plainEtag(etag: string): string {
  return etag.replace(/^W\//, "").replace(/^"(.*)"$/, "$1");
}

/** What is wrong with an answer for bytes `begin` to `end`; null if nothing is. */
function rangeFault({ status, headers }: Answer, file: RemoteFile, begin: number, end: number): string | null {
  const encoding = headers.get("content-encoding");
  const length = headers.get("content-length");
  if (encoding !== null && encoding !== "identity") {
    return `the answer is packed (${encoding})`;
  }
  if (status === 206) {
    const range = headers.get("content-range");
    const expected = `bytes ${begin}-${end - 1}/${file.size}`;
    return range === expected
      ? null
      : `bytes ${begin}-${end - 1} of ${file.size} were asked for, ${range ?? "none"} came`;
  }
  const isPage = /^text\/html/i.test(headers.get("content-type") ?? "") && !/\.html?$/i.test(file.name);
  if (status === 200 && begin === 0 && end === file.size && (length === null || Number(length) === file.size)) {
    return isPage && length === null ? "an HTML page came instead of the file" : null;
  }
  if (isPage) {
    return "an HTML page came instead of the file";
  }
  return status === 200
    ? begin === 0 && end === file.size
      ? `${length} bytes came, the file has ${file.size}`
      : "the whole file came, and a range of it was asked for"
    : `status ${status} came for a range`;
}

/** At most `most` at a time, in order. */
function takeTurns(most: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = most;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free === 0) {
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      free--;
    }
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) {
        free++;
      } else {
        next();
      }
    }
  };
}
