/**
 * The test Hub held against the real Python client: what huggingface_hub downloads, lists, uploads and raises there is what it
 * would on huggingface.co. WEIGHT_DIFF_PYTHON names the Python; without it the tests are skipped, except in CI, where they fail.
 */
import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { type PythonAnswer, type PythonHub, startPython } from "../hub/python.js";
import { commit, digest, filesOf, type Repo, repoFile } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { FIXTURES } from "../support/fixtures.js";

const TOKEN = "hf_writer";
const DIFF = join(FIXTURES, "demo/diff");
const SHARDED = join(FIXTURES, "recover/safetensors-sharded/diff");
const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with huggingface_hub";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

let hub: TestHub;
let repo: Repo;
let place: string;
let anonymous: PythonHub;
let writer: PythonHub;

before(async () => {
  if (skip !== false) {
    return;
  }
  assert.ok(python !== undefined, absent);
  place = mkdtempSync(join(tmpdir(), "weight-diff-"));
  hub = await startHub();
  repo = hub.add("org/diff", filesOf(DIFF));
  repo.tags.set("v1", repo.branches.get("main") ?? "");
  commit(repo, "main", "nested", new Map([["sub/folder/notes.txt", repoFile("", Buffer.from("notes\n"))]]));
  hub.add("org/gated", filesOf(DIFF), { gated: true });
  hub.add("org/secret", filesOf(DIFF), { private: true });
  hub.add("org/closed", filesOf(DIFF), { disabled: true });
  hub.renames.set("org/old-name", "org/diff");
  hub.account(TOKEN, { name: "tester", namespaces: ["tester"] });
  anonymous = startPython(python, { HF_ENDPOINT: hub.endpoint, HF_HOME: join(place, "anonymous") });
  writer = startPython(python, { HF_ENDPOINT: hub.endpoint, HF_HOME: join(place, "writer"), HF_TOKEN: TOKEN });
});

after(async () => {
  if (skip === false) {
    await Promise.all([anonymous.close(), writer.close()]);
    await hub.close();
    rmSync(place, { recursive: true });
  }
});

function done<T>(answer: PythonAnswer): T {
  assert.equal(answer.error, undefined, `${answer.error}: ${answer.message}`);
  return answer.value as T;
}

const sameFiles = (snapshot: string, expected: string): void => {
  for (const name of readdirSync(expected)) {
    assert.ok(readFileSync(join(snapshot, name)).equals(readFileSync(join(expected, name))), name);
  }
};

test("snapshot_download gets every file by branch, tag and commit; a second time it fetches none", {
  skip,
}, async () => {
  const [head, tagged] = [repo.branches.get("main") ?? "", repo.tags.get("v1") ?? ""];
  for (const [revision, sha] of [
    ["main", head],
    ["v1", tagged],
    [tagged, tagged],
  ] as const) {
    const snapshot = done<string>(await anonymous.call("snapshot_download", { repo_id: "org/diff", revision }));
    assert.equal(basename(snapshot), sha);
    sameFiles(snapshot, DIFF);
    assert.equal(existsSync(join(snapshot, "sub/folder/notes.txt")), sha === head);
  }
  const cache = join(place, "anonymous/hub/models--org--diff");
  assert.equal(readFileSync(join(cache, "refs/main"), "utf8"), head);
  assert.ok(lstatSync(join(cache, "snapshots", head, "config.json")).isSymbolicLink());
  const large = [...(repo.commits.get(head)?.files ?? [])].flatMap(([, { lfs }]) => (lfs === null ? [] : lfs.oid));
  assert.ok(large.length > 0);
  for (const oid of large) {
    assert.equal(digest("sha256", readFileSync(join(cache, "blobs", oid))), oid);
  }
  const before = hub.log.length;
  done(await anonymous.call("snapshot_download", { repo_id: "org/diff" }));
  assert.deepEqual(
    hub.log.slice(before).filter(({ method, url }) => method === "GET" && url.includes("/resolve/")),
    [],
  );
});

test("allow_patterns and small pages; no token ever reaches storage", { skip }, async () => {
  hub.pageSize = 2;
  const args = { repo_id: "org/diff", allow_patterns: ["*.json"], local_dir: join(place, "patterns") };
  const folder = done<string>(await writer.call("snapshot_download", args));
  hub.pageSize = 1000;
  const names = readdirSync(folder).filter((name) => !name.startsWith("."));
  assert.deepEqual(
    names.sort(),
    readdirSync(DIFF)
      .filter((name) => name.endsWith(".json"))
      .sort(),
  );
  assert.ok(hub.log.some(({ port, token }) => port === "hub" && token));
  assert.deepEqual(
    hub.log.filter(({ port, token }) => port !== "hub" && token),
    [],
  );
});

