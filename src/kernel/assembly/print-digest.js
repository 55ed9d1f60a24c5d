/** Prints size and sha256 of the compiled kernel, the last step of `npm run build`: the same sources give the same bytes. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const path = process.argv[2];
const wasm = readFileSync(path);
console.log(`${path}: ${wasm.length} bytes, sha256 ${createHash("sha256").update(wasm).digest("hex")}`);
