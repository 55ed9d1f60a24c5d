/**
 * Odd repositories, each recovered to torch's own tensors or refused in the right words: every case under fixtures/odd, and
 * the places that no fixture can hold (links, names, rights). What is shown elsewhere:
 *
 * | oddity | shown by |
 * |---|---|
 * | base with more rows than the diff; three new rows, refused and taken | refuse/base-has-more-rows, refuse/three-new-rows, recover/rows-three |
 * | lm_head missing in the base, in the diff; one storage for both | recover/tied-base, recover/tied-diff, recover/views |
 * | inv_freq missing on either side, or in float16; integer buffers | recover/inv-freq-*, recover/neox-integers |
 * | an index that leaves the folder, in every spelling | refuse/index-names-a-path, unit/checkpoint/checkpoint |
 * | shards without an index, pointers and pages as shards | refuse/missing-index, refuse/lfs-pointer, refuse/html-page |
 * | state dicts below "model" and "state_dict"; views and big-endian files in all dtypes | recover/wrapper-key, recover/views, torch-bin |
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { chmod, cp, mkdir, readFile, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import type { RecoverReport } from "../../src/commands/recover/report.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";

interface Expect {
  readonly like?: string;
  readonly without?: readonly string[];
  readonly flags: { readonly scheme?: string };
  /** Of a refusal. */
  readonly code?: string;
  readonly mentions?: readonly string[];
  /** Of a recovery; tensors and sums are those of `like` where they are left out. */
  readonly tensors?: readonly Tensor[];
  readonly sums?: { readonly without_inv_freq: Sum; readonly with_inv_freq: Sum | null };
  readonly says?: readonly string[];
  readonly silent?: readonly string[];
  /** Small files of the output -> sha256. */
  readonly files?: Readonly<Record<string, string>>;
}
interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}
interface Sum {
  readonly value: number | null;
}

const root = join(FIXTURES, "odd");
const read = (name: string): Expect => JSON.parse(readFileSync(join(root, name, "expect.json"), "utf8")) as Expect;

/** The expectation of a case, with what it takes from the case that it is like. */
function expectation(name: string): Expect {
  const own = read(name);
  return own.like === undefined || own.code !== undefined ? own : { ...expectation(own.like), ...own };
}

/** Lays a case out: first the files of the case that it is like, then its own. @returns the folder that holds base/ and diff/. */
async function layOut(name: string, folder: string): Promise<string> {
  const { like, without = [] } = read(name);
  if (like !== undefined) {
    await layOut(like, folder);
  }
  for (const side of ["base", "diff"].filter((each) => existsSync(join(root, name, each)))) {
    await cp(join(root, name, side), join(folder, side), { recursive: true });
  }
  for (const file of without) {
    await rm(join(folder, file));
  }
  return folder;
}

