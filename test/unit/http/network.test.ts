/** Which proxy is asked, by the environment. The expected values of the first table are those of Python's requests.utils (2.32), where it says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { credentialsOf, networkOf, proxyFor } from "../../../src/http/network.js";
import { blot } from "../../../src/secrets.js";
import { refuses } from "../../support/refusal.js";

const A = "http://a:1";
const B = "http://b:2";

for (const [environment, url, expected] of [
  [{}, "https://hub.test", null],
  [{ HTTPS_PROXY: A }, "https://hub.test", A],
  [{ HTTPS_PROXY: A }, "http://hub.test", null],
  [{ HTTP_PROXY: A }, "https://hub.test", null],
  [{ HTTP_PROXY: A }, "http://hub.test", A],
  [{ https_proxy: A, HTTPS_PROXY: B }, "https://hub.test", A],
  [{ https_proxy: "", HTTPS_PROXY: B }, "https://hub.test", null],
  [{ ALL_PROXY: A }, "https://hub.test", A],
  [{ all_proxy: A, HTTP_PROXY: B }, "http://hub.test", B],
  [{ HTTPS_PROXY: "a:1" }, "https://hub.test", A],
  [{ HTTPS_PROXY: A, NO_PROXY: "*" }, "https://hub.test", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "hub.test" }, "https://hub.test", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "HUB.Test" }, "https://hub.test", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "test" }, "https://hub.test", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "x.y, .test" }, "https://hub.test", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "*.test" }, "https://hub.test", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "ub.test" }, "https://hub.test", A],
  [{ HTTPS_PROXY: A, NO_PROXY: "hub.test:8443" }, "https://hub.test", A],
  [{ HTTPS_PROXY: A, NO_PROXY: "hub.test:8443" }, "https://hub.test:8443", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "hub.test:443" }, "https://hub.test", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "10.0.0.0/8" }, "https://10.1.2.3", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "10.0.0.0/8" }, "https://11.1.2.3", A],
  [{ HTTPS_PROXY: A, NO_PROXY: "10.0.0.0/99" }, "https://10.1.2.3", A],
  [{ HTTPS_PROXY: A, NO_PROXY: "fd00::/8" }, "https://[fd12::1]", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "fd12::1" }, "https://[fd12::1]:8443", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "[fd12::1]:8443" }, "https://[fd12::1]:8443", null],
  [{ HTTPS_PROXY: A, NO_PROXY: "," }, "https://hub.test", A],
  [{ HTTPS_PROXY: A }, "https://localhost:1", null],
  [{ HTTPS_PROXY: A }, "https://127.0.0.1:1", null],
  [{ HTTPS_PROXY: A }, "https://[::1]:1", null],
  [{ HTTPS_PROXY: A }, "https://127.example", A],
] as const) {
  test(`${JSON.stringify(environment)}: ${url} through ${expected ?? "no proxy"}`, () => {
    assert.equal(proxyFor(networkOf(environment, null), new URL(url))?.address ?? null, expected);
  });
}

for (const [address, expected] of [
  ["http://scott:tiger@a:1", "scott:tiger"],
  ["http://scott:t%40iger%23@a:1", "scott:t@iger#"],
  ["http://scott:t@iger@a:1", "scott:t@iger"],
  ["http://scott:50%@a:1", "scott:50%"],
  ["http://scott@a:1", "scott:"],
  ["http://a:1", null],
] as const) {
  test(`the credentials in ${address}`, () => {
    const given = credentialsOf(new URL(address));
    assert.equal(given === null ? null : Buffer.from(given, "base64").toString(), expected);
  });
}

for (const value of [
  "http://",
  "http://user:pa#ssword@host:1",
  "http://user:pa/ssword@host:1",
  "http://host:1?x",
  "http://host:99999",
]) {
  test(`refuses ${value} without showing it`, async () => {
    await refuses(
      () => networkOf({ HTTPS_PROXY: value }, null),
      "USAGE",
      /^HTTPS_PROXY is not the address of a proxy$/,
    );
  });
}

test("a SOCKS proxy is refused where it would be asked, and nowhere else", async () => {
  const network = networkOf({ ALL_PROXY: "socks5h://scott:tiger@a:1", HTTPS_PROXY: A, NO_PROXY: "near.test" }, null);
  assert.equal(proxyFor(network, new URL("https://hub.test"))?.address, A);
  assert.equal(proxyFor(network, new URL("http://near.test")), null);
  await refuses(
    () => proxyFor(network, new URL("http://hub.test")),
    "USAGE",
    /^ALL_PROXY names a socks5h proxy: only http and https/,
  );
});

test("a password, and what is sent of it, is kept out of every text", () => {
  networkOf({ https_proxy: "http://scott:sekret-of-a-proxy@a:1" }, null);
  const sent = Buffer.from("scott:sekret-of-a-proxy").toString("base64");
  assert.equal(blot(`sekret-of-a-proxy ${sent}`), "… …");
});
