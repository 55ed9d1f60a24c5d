/**
 * Watches every call that changes the disk through node:fs/promises in this thread, and can end them all from one call on, as
 * a power loss would: what was done is done, nothing more is, not even tidying up. And it can have single calls fail.
 */
import { constants } from "node:fs";
import fsp, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { errno } from "./faulty-disk.js";

export interface DiskCall {
  readonly call: string;
  readonly path: string;
  /** The new name, of a rename or a link. */
  readonly to?: string;
}

export interface WatchedDisk {
  /** Runs `body`; the `crashAt`-th changing call (from 0) and all after it fail and do nothing. @returns the calls made. */
  watch(body: () => Promise<void>, crashAt?: number): Promise<readonly DiskCall[]>;
  /** Is the call to fail, and with what? Asked of opening for reading too. */
  fail: ((call: string, path: string) => string | null) | null;
  /** Told of every changing call before it is made. */
  changed: ((call: DiskCall) => void) | null;
}

const NAMED = [
  ...(["mkdir", "writeFile", "link", "symlink", "rename", "rm", "unlink", "rmdir"] as const),
  ...(["copyFile", "chmod", "truncate"] as const),
];
const ON_HANDLE = ["appendFile", "write", "writeFile", "truncate", "sync", "chmod"] as const;

type Call = (...args: unknown[]) => Promise<unknown>;

/** Puts itself between node:fs/promises and everybody who imports it, for the rest of this process. */
export function watchDisk(): WatchedDisk {
  let calls: DiskCall[] | null = null;
  let end = Number.POSITIVE_INFINITY;
  const refuse = (call: string, path: string): void => {
    const code = disk.fail?.(call, path) ?? null;
    if (code !== null) {
      throw errno(code);
    }
  };
  const note = (call: DiskCall): void => {
    refuse(call.call, call.path);
    disk.changed?.(call);
    if (calls !== null) {
      if (calls.length >= end) {
        throw new Error("crashed, by a test");
      }
      calls.push(call);
    }
  };
  for (const call of NAMED) {
    const real = fsp[call].bind(fsp) as Call;
    const watched: Call = async (path, ...rest) => {
      const to = call === "rename" || call === "link" || call === "copyFile" ? { to: String(rest[0]) } : {};
      note({ call, path: String(path), ...to });
      return real(path, ...rest);
    };
    Object.assign(fsp, { [call]: watched });
  }
  const realOpen = fsp.open.bind(fsp);
  const open = async (path: string, flags: string | number = "r"): Promise<FileHandle> => {
    if (changes(flags)) {
      note({ call: "open", path });
    } else {
      refuse("open", path);
    }
    const handle = await realOpen(path, flags);
    for (const call of ON_HANDLE) {
      const real = handle[call].bind(handle) as Call;
      const watched: Call = async (...args) => {
        note({ call, path });
        return real(...args);
      };
      Object.assign(handle, { [call]: watched });
    }
    return handle;
  };
  Object.assign(fsp, { open });
  syncBuiltinESMExports();
  const disk: WatchedDisk = {
    fail: null,
    changed: null,
    async watch(body, crashAt = Number.POSITIVE_INFINITY) {
      const made: DiskCall[] = [];
      calls = made;
      end = crashAt;
      try {
        await body();
      } finally {
        calls = null;
      }
      return made;
    },
  };
  return disk;
}

/** May opening with these flags change something? */
function changes(flags: string | number): boolean {
  const writing = constants.O_WRONLY | constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC;
  return typeof flags === "string" ? flags !== "r" : (flags & writing) !== 0;
}
