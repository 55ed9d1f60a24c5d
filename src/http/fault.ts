/** Says what went wrong on the network, and whether the error is transient. */
import { WeightDiffError } from "../errors.js";
import { TransientError } from "./retry.js";

/** Nothing answers at all: there is no such name, or the machine has no network. */
const UNREACHED: ReadonlySet<string> = new Set([
  "ENOTFOUND",
  "EAI_AGAIN",
  "EAI_FAIL",
  "ENETDOWN",
  "ENETUNREACH",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ECONNREFUSED",
]);

const OWN_AUTHORITY =
  "if a proxy or a mirror of your network signs it, name a file with the certificate of its authority (PEM) in SSL_CERT_FILE, REQUESTS_CA_BUNDLE or NODE_EXTRA_CA_CERTS";
const RENEW = "check the clock of this machine; if it is right, the server's certificate must be renewed";
const ANOTHER_HOST = "check the endpoint: whoever answers there is somebody else, or a proxy in between";

/** Why a certificate may be refused (nodejs.org/api/tls.html, "X509 certificate error codes"), and what to do. */
const CERTIFICATE: Readonly<Record<string, readonly [fault: string, hint: string]>> = {
  UNABLE_TO_GET_ISSUER_CERT: ["is not signed by an authority that is trusted here", OWN_AUTHORITY],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ["is not signed by an authority that is trusted here", OWN_AUTHORITY],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ["is not signed by an authority that is trusted here", OWN_AUTHORITY],
  SELF_SIGNED_CERT_IN_CHAIN: ["is not signed by an authority that is trusted here", OWN_AUTHORITY],
  DEPTH_ZERO_SELF_SIGNED_CERT: ["is signed by nobody but itself", OWN_AUTHORITY],
  CERT_UNTRUSTED: ["is not trusted", OWN_AUTHORITY],
  CERT_HAS_EXPIRED: ["has expired", RENEW],
  CERT_NOT_YET_VALID: ["is not valid yet", RENEW],
  CERT_REVOKED: ["was revoked", ANOTHER_HOST],
  CERT_REJECTED: ["is rejected", ANOTHER_HOST],
  CERT_SIGNATURE_FAILURE: ["has a wrong signature", ANOTHER_HOST],
  CERT_CHAIN_TOO_LONG: ["has too long a chain", ANOTHER_HOST],
  INVALID_CA: ["is signed by a certificate that may not sign", ANOTHER_HOST],
  INVALID_PURPOSE: ["is not made for servers", ANOTHER_HOST],
  PATH_LENGTH_EXCEEDED: ["is signed by a certificate that may not sign", ANOTHER_HOST],
  HOSTNAME_MISMATCH: ["is another host's", ANOTHER_HOST],
  ERR_TLS_CERT_ALTNAME_INVALID: ["is another host's", ANOTHER_HOST],
};

/**
 * The error to throw when a socket, fetch or the stream of a body has thrown. @param host the server, for messages.
 * @param what happened to the exchange: "cannot be reached", "the connection was cut".
 */
export function lineError(host: string, what: string, error: unknown): WeightDiffError | TransientError {
  for (let reason = error; reason instanceof Error; reason = reason.cause) {
    if (reason instanceof WeightDiffError || reason instanceof TransientError) {
      return reason;
    }
  }
  // fetch says "fetch failed" and hides the reason in its cause.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "";
  const [fault, hint] = (Object.hasOwn(CERTIFICATE, code) ? CERTIFICATE[code] : undefined) ?? [];
  return fault === undefined
    ? new TransientError(`${host}: ${what}${code === "" ? "" : ` (${code})`}`, null, {
        cause: error,
        unreached: UNREACHED.has(code),
      })
    : new WeightDiffError("NETWORK", `the certificate of ${host} ${fault} (${code})`, hint, { cause: error });
}
