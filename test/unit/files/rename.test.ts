/** Final names where another program has the file open, as on Windows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { renameOver } from "../../../src/files/rename.js";
import { errno } from "../../support/faulty-disk.js";

/** A system that says `codes` one after the other, and then yes. */
function system(platform: string, codes: readonly string[]) {
  const left = [...codes];
  let [calls, waited] = [0, 0];
  return {
    platform,
    rename: async () => {
      calls++;
      const code = left.shift();
      if (code !== undefined) {
        throw errno(code);
      }
    },
    pause: async (ms: number) => {
      waited += ms;
    },
    counts: () => ({ calls, waited }),
  };
}

for (const code of ["EPERM", "EACCES", "EBUSY"]) {
  test(`Windows: ${code} passes by in a moment`, async () => {
    const windows = system("win32", [code, code, code]);
    await renameOver("a", "b", windows);
    assert.deepEqual(windows.counts(), { calls: 4, waited: 14 });
  });
}

test("Windows: a refusal that does not pass is reported after some three seconds", async () => {
  const windows = system(
    "win32",
    Array.from({ length: 100 }, () => "EBUSY"),
  );
  await assert.rejects(renameOver("a", "b", windows), { code: "EBUSY" });
  const { calls, waited } = windows.counts();
  assert.ok(calls === 12 && waited > 1500 && waited < 4000, `${calls} calls, ${waited} ms`);
});

for (const [platform, code] of [
  ["win32", "ENOENT"],
  ["win32", "ENOSPC"],
  ["linux", "EPERM"],
  ["darwin", "EACCES"],
] as const) {
  test(`${platform}: ${code} is reported at once`, async () => {
    const one = system(platform, [code]);
    await assert.rejects(renameOver("a", "b", one), { code });
    assert.deepEqual(one.counts(), { calls: 1, waited: 0 });
  });
}