test("hf_hub_download goes by etags: of the large file's sha256, of the small one's git object", { skip }, async () => {
  const files = repo.commits.get(repo.branches.get("main") ?? "")?.files ?? new Map();
  for (const resolveCache of [false, true]) {
    hub.resolveCache = resolveCache;
    const cache_dir = join(place, `etags-${resolveCache}`);
    for (const [filename, { lfs, oid }] of files) {
      done(await anonymous.call("hf_hub_download", { repo_id: "org/diff", filename, cache_dir }));
      assert.ok(existsSync(join(cache_dir, "models--org--diff/blobs", lfs?.oid ?? oid)), filename);
    }
    const before = hub.log.length;
    done(await anonymous.call("hf_hub_download", { repo_id: "org/diff", filename: "config.json", cache_dir }));
    assert.ok(hub.log.slice(before).every(({ method }) => method === "HEAD"));
  }
  hub.resolveCache = false;
});

test("an interrupted download is made good", { skip }, async () => {
  const weights = readdirSync(DIFF).find((name) => name.endsWith(".bin")) ?? "";
  hub.fault(/^GET cdn /, { kind: "cut", after: 1000 });
  const args = { repo_id: "org/diff", filename: weights, cache_dir: join(place, "cut") };
  const path = done<string>(await anonymous.call("hf_hub_download", args));
  assert.ok(readFileSync(path).equals(readFileSync(join(DIFF, weights))));
});

test("headers are read by range, through the redirect", { skip }, async () => {
  const [file = ""] = readdirSync(SHARDED).filter((name) => name.endsWith(".safetensors"));
  hub.add("org/sharded", filesOf(SHARDED));
  const before = hub.log.length;
  const args = { repo_id: "org/sharded", filename: file };
  const header = done<{ tensors: object }>(await anonymous.call("parse_safetensors_file_metadata", args));
  assert.ok(Object.keys(header.tensors).length > 0);
  assert.deepEqual(
    hub.log.slice(before).map(({ port, range, status }) => [port, range, status]),
    [
      ["hub", "bytes=0-100000", 302],
      ["cdn", "bytes=0-100000", 206],
    ],
  );
});

test("model_info, list_repo_tree and get_paths_info say what is there", { skip }, async () => {
  const info = done<{ sha: string; siblings: { rfilename: string }[] }>(
    await anonymous.call("model_info", { repo_id: "org/old-name", files_metadata: true }),
  );
  assert.equal(info.sha, repo.branches.get("main"));
  hub.pageSize = 3;
  type Entry = { path: string; size?: number; blob_id?: string; lfs?: { sha256: string; size: number } | null };
  const args = { repo_id: "org/diff", recursive: true, expand: true };
  const entries = done<Entry[]>(await anonymous.call("list_repo_tree", args));
  hub.pageSize = 1000;
  assert.ok(entries.some(({ path, size }) => path === "sub/folder" && size === undefined));
  const files = repo.commits.get(info.sha)?.files ?? new Map();
  assert.deepEqual(info.siblings.map(({ rfilename }) => rfilename).sort(), [...files.keys()].sort());
  for (const [path, { bytes, oid, lfs }] of files) {
    const entry = entries.find((entry) => entry.path === path);
    assert.deepEqual([entry?.size, entry?.blob_id, entry?.lfs?.sha256], [bytes.length, oid, lfs?.oid], path);
  }
  const inside = { repo_id: "org/diff", path_in_repo: "sub/folder", revision: "main" };
  assert.deepEqual(
    done<Entry[]>(await anonymous.call("list_repo_tree", inside)).map(({ path }) => path),
    ["sub/folder/notes.txt"],
  );
  const paths = { repo_id: "org/diff", paths: ["config.json", "sub", "nowhere"] };
  assert.deepEqual(
    done<Entry[]>(await anonymous.call("get_paths_info", paths)).map(({ path }) => path),
    ["config.json", "sub"],
  );
});

