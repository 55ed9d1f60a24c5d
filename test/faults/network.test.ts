/** Networks as they are: proxies with credentials, private authorities, mirrors. Every run has the bytes of a local one, or says what to do. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { push } from "../../src/commands/push.js";
import type { RecoverReport } from "../../src/commands/recover/report.js";
import { recover } from "../../src/commands/recover.js";
import { WeightDiffError } from "../../src/errors.js";
import type { HubOptions } from "../../src/hub/settings.js";
import { BASE, DIFF, weightDiff } from "../cli/command.js";
import { AUTHORITY, type Running, startFront, startProxy, type TestProxy } from "../hub/network.js";
import { filesOf } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { refuses } from "../support/refusal.js";

const TOKEN = "hf_secret_of_a_user";
const USER = "scott";
const PASSWORD = "tiger#4/2";
const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
let hub: TestHub;
let plain: { readonly hub: string; readonly cdn: string };
let fronts: readonly [hub: Running, cdn: Running];
let hosts: ReadonlyMap<string, number>;
let proxy: TestProxy;
let secure: TestProxy;
let local: RecoverReport["tensors"];
let runs = 0;

const portOf = (url: string): number => Number(new URL(url).port);

before(async () => {
  hub = await startHub();
  plain = { hub: hub.endpoint, cdn: hub.cdn };
  hub.add("org/base", filesOf(BASE));
  hub.add("org/diff", filesOf(DIFF));
  hub.account(TOKEN, { name: "org", namespaces: ["org"] });
  fronts = [await startFront(portOf(hub.endpoint)), await startFront(portOf(hub.cdn))];
  hosts = new Map([
    ["hub.test:443", fronts[0].port],
    ["cdn.test:443", fronts[1].port],
    ["other.test:443", fronts[0].port],
    ["hub.test:80", portOf(hub.endpoint)],
    ["cdn.test:80", portOf(hub.cdn)],
    [`localhost:${fronts[0].port}`, fronts[0].port],
  ]);
  proxy = await startProxy(hosts, `${USER}:${PASSWORD}`);
  secure = await startProxy(hosts, null, true);
  local = (await recover({ raw: BASE, diff: DIFF, threads: 0 })).tensors;
});
beforeEach(async () => {
  Object.assign(hub, { endpoint: plain.hub, cdn: plain.cdn, lists: "tree" });
  await hub.forget();
  for (const each of [proxy, secure]) {
    each.log.length = 0;
    each.status = null;
  }
});
after(async () => {
  await Promise.all([...fronts, proxy, secure, hub].map((each) => each.close()));
  rmSync(HOME, { recursive: true });
});

const withUser = (): string => `http://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${proxy.port}`;

/** The Hub under its name behind the proxy. @param scheme of its addresses. */
function behind(scheme: "http" | "https"): string {
  Object.assign(hub, { endpoint: `${scheme}://hub.test`, cdn: `${scheme}://cdn.test` });
  return hub.endpoint;
}

function options(endpoint: string, environment: HubOptions["environment"] = {}, cached = true): HubOptions {
  return {
    endpoint,
    token: TOKEN,
    cache: cached ? join(HOME, `cache-${runs++}`) : null,
    environment: { HOME, ...environment },
    patience: { attempts: 3, pauseMs: 1, answerMs: 5000 },
  };
}

function run(how: HubOptions, threads = 0): Promise<RecoverReport> {
  return recover({ raw: "org/base", diff: "org/diff", threads, hub: how });
}

for (const cached of [true, false]) {
  for (const threads of [0, 1]) {
    const how = `${cached ? "cached" : "streamed"}, ${threads} threads`;
    test(`https through a proxy with a password, and an authority of one's own: ${how}`, async () => {
      const environment = { https_proxy: withUser(), SSL_CERT_FILE: AUTHORITY };
      assert.deepEqual((await run(options(behind("https"), environment, cached), threads)).tensors, local);
      // The names exist nowhere else. A tunnel of the test before may be used again.
      assert.ok(
        proxy.log.every((line) => /^CONNECT (hub|cdn)\.test:443$/.test(line)),
        proxy.log.join(),
      );
      assert.ok(hub.log.some(({ port }) => port === "cdn"));
      assert.ok(hub.log.some(({ token }) => token) && hub.log.every(({ port, token }) => port === "hub" || !token));
    });
  }
}

