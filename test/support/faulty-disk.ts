/** Disks that misbehave as a test wants: over real files, or over bytes in memory. */
import { type Disk, type DiskFile, localDisk, PAGE } from "../../src/engine/io/disk.js";

export type Action = "read" | "write";

export interface Faults {
  /** Called before each read and write, with its memory; throws to make it fail. */
  readonly before?: (
    action: Action,
    path: string,
    position: number,
    bytes: Uint8Array,
    direct: boolean,
  ) => void | Promise<void>;
  /** How many of `length` bytes the disk takes or gives at once. */
  readonly cut?: (action: Action, length: number) => number;
  /** Called with what was read, which it may change. */
  readonly after?: (path: string, position: number, bytes: Uint8Array) => void;
  /** Files say that they are direct if that was asked for, whatever the file system can. */
  readonly direct?: boolean;
  /** Called when a file is opened, and when it is closed. */
  readonly opened?: (path: string) => void;
  readonly closed?: (path: string) => void;
}

/** What the operating system throws. */
export function errno(code: string): Error {
  return Object.assign(new Error(`${code}: made up, by a test`), { code });
}

export function faultyFile(file: DiskFile, faults: Faults, direct = file.direct): DiskFile {
  const cut = (action: Action, bytes: Uint8Array): Uint8Array =>
    bytes.subarray(0, Math.min(bytes.length, Math.max(1, faults.cut?.(action, bytes.length) ?? bytes.length)));
  return {
    ...file,
    direct,
    async read(target, position) {
      await faults.before?.("read", file.path, position, target, direct);
      const piece = cut("read", target);
      const count = await file.read(piece, position);
      faults.after?.(file.path, position, piece.subarray(0, count));
      return count;
    },
    async write(source, position) {
      await faults.before?.("write", file.path, position, source, direct);
      return file.write(cut("write", source), position);
    },
    async close() {
      faults.closed?.(file.path);
      await file.close();
    },
  };
}

export function faultyDisk(faults: Faults): Disk {
  return {
    async openFile(path, mode, direct) {
      const file = await localDisk.openFile(path, mode, direct && faults.direct !== true);
      faults.opened?.(path);
      return faultyFile(file, faults, faults.direct === true ? direct : file.direct);
    },
  };
}

/** Throws EINVAL where a disk with 4096-byte sectors does. Memory counts from the start of its buffer, which lies on a page. */
export function insistOnPages(position: number, bytes: Uint8Array): void {
  if (position % PAGE !== 0 || bytes.length % PAGE !== 0 || bytes.byteOffset % PAGE !== 0) {
    throw errno("EINVAL");
  }
}

/** A file whose bytes are `bytes`; writes go into them. */
export function memoryFile(bytes: Uint8Array, path = "test.bin", direct = false): DiskFile {
  return {
    path,
    direct,
    async read(target, position) {
      const found = bytes.subarray(position, position + target.length);
      target.set(found);
      return found.length;
    },
    async write(source, position) {
      const count = Math.min(source.length, bytes.length - position);
      bytes.set(source.subarray(0, count), position);
      return count;
    },
    stat: async () => ({ size: bytes.length, modified: "0" }),
    truncate: async () => {},
    sync: async () => {},
    close: async () => {},
  };
}
