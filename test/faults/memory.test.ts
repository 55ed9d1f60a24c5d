/**
 * Inputs of a few megabytes that once filled the memory, and honest ones that are large: each command ends with a result or an
 * error of ours, and its process never takes more than is stated here.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { repoFile } from "../hub/repo.js";
import { startHub } from "../hub/server.js";
import { withFolder } from "../support/checkpoints.js";
import { safetensorsFile } from "../support/hostile-files.js";
import {
  crowdedZip,
  deepShape,
  PICKLE_UNITS,
  pickleOfMany,
  put,
  putExperts,
  putStrays,
  shortHeader,
  tokenizerText,
} from "../support/large-inputs.js";
import { CAN_MEASURE, type Measured, peakOf } from "../support/peak.js";

const skip = CAN_MEASURE ? false : "only Linux tells a process its peak";

/** Of a process that reads what was made to fill the memory. One that reads a model of ten tensors takes 100 MB. */
const HOSTILE = 256e6;
/** Bytes on stdout: notes are counted, not listed. */
const MOST_PRINTED = 100_000;

/** @param codes of errors.ts that may come; none where it must end well. */
function holds(measured: Measured, most: number, codes: readonly number[] = [0, 3, 4, 5]): void {
  const { code, peak, printed, said } = measured;
  assert.ok(code !== null && codes.includes(code), `exit ${code}: ${said}`);
  assert.ok(peak > 30e6 && peak < most, `${peak} bytes: ${said.slice(0, 2000)}`);
  assert.ok(printed < MOST_PRINTED && said.length < 20_000, `${printed} bytes printed`);
  if (code !== 0) {
    assert.match(said, /weight-diff: (error|hint): |^$/);
  }
}

const TINY = safetensorsFile({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 4);

/** One file that `inspect` is given. */
const FILES: readonly (readonly [what: string, name: string, make: () => Uint8Array])[] = [
  ...Object.entries(PICKLE_UNITS).map(
    ([what, unit]) => [`a pickle of 2 MB: ${what}`, "x.bin", () => pickleOfMany(2_000_000, unit)] as const,
  ),
  ["a header of a million tensors", "x.safetensors", () => shortHeader(1_000_000)],
  ["a shape of twelve million zeros", "x.safetensors", () => deepShape(12_000_000)],
  ["a zip of 470,000 entries", "x.bin", () => crowdedZip(470_000)],
];

for (const [what, name, make] of FILES) {
  test(`${what} stays below ${HOSTILE} bytes`, { skip }, async (t) => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, name), make());
      const measured = await peakOf(["inspect", join(folder, name)]);
      t.diagnostic(`${measured.peak}`);
      holds(measured, HOSTILE, [4]);
    });
  });
}

const DIGEST = "0123456789abcdef".repeat(4);
const ENTRY = `{"name":"","dtype":"U8","shape":[],"sha256":"${DIGEST}"}`;
const recovered = (tensors: string): string =>
  `{"schema":1,"tool":"","operation":"recover","scheme":"","dtype":"","raw":{"repo":null,"commit":null,"files":[]},"diff":{"repo":null,"commit":null,"files":[]},"tensors":[${tensors}],"files":[],"sums":{"without_inv_freq":0,"with_inv_freq":0},"digest":"${DIGEST}"}`;
const times = (bytes: number, unit: string): string =>
  `${`${unit},`.repeat(Math.floor(bytes / (unit.length + 1)) - 1)}${unit}`;

const MANIFESTS: Readonly<Record<string, () => string>> = {
  "empty objects": () => recovered(times(71e6, "{}")),
  "a shape of zeros": () => recovered(ENTRY.replace("[]", `[${times(71e6, "0")}]`)),
  "more tensors than there can be": () => recovered(times(71e6, ENTRY)),
  "as many tensors as there can be": () => recovered(times(249_000 * (ENTRY.length + 1), ENTRY)),
  "lists in a sum": () => recovered("").replace('"with_inv_freq":0', `"with_inv_freq":[${times(71e6, "[]")}]`),
  "keys that are not known": () => `{${times(71e6, '"a":0')}}`,
  "no more than text": () => recovered(" ".repeat(71e6)),
};
for (const [what, make] of Object.entries(MANIFESTS)) {
  test(`a manifest of 71 MB stays below ${HOSTILE} bytes: ${what}`, { skip }, async (t) => {
    await withFolder(async (folder) => {
      await put(folder, { "model.safetensors": TINY, "config.json": "{}", "weight-diff.json": make() });
      const measured = await peakOf(["verify", folder]);
      t.diagnostic(`${measured.peak}`);
      holds(measured, HOSTILE, [3]);
    });
  });
}