test("http through a proxy asks for whole addresses, and names the host", async () => {
  assert.deepEqual((await run(options(behind("http"), { ALL_PROXY: withUser() }))).tensors, local);
  assert.ok(proxy.log.some((line) => line.startsWith("GET http://hub.test/api/models/org/diff/revision/main")));
  assert.ok(proxy.log.some((line) => line.startsWith("GET http://cdn.test/")));
});

test("connections through a proxy are used again", async () => {
  await run(options(behind("https"), { https_proxy: withUser(), SSL_CERT_FILE: AUTHORITY }));
  assert.ok(proxy.log.length < hub.log.length / 2, `${proxy.log.length} tunnels for ${hub.log.length} requests`);
});

test("a proxy that speaks TLS itself is trusted by the same authorities", async () => {
  const environment = { HTTPS_PROXY: `https://localhost:${secure.port}`, CURL_CA_BUNDLE: AUTHORITY };
  assert.deepEqual((await run(options(behind("https"), environment))).tensors, local);
  assert.ok(secure.log.includes("CONNECT hub.test:443"));
  const untrusted = options(behind("http"), { HTTP_PROXY: `https://localhost:${secure.port}` });
  await refuses(() => run(untrusted), "NETWORK", /certificate of the proxy localhost:\d+ \(HTTP_PROXY\) is not signed/);
});

test("a push goes through the proxy, too", async () => {
  const made = join(HOME, "made");
  await recover({ raw: BASE, diff: DIFF, tuned: made, threads: 0 });
  const environment = { https_proxy: withUser(), REQUESTS_CA_BUNDLE: AUTHORITY };
  const report = await push({ path: made, repo: "org/pushed", threads: 0, hub: options(behind("https"), environment) });
  assert.equal(report.outcome, "pushed");
  const arrived = hub.repos.get("org/pushed")?.commits.get(report.commit ?? "")?.files;
  assert.deepEqual(
    report.files.map(({ file }) => arrived?.get(file)?.bytes.equals(readFileSync(join(made, file)))),
    report.files.map(() => true),
  );
  assert.ok(hub.log.some(({ port, method }) => port === "cdn" && method === "PUT"));
});

test("a host that NO_PROXY names is reached without the proxy", async () => {
  const environment = { https_proxy: withUser(), no_proxy: "example.com, .test", SSL_CERT_FILE: AUTHORITY };
  // Behind the proxy only, the name does not exist.
  await refuses(
    () => run(options(behind("https"), environment)),
    "NETWORK",
    /hub\.test: cannot be reached \((ENOTFOUND|EAI_AGAIN)\)/,
  );
  assert.deepEqual(proxy.log, []);
});

for (const [name, environment, says, hint] of [
  [
    "no password",
    (): string => `http://127.0.0.1:${proxy.port}`,
    /needs a user and a password \(407\)/,
    /HTTPS_PROXY: http:\/\/user:password@/,
  ],
  [
    "a wrong password",
    (): string => `http://scott:lion-123@127.0.0.1:${proxy.port}`,
    /does not accept the user and password \(407\)/,
    /HTTPS_PROXY/,
  ],
] as const) {
  for (const scheme of ["https", "http"] as const) {
    test(`${name} for the proxy is told once and not tried again: ${scheme}`, async () => {
      proxy.denied = 0;
      const how = options(behind(scheme), {
        HTTPS_PROXY: environment(),
        HTTP_PROXY: environment(),
        SSL_CERT_FILE: AUTHORITY,
      });
      await assert.rejects(run(how), (error) => {
        assert.ok(error instanceof WeightDiffError && error.code === "NETWORK", String(error));
        assert.match(error.message, says);
        assert.match(error.hint ?? "", scheme === "https" ? hint : /HTTP_PROXY/);
        assert.doesNotMatch(`${error.message} ${error.hint}`, /lion|scott|tiger/);
        return true;
      });
      // Base and diff are looked up at once.
      assert.ok(proxy.denied <= 2, String(proxy.denied));
    });
  }
}

test("a proxy that forbids the host is told with it; one that fails is tried again", async () => {
  // One of its own: there is no tunnel yet that could be used again.
  const strict = await startProxy(hosts);
  const environment = { https_proxy: `http://127.0.0.1:${strict.port}`, SSL_CERT_FILE: AUTHORITY };
  const how = options(behind("https"), environment);
  try {
    strict.status = 403;
    await refuses(
      () => run(how),
      "NETWORK",
      /the proxy 127\.0\.0\.1:\d+ \(https_proxy\) does not let through to hub\.test \(403\)/,
    );
    strict.status = 503;
    await refuses(
      () => run(how),
      "NETWORK",
      /the proxy \S+ \(https_proxy\) answers 503 for hub\.test:443 \(tried 3 times\)/,
    );
  } finally {
    await strict.close();
  }
});