/** Every path below a folder, with what a write would change. */
function contentOf(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => {
      const info = statSync(join(folder, name));
      return `${name} ${info.mtimeMs} ${info.isFile() ? sha256(readFileSync(join(folder, name))) : ""}`;
    });
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function sorted(tensors: readonly Tensor[] | undefined): readonly unknown[] {
  return (tensors ?? [])
    .map(({ name, dtype, shape, sha256: digest }) => ({ name, dtype, shape, sha256: digest }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function finite(sum: number | undefined): number | null {
  return sum === undefined || !Number.isFinite(sum) ? null : sum;
}

/** Recovers and holds everything against the expectation. @returns all that was said. */
async function recovers(options: RecoverOptions, expect: Expect): Promise<RecoverReport> {
  const said: string[] = [];
  const report = await recover({
    scheme: expect.flags.scheme ?? "auto",
    invFreq: "keep",
    threads: 1,
    onNote: (text) => said.push(text),
    onWarning: (text) => said.push(text),
    ...options,
  });
  assert.deepEqual(sorted(report.tensors), sorted(expect.tensors));
  if (options.tuned != null) {
    const { tensors } = await inspect({ path: options.tuned, digest: true });
    assert.deepEqual(sorted(tensors), sorted(expect.tensors));
  }
  assert.equal(finite(report.sums?.withoutInvFreq), expect.sums?.without_inv_freq.value);
  if (expect.sums?.with_inv_freq != null) {
    assert.equal(finite(report.sums?.withInvFreq), expect.sums.with_inv_freq.value);
  }
  const text = said.join("\n");
  for (const words of expect.says ?? []) {
    assert.ok(text.includes(words), `"${words}" is not in:\n${text}`);
  }
  for (const words of expect.silent ?? []) {
    assert.ok(!text.includes(words), `"${words}" is in:\n${text}`);
  }
  return report;
}

const cases = readdirSync(root, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? entry.name : []));
assert.ok(cases.length > 30);

for (const name of cases.filter((each) => each !== "containers")) {
  const expect = expectation(name);
  const { code } = expect;

  test(`${code === undefined ? "recovers" : "refuses"} ${name}`, async () => {
    await withFolder(async (place) => {
      const inputs = await layOut(name, join(place, "in"));
      const options = { raw: join(inputs, "base"), diff: join(inputs, "diff"), tuned: join(place, "tuned") };
      const before = contentOf(inputs);
      if (code === undefined) {
        await recovers(options, expect);
        const small = readdirSync(options.tuned).filter(
          (file) => !/^(model\.safetensors|weight-diff\.json)$/.test(file),
        );
        const digests = small.map((file) => [file, sha256(readFileSync(join(options.tuned, file)))]);
        assert.deepEqual(Object.fromEntries(digests), expect.files);
      } else {
        const error = await recover({ ...options, scheme: expect.flags.scheme ?? "auto" }).then(
          () => assert.fail("was not refused"),
          (reason: unknown) => reason,
        );
        assert.ok(error instanceof WeightDiffError, String(error));
        assert.equal(error.code, code, error.message);
        assert.equal(EXIT_CODES[error.code], 4);
        const text = `${error.message} ${error.hint ?? ""}`.replaceAll(inputs, "").toLowerCase();
        for (const mention of expect.mentions ?? []) {
          assert.ok(text.includes(mention.toLowerCase()), `"${mention}" is not in: ${text}`);
        }
        assert.equal(existsSync(options.tuned), false);
      }
      assert.deepEqual(contentOf(inputs), before);
    });
  });
}

const FORMS = ["zip", "legacy", "safetensors"].flatMap((container) => [`${container}-1`, `${container}-3`]);
for (const base of FORMS) {
  test(`gives the same tensors from a ${base} base and a diff in any form`, async () => {
    const expect = { ...expectation("containers"), says: [] };
    for (const diff of FORMS) {
      const folder = join(root, "containers");
      await recovers({ raw: join(folder, "base", base), diff: join(folder, "diff", diff) }, expect);
    }
  });
}

/** [what is odd about the place, how the two folders come to be there from a laid out case]. */
const PLACES: readonly (readonly [
  what: string,
  move: (inputs: string) => Promise<{ readonly raw: string; readonly diff: string }>,
])[] = [
  [
    "names with spaces, quotes, line ends and other scripts",
    async (inputs) => {
      const [raw, diff] = [join(inputs, "LLaMA 7B 'hf'\n"), join(inputs, "диф-差分 🦙 #%41")];
      await rename(join(inputs, "base"), raw);
      await rename(join(inputs, "diff"), diff);
      return { raw, diff };
    },
  ],
  [
    "paths with slashes at the end and dots within",
    async (inputs) => ({ raw: `${inputs}/base//`, diff: `${inputs}/diff/../diff/./` }),
  ],
  [
    "links in place of the folders",
    async (inputs) => {
      await symlink("base", join(inputs, "raw link"));
      await symlink(join(inputs, "diff"), join(inputs, "diff link"));
      return { raw: join(inputs, "raw link"), diff: `${join(inputs, "diff link")}/` };
    },
  ],
  [
    "links in place of every file, through two folders: the base's lead elsewhere, the diff's stay in it",
    async (inputs) => {
      for (const side of ["base", "diff"]) {
        const [old, links] = [join(inputs, `${side} old`), join(inputs, side)];
        const store = side === "base" ? join(inputs, "base blobs") : join(links, ".store", "blobs");
        const middle = side === "base" ? join(inputs, "base middle") : join(links, ".store", "middle");
        await rename(links, old);
        await mkdir(middle, { recursive: true });
        await mkdir(links, { recursive: true });
        await rename(old, store);
        for (const file of readdirSync(store)) {
          await symlink(join(store, file), join(middle, file));
          await symlink(relative(links, join(middle, file)), join(links, file));
        }
      }
      return { raw: join(inputs, "base"), diff: join(inputs, "diff") };
    },
  ],
  [
    "a clone with its .git folder and git-lfs objects",
    async (inputs) => {
      for (const side of ["base", "diff"]) {
        const objects = join(inputs, side, ".git", "lfs", "objects", "5c", "3b");
        await mkdir(objects, { recursive: true });
        await writeFile(join(objects, "5c3b"), "an object");
        await writeFile(join(inputs, side, ".git", "config"), "[core]\n");
        await writeFile(join(inputs, side, ".lfsconfig"), "[lfs]\n");
      }
      return { raw: join(inputs, "base"), diff: join(inputs, "diff") };
    },
  ],
  [
    "files and folders that may only be read",
    async (inputs) => {
      for (const side of ["base", "diff"]) {
        for (const file of readdirSync(join(inputs, side))) {
          await chmod(join(inputs, side, file), 0o444);
        }
        await chmod(join(inputs, side), 0o555);
      }
      return { raw: join(inputs, "base"), diff: join(inputs, "diff") };
    },
  ],
];

for (const [what, move] of PLACES) {
  test(`recovers from ${what}`, async () => {
    await withFolder(async (scratch) => {
      const place = await realpath(scratch);
      const inputs = await layOut("sharded", join(place, "in"));
      const { raw, diff } = await move(inputs);
      const before = contentOf(inputs);
      try {
        await recovers({ raw, diff, tuned: join(place, "tuned") }, expectation("sharded"));
        assert.deepEqual(
          readdirSync(join(place, "tuned")).sort(),
          ["model.safetensors", "weight-diff.json", ...Object.keys(expectation("sharded").files ?? {})].sort(),
        );
        assert.deepEqual(contentOf(inputs), before);
      } finally {
        for (const side of [raw, diff]) {
          await chmod(side, 0o755);
        }
      }
    });
  });
}

test("reads no stray file: the manifest names as sources what the indexes name, and nothing else", async () => {
  await withFolder(async (place) => {
    const inputs = await layOut("strays", join(place, "in"));
    const tuned = join(place, "tuned");
    await recover({ raw: join(inputs, "base"), diff: join(inputs, "diff"), tuned, threads: 1 });
    const manifest = await readFile(join(tuned, "weight-diff.json"), "utf8");
    assert.deepEqual(
      manifest.match(/pytorch_model[^"]*/g),
      [1, 2, 3]
        .map((n) => `pytorch_model-0000${n}-of-00003.bin`)
        .concat([1, 2].map((n) => `pytorch_model-0000${n}-of-00002.bin`)),
    );
    assert.doesNotMatch(manifest, /training_args|optimizer|scheduler|rng_state|trainer_state|latest|zero_to_fp32/);
  });
});
