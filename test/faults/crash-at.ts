/** Preloaded into the program: it kills itself, with -9, in place of the CRASH_AT-th call (from 0) that changes the disk. */
import { watchDisk } from "../support/watched-disk.js";

const disk = watchDisk();
let left = Number(process.env.CRASH_AT);
disk.changed = () => {
  if (left-- === 0) {
    process.kill(process.pid, "SIGKILL");
  }
};