test("a proxy that is not there is named", async () => {
  const gone = await startProxy(new Map());
  await gone.close();
  for (const scheme of ["https", "http"] as const) {
    const how = options(behind(scheme), { ALL_PROXY: `http://scott:tiger123@127.0.0.1:${gone.port}` });
    await assert.rejects(run(how), (error) => {
      assert.ok(error instanceof WeightDiffError && error.code === "NETWORK", String(error));
      assert.match(error.message, /the proxy 127\.0\.0\.1:\d+ \(ALL_PROXY\): cannot be reached \(ECONNREFUSED\)/);
      assert.doesNotMatch(error.message, /tiger/);
      return true;
    });
  }
});

test("a certificate that nobody here trusts is not tried again, and the remedy is named", async () => {
  const how = options(behind("https"), { https_proxy: withUser() });
  await assert.rejects(run(how), (error) => {
    assert.ok(error instanceof WeightDiffError && error.code === "NETWORK", String(error));
    assert.match(error.message, /the certificate of hub\.test is not signed by an authority that is trusted here/);
    assert.match(error.hint ?? "", /SSL_CERT_FILE, REQUESTS_CA_BUNDLE or NODE_EXTRA_CA_CERTS/);
    return true;
  });
  assert.ok(proxy.log.length <= 2, proxy.log.join());
});

test("without a proxy, the program itself trusts the certificates of each variable", async () => {
  const endpoint = `https://localhost:${fronts[0].port}`;
  const args = ["inspect", "org/diff", "--no-cache"];
  const none = {
    SSL_CERT_FILE: "",
    REQUESTS_CA_BUNDLE: "",
    CURL_CA_BUNDLE: "",
    NODE_EXTRA_CA_CERTS: "",
    HF_ENDPOINT: endpoint,
  };
  hub.cdn = `https://localhost:${fronts[1].port}`;
  hub.endpoint = endpoint;
  const refused = await weightDiff(args, { ...none, HOME });
  assert.deepEqual([refused.code, refused.said.length], [5, 2], refused.said.join("\n"));
  assert.match(refused.said[0] ?? "", /the certificate of localhost:\d+ is not signed by an authority/);
  for (const variable of ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]) {
    const { code, said } = await weightDiff(args, { ...none, HOME, [variable]: AUTHORITY });
    assert.equal(code, 0, `${variable}: ${said.join("\n")}`);
  }
});

test("over TLS with an ordinary environment, the bytes are those of a local run, with and without a cache", async () => {
  const endpoint = `https://localhost:${fronts[0].port}`;
  hub.cdn = `https://localhost:${fronts[1].port}`;
  hub.endpoint = endpoint;
  // Node itself trusts it, so that the program's own connections do.
  const env = {
    SSL_CERT_FILE: "",
    REQUESTS_CA_BUNDLE: "",
    CURL_CA_BUNDLE: "",
    NODE_EXTRA_CA_CERTS: AUTHORITY,
    HF_ENDPOINT: endpoint,
    HF_HOME: join(HOME, "tls-cache"),
    HOME,
  };
  const sums = async (folder: string, ...more: readonly string[]): Promise<unknown> => {
    const path = join(HOME, folder);
    const args = ["recover", "--path_raw", "org/base", "--path_diff", "org/diff", "--path_tuned", path, "--quiet"];
    const { code, said } = await weightDiff([...args, ...more], env);
    assert.equal(code, 0, said.join("\n"));
    const made = JSON.parse(readFileSync(join(path, "weight-diff.json"), "utf8")) as Pick<RecoverReport, "tensors">;
    return new Map(made.tensors.map(({ name, sha256 }) => [name, sha256]));
  };
  const expected = new Map(local.map(({ name, sha256 }) => [name, sha256]));
  for (const [folder, more] of [
    ["tls-kept", []],
    ["tls-ranges", ["--no-cache"]],
  ] as const) {
    assert.deepEqual(await sums(folder, ...more), expected, folder);
  }
  const refused = await weightDiff(
    [
      "recover",
      "--path_raw",
      "org/base",
      "--path_diff",
      "org/diff",
      "--path_tuned",
      join(HOME, "tls-no"),
      "--no-cache",
    ],
    { ...env, NODE_EXTRA_CA_CERTS: "" },
  );
  assert.equal(refused.code, 5);
  assert.match(refused.said.join("\n"), /the certificate of localhost:\d+ is not signed by an authority/);
});

