import assert from "node:assert/strict";
import { test } from "node:test";
import { WeightDiffError } from "../../../src/errors.js";
import { lineError } from "../../../src/http/fault.js";
import { TransientError } from "../../../src/http/retry.js";

const coded = (code: string): Error => Object.assign(new Error("x"), { code });
/** As Node's fetch throws it. */
const hidden = (code: string): Error => new TypeError("fetch failed", { cause: coded(code) });

for (const code of ["ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "ECONNREFUSED"]) {
  test(`${code}: nothing answers, which may pass`, () => {
    for (const error of [coded(code), hidden(code)]) {
      const made = lineError("hub.test", "cannot be reached", error);
      assert.ok(made instanceof TransientError && made.unreached);
      assert.equal(made.message, `hub.test: cannot be reached (${code})`);
    }
  });
}

test("a cut may pass, and something had answered", () => {
  const made = lineError("hub.test", "the connection was cut", coded("ECONNRESET"));
  assert.ok(made instanceof TransientError && !made.unreached);
});

for (const [code, words, hint] of [
  ["SELF_SIGNED_CERT_IN_CHAIN", /is not signed by an authority that is trusted here/, /SSL_CERT_FILE/],
  ["CERT_HAS_EXPIRED", /has expired/, /clock/],
  ["ERR_TLS_CERT_ALTNAME_INVALID", /is another host's/, /endpoint/],
] as const) {
  test(`${code} does not pass`, () => {
    for (const error of [coded(code), hidden(code)]) {
      const made = lineError("hub.test", "cannot be reached", error);
      assert.ok(made instanceof WeightDiffError && made.code === "NETWORK");
      assert.match(made.message, words);
      assert.match(made.hint ?? "", hint);
    }
  });
}

test("what was said already is not said again", () => {
  const said = new WeightDiffError("INPUT_CHANGED", "is shorter");
  assert.equal(lineError("hub.test", "cannot be reached", new TypeError("fetch failed", { cause: said })), said);
  for (const odd of [undefined, null, "x", new Error("toString")]) {
    assert.ok(lineError("hub.test", "cannot be reached", odd) instanceof TransientError);
  }
});
