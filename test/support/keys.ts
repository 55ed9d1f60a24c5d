/** Key pairs as openssl writes them, in files. */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface KeyFiles {
  readonly signKey: string;
  readonly verifyKey: string;
}

/** Writes a new pair on this curve. */
export function newKeys(folder: string, namedCurve = "prime256v1", name: string = namedCurve): KeyFiles {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
  const files = { signKey: join(folder, `${name}.pem`), verifyKey: join(folder, `${name}.pub`) };
  writeFileSync(files.signKey, privateKey.export({ type: "sec1", format: "pem" }));
  writeFileSync(files.verifyKey, publicKey.export({ type: "spki", format: "pem" }));
  return files;
}
