/**
 * Certificates of authorities that the user's environment trusts: the variables of OpenSSL, Python's requests and curl name them. Node itself
 * reads NODE_EXTRA_CA_CERTS only.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "../files/errno.js";
import { expandHome } from "../files/paths.js";
import { readText, regularFiles } from "../files/small-files.js";

/** Each names a file, or a folder of files as c_rehash makes them. */
const VARIABLES = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] as const;
/** Node reads it itself, but not for a connection that names its own authorities: such a connection must name them all. */
const OF_NODE = "NODE_EXTRA_CA_CERTS";
/** The bundles of operating systems have some 250 kB. */
const MAX_BYTES = 10_000_000;
const CERTIFICATE = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/;

/** The PEM of all of them; null if the environment names none. @throws {WeightDiffError} NOT_FOUND, IO, LIMIT, FORMAT_INVALID naming the variable. */
export async function namedAuthorities(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string | null> {
  const named = new Map<string, string>();
  for (const variable of [...VARIABLES, OF_NODE]) {
    const path = environment[variable] ?? "";
    if (path !== "" && !named.has(path) && (variable !== OF_NODE || named.size > 0)) {
      named.set(path, variable);
    }
  }
  const texts: string[] = [];
  for (const [path, variable] of named) {
    texts.push(...(await readAuthorities(expandHome(path), variable)));
  }
  return texts.length === 0 ? null : texts.join("\n");
}

async function readAuthorities(path: string, variable: string): Promise<readonly string[]> {
  try {
    const info = await stat(path).catch((error: unknown) => {
      throw fileError(path, "open", error);
    });
    const files = info.isDirectory() ? (await regularFiles(path)).map((name) => join(path, name)) : [path];
    const texts: string[] = [];
    for (const file of files) {
      const text = await readText(file, MAX_BYTES);
      if (CERTIFICATE.test(text)) {
        texts.push(text);
      }
    }
    if (texts.length === 0) {
      throw new WeightDiffError("FORMAT_INVALID", "no certificate is in it", undefined, { at: { file: path } });
    }
    return texts;
  } catch (error) {
    throw error instanceof WeightDiffError
      ? new WeightDiffError(
          error.code,
          `${error.fact} (${variable} names it)`,
          `correct ${variable}: it names a file with certificates of authorities (PEM); or unset it`,
          { at: error.at, cause: error },
        )
      : error;
  }
}
