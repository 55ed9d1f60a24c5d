/** Reads and writes of an open descriptor that may be a pipe: from where it stands on, as much as it gives or takes. */
import { read, write } from "node:fs";
import { promisify } from "node:util";
import { errnoOf } from "./errno.js";

/** What is given in place of a path: of an input stdin, of an output stdout. */
export const STREAM = "-";

/** The streams that every program has. */
export const STDIN = 0;
export const STDOUT = 1;

const readOnce = promisify(read);
const writeOnce = promisify(write);

/** Of a pipe that its other end has made one that never waits. */
const PAUSE_MS = 1;

/** @returns how many bytes came, 0 only at the end. @throws as fs.read. */
export async function readSome(fd: number, target: Uint8Array): Promise<number> {
  return patiently(async () => (await readOnce(fd, target, 0, target.length, null)).bytesRead);
}

/** @returns how many bytes went. @throws as fs.write; EPIPE once nobody reads any more. */
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
