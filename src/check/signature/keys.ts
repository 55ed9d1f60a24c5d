/**
 * Keys for signatures: elliptic curves, as OpenSSF Model Signing uses them (model-signing 1.1.1, _signing/sign_ec_key.py). Node's crypto
 * does the arithmetic.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { WeightDiffError } from "../../errors.js";
import { expandHome } from "../../files/paths.js";
import { readText } from "../../files/small-files.js";

export interface SignatureKey {
  readonly key: KeyObject;
  /** The hash that goes with the key: sha256, sha384 or sha512. */
  readonly hash: string;
  /** The name of the public key in the signature: the sha256 (hex) of its PEM. */
  readonly hint: string;
}

/** OpenSSL's name of the curve -> the hash that goes with it. */
const CURVES: Readonly<Record<string, string>> = { prime256v1: "sha256", secp384r1: "sha384", secp521r1: "sha512" };
const MAX_BYTES = 100_000;
const MAKE =
  "make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out key.pub";

/** @throws {WeightDiffError} NOT_FOUND, IO; FORMAT_INVALID if it is no private key; FORMAT_UNSUPPORTED for another kind of key. */
export async function readPrivateKey(path: string): Promise<SignatureKey> {
  const text = await readText(expandHome(path), MAX_BYTES);
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    throw /ENCRYPTED/.test(text)
      ? refused(
          path,
          "FORMAT_UNSUPPORTED",
          "a private key that is locked with a password",
          "unlock it: openssl ec -in key.pem -out unlocked.pem",
        )
      : refused(path, "FORMAT_INVALID", "no private key (PEM)", MAKE);
  }
  return checked(path, key, createPublicKey(key));
}

/** @throws {WeightDiffError} as readPrivateKey, for a public key. */
export async function readPublicKey(path: string): Promise<SignatureKey> {
  const text = await readText(expandHome(path), MAX_BYTES);
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw refused(
      path,
      "FORMAT_INVALID",
      "a private key, where a public one is needed",
      "take the public one; its owner makes it with openssl ec -in key.pem -pubout -out key.pub",
    );
  }
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch {
    throw refused(
      path,
      "FORMAT_INVALID",
      "no public key (PEM)",
      "get the public key of whoever signed it, from a place that you trust: it begins with -----BEGIN PUBLIC KEY-----",
    );
  }
  return checked(path, key, key);
}

function checked(path: string, key: KeyObject, publicKey: KeyObject): SignatureKey {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? "";
  const hash = key.asymmetricKeyType === "ec" && Object.hasOwn(CURVES, curve) ? CURVES[curve] : undefined;
  if (hash === undefined) {
    const kind = curve === "" ? (key.asymmetricKeyType ?? "unknown") : curve;
    throw refused(
      path,
      "FORMAT_UNSUPPORTED",
      `a key of kind ${kind}: signatures of models take EC keys on P-256, P-384 or P-521`,
      MAKE,
    );
  }
  const pem = publicKey.export({ type: "spki", format: "pem" });
  return { key, hash, hint: createHash("sha256").update(pem).digest("hex") };
}

function refused(
  path: string,
  code: "FORMAT_INVALID" | "FORMAT_UNSUPPORTED",
  fact: string,
  hint: string,
): WeightDiffError {
  return new WeightDiffError(code, fact, hint, { at: { file: path } });
}
