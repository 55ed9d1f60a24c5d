/**
 * The signature's file: a DSSE envelope (github.com/secure-systems-lab/dsse, v1.0.0) in a sigstore bundle v0.3, as model-signing 1.1.1
 * writes and reads it (_signing/sign_sigstore_pb.py, sign_ec_key.py).
 */
import { sign, verify } from "node:crypto";
import * as z from "zod";
import { WeightDiffError } from "../../errors.js";
import { parseJson } from "../../formats/json.js";
import type { SignatureKey } from "./keys.js";
import { OTHER_VERIFIER } from "./statement.js";

const MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE = "application/vnd.in-toto+json";

const base64 = z.base64();
const bundleSchema = z.object({
  mediaType: z.string(),
  verificationMaterial: z.object({ publicKey: z.object({ hint: z.string().nullish() }).optional() }),
  dsseEnvelope: z.object({
    payload: base64,
    payloadType: z.string(),
    signatures: z.array(z.object({ sig: base64 })).min(1),
  }),
});

/** The bytes that are signed: DSSE's pre-authentication encoding. */
function encoded(payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `), payload]);
}

/** The text of the signature's file for a statement. */
export function sealed(payload: Uint8Array, { key, hash, hint }: SignatureKey): string {
  const sig = sign(hash, encoded(payload), key).toString("base64");
  return JSON.stringify({
    mediaType: MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
    dsseEnvelope: {
      payload: Buffer.from(payload).toString("base64"),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig, keyid: "" }],
    },
  });
}

/**
 * The statement in the signature's file, if `key` signed it.
 * @param where the file, for messages.
 * @throws {WeightDiffError} CHECK_FAILED if another key signed it, or if it was changed; FORMAT_INVALID, FORMAT_UNSUPPORTED for a file of
 * another kind.
 */
export function opened(text: string, { key, hash, hint }: SignatureKey, where: string): Uint8Array {
  const failed = (fact: string, remedy: string): WeightDiffError =>
    new WeightDiffError("CHECK_FAILED", fact, remedy, { at: { file: where } });
  const { data, error } = bundleSchema.safeParse(parseJson(text, where));
  if (data === undefined) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `no signature of OpenSSF Model Signing: ${error.issues[0]?.path.join(".") ?? "?"} is missing or wrong`,
      "fetch it again from where the files came from",
      { at: { file: where } },
    );
  }
  const { mediaType, verificationMaterial, dsseEnvelope } = data;
  if (mediaType !== MEDIA_TYPE || dsseEnvelope.payloadType !== PAYLOAD_TYPE) {
    throw new WeightDiffError("FORMAT_UNSUPPORTED", "a bundle of another kind or version", `${MEDIA_TYPE} is read`, {
      at: { file: where },
    });
  }
  const { publicKey } = verificationMaterial;
  if (publicKey === undefined) {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      "signed with a certificate, or without a key: only signatures by keys can be checked",
      OTHER_VERIFIER,
      { at: { file: where } },
    );
  }
  if (publicKey.hint != null && publicKey.hint !== "" && publicKey.hint !== hint) {
    throw failed(
      `signed with another key: its public key has the sha256 ${publicKey.hint.slice(0, 16)}…, the one given ${hint.slice(0, 16)}…`,
      "get the public key from the publisher, not from where the files came from",
    );
  }
  const payload = Buffer.from(dsseEnvelope.payload, "base64");
  const [first] = dsseEnvelope.signatures;
  if (!verify(hash, encoded(payload), key, Buffer.from(first?.sig ?? "", "base64"))) {
    throw failed(
      "the signature is not by this key, or its text was changed",
      "fetch the files again from their publisher",
    );
  }
  return payload;
}
