/** Reads and writes an open descriptor that may be a pipe: from its position on, as much as it gives or takes. */
import { read, write } from "node:fs";
import { promisify } from "node:util";
import { errnoOf } from "./errno.js";

/** Stands in place of a path: stdin for an input, stdout for an output. */
export const STREAM = "-";

/** The streams that every program has. */
export const STDIN = 0;
export const STDOUT = 1;

const readOnce = promisify(read);
const writeOnce = promisify(write);

/** For a pipe that its other end has made non-blocking. */
const PAUSE_MS = 1;

/** @returns the number of bytes read; 0 only at the end. @throws as fs.read. */
export async function readSome(fd: number, target: Uint8Array): Promise<number> {
  return patiently(async () => (await readOnce(fd, target, 0, target.length, null)).bytesRead);
}

/** @returns the number of bytes written. @throws as fs.write; EPIPE once nobody reads any more. */
export async function writeSome(fd: number, source: Uint8Array): Promise<number> {
  return patiently(async () => (await writeOnce(fd, source, 0, source.length, null)).bytesWritten);
}

async function patiently(call: () => Promise<number>): Promise<number> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (errnoOf(error) !== "EAGAIN" && errnoOf(error) !== "EINTR") {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