test("a certificate of another host is not trusted", async () => {
  behind("https");
  const how = options("https://other.test", { https_proxy: withUser(), SSL_CERT_FILE: AUTHORITY });
  await refuses(
    () => run(how),
    "NETWORK",
    /the certificate of other\.test is another host's \(ERR_TLS_CERT_ALTNAME_INVALID\)/,
  );
});

test("a bundle that is not there, or holds no certificate, is named with its variable", async () => {
  const nothing = join(HOME, "nothing.pem");
  await refuses(
    () => run(options("https://hub.test", { SSL_CERT_FILE: nothing })),
    "NOT_FOUND",
    /nothing\.pem: .*\(SSL_CERT_FILE names it\)/,
  );
  writeFileSync(join(HOME, "words.pem"), "words\n");
  await refuses(
    () => run(options("https://hub.test", { REQUESTS_CA_BUNDLE: join(HOME, "words.pem") })),
    "FORMAT_INVALID",
    /words\.pem: no certificate is in it \(REQUESTS_CA_BUNDLE names it\)/,
  );
});

test("a folder of certificates is a bundle", async () => {
  mkdirSync(join(HOME, "certs"));
  writeFileSync(join(HOME, "certs/5ed36f99.0"), readFileSync(AUTHORITY));
  const how = options(behind("https"), { https_proxy: withUser(), REQUESTS_CA_BUNDLE: join(HOME, "certs") });
  assert.deepEqual((await run(how)).tensors, local);
});

for (const lists of ["siblings", "names"] as const) {
  test(`a mirror without a list of files is read by its ${lists === "names" ? "siblings' names and headers" : "siblings"}`, async () => {
    hub.lists = lists;
    const report = await recover({
      raw: "org/base",
      diff: "hf://org/diff@main",
      threads: 0,
      hub: options(hub.endpoint),
    });
    assert.deepEqual(report.tensors, local);
    assert.equal(
      hub.log.some(({ method, url }) => method === "HEAD" && url.endsWith("/.gitattributes")),
      lists === "names",
    );
    await refuses(
      () => recover({ raw: "org/base", diff: "hf://org/diff@main/sub", threads: 0, hub: options(hub.endpoint) }),
      "HUB_NO_FILE",
      /no such folder/,
    );
  });
}

test("a name that is mistyped, or looked up offline, is answered within two seconds", async () => {
  const gone = await startProxy(new Map());
  await gone.close();
  const endpoint = `http://127.0.0.1:${gone.port}`;
  const started = performance.now();
  // With the usual patience, which tries five times and takes eight seconds.
  const how = { endpoint, token: null, cache: join(HOME, "none"), environment: { HOME } };
  await refuses(
    () => recover({ raw: "modles/llama", diff: DIFF, threads: 0, hub: how }),
    "NETWORK",
    /^modles\/llama: no file or directory here; as a repository of the Hub: .*cannot be reached \(ECONNREFUSED\) \(tried 2 times\)$/,
  );
  assert.ok(performance.now() - started < 2000, `${performance.now() - started} ms`);
  const { code, said } = await weightDiff(["inspect", "modles/llama"], { HF_ENDPOINT: "https://hub.invalid", HOME });
  assert.equal(code, 5);
  assert.match(said[0] ?? "", /hub\.invalid: cannot be reached \((ENOTFOUND|EAI_AGAIN)\)/);
});

test("if nothing answers, the error points out a copy in the cache", async () => {
  const cache = join(HOME, "kept");
  await recover({ raw: BASE, diff: "org/diff", threads: 0, hub: { ...options(hub.endpoint), cache } });
  const gone = { ...options("http://hub.invalid"), cache };
  await assert.rejects(recover({ raw: BASE, diff: "org/diff", threads: 0, hub: gone }), (error) => {
    assert.ok(error instanceof WeightDiffError && error.code === "NETWORK", String(error));
    assert.deepEqual(error.advice, [{ to: "use the copy in the cache", option: "hub.offline", value: true }]);
    return true;
  });
  await assert.rejects(recover({ raw: BASE, diff: "org/never", threads: 0, hub: gone }), (error) => {
    assert.ok(error instanceof WeightDiffError && error.advice.length === 0, String(error));
    return true;
  });
});