/** To nobody in particular: 401 without a code, which the client takes for RepositoryNotFoundError only where the address is https. */
const UNKNOWN = "HfHubHTTPError";
const FILE = { filename: "config.json" };
const REFUSED: readonly (readonly [what: string, args: Record<string, string>, anonymous: string, writer: string])[] = [
  ["a missing repo", { repo_id: "org/nothing", ...FILE }, UNKNOWN, "RepositoryNotFoundError"],
  ["a private repo", { repo_id: "org/secret", ...FILE }, UNKNOWN, "RepositoryNotFoundError"],
  ["a gated repo", { repo_id: "org/gated", ...FILE }, "GatedRepoError", "GatedRepoError"],
  ["a disabled repo", { repo_id: "org/closed", ...FILE }, "DisabledRepoError", "DisabledRepoError"],
  [
    "a missing revision",
    { repo_id: "org/diff", revision: "v9", ...FILE },
    "RevisionNotFoundError",
    "RevisionNotFoundError",
  ],
  [
    "a missing file",
    { repo_id: "org/diff", filename: "nothing" },
    "RemoteEntryNotFoundError",
    "RemoteEntryNotFoundError",
  ],
];

for (const [what, args, without, withToken] of REFUSED) {
  test(`${what} raises the class that it raises on the real Hub`, { skip }, async () => {
    assert.equal(await causeOf(anonymous, args), without);
    assert.equal(await causeOf(writer, args), withToken);
  });
}

/** The class of what get_hf_file_metadata raises: hf_hub_download hides some behind "not in the cache". */
async function causeOf(client: PythonHub, args: Record<string, string>): Promise<string | undefined> {
  const url = `${hub.endpoint}/${args.repo_id}/resolve/${args.revision ?? "main"}/${args.filename}`;
  return (await client.call("get_hf_file_metadata", { url })).error;
}

test("upload_folder publishes small and large files, in one piece and in several, and downloads the same", {
  skip,
}, async () => {
  const folder = mkdtempSync(join(place, "upload-"));
  for (const name of readdirSync(DIFF)) {
    writeFileSync(join(folder, name), readFileSync(join(DIFF, name)));
  }
  for (const [repo_id, partSize] of [
    ["tester/whole", null],
    ["tester/parts", 5000],
  ] as const) {
    hub.partSize = partSize;
    done(await writer.call("create_repo", { repo_id, private: true }));
    hub.uploads.clear();
    writeFileSync(join(folder, "model.safetensors"), Buffer.alloc(12_345, repo_id));
    const made = done<{ oid: string }>(await writer.call("upload_folder", { repo_id, folder_path: folder }));
    assert.equal(hub.repos.get(repo_id)?.branches.get("main"), made.oid);
    assert.equal(hub.repos.get(repo_id)?.private, true);
    assert.equal([...hub.uploads.keys()].filter((key) => key.includes("/")).length > 0, partSize !== null);
    sameFiles(done<string>(await writer.call("snapshot_download", { repo_id })), folder);
    const again = done<{ oid: string }>(await writer.call("upload_folder", { repo_id, folder_path: folder }));
    assert.equal(again.oid, made.oid, "nothing to commit");
  }
  hub.partSize = null;
});

test("publishing is refused without a token, elsewhere, twice, and on top of a commit that is not the last", {
  skip,
}, async () => {
  const error = async (client: PythonHub, call: string, args: Record<string, unknown>): Promise<string> => {
    const { error, message } = await client.call(call, args);
    return `${error}: ${message}`;
  };
  assert.match(await error(anonymous, "create_repo", { repo_id: "tester/x" }), /401/);
  assert.match(await error(writer, "create_repo", { repo_id: "org/x" }), /403/);
  done(await writer.call("create_repo", { repo_id: "tester/twice" }));
  assert.match(await error(writer, "create_repo", { repo_id: "tester/twice" }), /409|already created/);
  done(await writer.call("create_repo", { repo_id: "tester/twice", exist_ok: true }));
  const stale = hub.repos.get("tester/twice")?.branches.get("main");
  const upload = { repo_id: "tester/twice", path_in_repo: "a.txt", path_or_fileobj: join(DIFF, "config.json") };
  done(await writer.call("upload_file", upload));
  const late = { ...upload, path_in_repo: "b.txt", parent_commit: stale };
  assert.match(await error(writer, "upload_file", late), /412/);
  assert.equal(done<{ name: string }>(await writer.call("whoami", {})).name, "tester");
});