test(`a tokenizer.json of 98 MB stays below ${HOSTILE} bytes`, { skip }, async (t) => {
  await withFolder(async (folder) => {
    await put(folder, { "model.safetensors": TINY, "config.json": "{}", "tokenizer.json": tokenizerText(6_200_000) });
    const measured = await peakOf(["verify", folder]);
    t.diagnostic(`${measured.peak}`);
    holds(measured, HOSTILE);
  });
});

test(`six shards of 25 MB, and only one tensor wanted of each, stay below ${HOSTILE} bytes`, { skip }, async (t) => {
  await withFolder(async (folder) => {
    const map: Record<string, string> = {};
    for (let shard = 0; shard < 6; shard++) {
      const file = `model-0000${shard + 1}-of-00006.safetensors`;
      await writeFile(join(folder, file), shortHeader(900_000, shard * 900_000));
      map[(shard * 900_000).toString(36)] = file;
    }
    await put(folder, { "model.safetensors.index.json": JSON.stringify({ weight_map: map }) });
    const measured = await peakOf(["inspect", folder]);
    t.diagnostic(`${measured.peak}`);
    holds(measured, HOSTILE, [4]);
  });
});

test(`240 names for one file of 7,000 tensors: few notes, below ${HOSTILE} bytes`, { skip }, async (t) => {
  await withFolder(async (folder) => {
    await putStrays(folder);
    for (const command of ["inspect", "verify"]) {
      const measured = await peakOf([command, folder]);
      t.diagnostic(`${command}: ${measured.peak}, ${measured.printed} printed`);
      holds(measured, HOSTILE);
    }
  });
});

test(`lists of the Hub without end, and what they announce, stay below ${HOSTILE} bytes`, { skip }, async (t) => {
  await withFolder(async (folder) => {
    const hub = await startHub();
    t.after(() => hub.close());
    hub.add("org/model", new Map([["model.safetensors", repoFile("model.safetensors", Buffer.from(TINY))]]));
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: join(folder, "home") };
    const oid = "0123456789".repeat(4);
    const announced = Array.from({ length: 13 }, (_, k) => ({
      ...{ type: "file", path: `tokenizer_${k}.json`, size: 95_000_000, oid },
    }));
    for (const [what, body] of [
      ["30 MB", Array(10_000_000).fill({})],
      ["a page", Array(2_600_000).fill({})],
      ["lists in lists", [Array(1_900_000).fill({})]],
      ["1.2 GB of small files", announced],
    ] as const) {
      hub.fault(/^GET hub \/api\/models\/org\/model\/tree\//, { kind: "json", body }, 1);
      await hub.forget();
      const measured = await peakOf(["inspect", "org/model"], env);
      t.diagnostic(`${what}: ${measured.peak}`);
      holds(measured, HOSTILE, [4, 5]);
      assert.ok(!hub.log.some(({ url }) => url.includes("/resolve/")), "nothing is fetched");
    }
  });
});

/** All of it takes minutes: WEIGHT_DIFF_MEMORY=all. Else fewer, and their results are planned only, after the manifest and the record were read. */
const ALL = process.env.WEIGHT_DIFF_MEMORY === "all";
const [TENSORS, HONEST] = ALL ? [160_000, 900e6] : [40_000, 300e6];
for (const encoding of ALL ? ["exact", "additive"] : ["exact"]) {
  test(`${TENSORS} tensors, ${encoding}: make-diff, recover and verify below ${HONEST} bytes`, { skip }, async (t) => {
    await withFolder(async (folder) => {
      const [base, tuned, diff] = [join(folder, "base"), join(folder, "tuned"), join(folder, "diff")];
      const pair = ["--path_raw", base, "--path_diff", diff];
      await putExperts(base, TENSORS, 4, 1);
      await putExperts(tuned, TENSORS, 4, 2);
      for (const command of [
        ["make-diff", ...pair, "--path_tuned", tuned, "--encoding", encoding, "--max-shard-size", "1MB"],
        ["recover", ...pair, ...(ALL ? ["--path_tuned", join(folder, "result")] : ["--dry-run"])],
        ...(ALL
          ? [
              ["verify", diff],
              ["verify", join(folder, "result")],
            ]
          : []),
      ]) {
        const measured = await peakOf(command);
        t.diagnostic(`${command[0]}: ${measured.peak}`);
        holds(measured, HONEST, [0]);
      }
    });
  });
}
