/**
 * Writes the text of a manifest, and the digest that ends it. Both are made in pieces, since the manifest of 160,000 tensors has a hundred
 * megabytes.
 */
import { createHash } from "node:crypto";
import { VERSION } from "../version.js";
import { type Manifest, SCHEMA, type UpdateManifest, type XorManifest } from "./manifest.js";

/** UTF-16 units of a piece. */
const PIECE = 1 << 16;

type Body<M> = M extends unknown ? Omit<M, "schema" | "tool"> : never;

/**
 * The text of the file, piece by piece: the writer's version, the given keys in order, then `digest`. Callers give the keys in the order of
 * the schemas.
 */
export function* writeManifest(body: Body<Manifest | XorManifest | UpdateManifest>): Generator<string> {
  const manifest = { schema: SCHEMA, tool: `weight-diff ${VERSION}`, ...body };
  let pending = "";
  for (const text of printed({ ...manifest, digest: digestOf(manifest) })) {
    pending += text;
    if (pending.length > PIECE) {
      yield pending;
      pending = "";
    }
  }
  yield pending;
}

/** The same text as JSON.stringify(manifest, null, 2), one list element at a time. */
function* printed(manifest: object): Generator<string> {
  let before = "{";
  for (const [key, value] of Object.entries(manifest)) {
    yield `${before}\n  ${JSON.stringify(key)}: `;
    before = ",";
    if (Array.isArray(value) && value.length > 0) {
      for (const [index, element] of value.entries()) {
        yield `${index === 0 ? "[" : ","}\n    ${indented(element, "    ")}`;
      }
      yield "\n  ]";
    } else {
      yield indented(value, "  ");
    }
  }
  yield "\n}\n";
}

/** A JSON text has no line feeds within its strings, so every line can be indented. */
function indented(value: unknown, indent: string): string {
  return JSON.stringify(value, null, 2).replaceAll("\n", `\n${indent}`);
}

/** sha256 (hex) of the canonical form: keys sorted by UTF-16 units at every level, no white space. */
export function digestOf(value: unknown): string {
  const hash = createHash("sha256");
  let pending = "";
  writeCanonical(value, (text) => {
    pending += text;
    if (pending.length > PIECE) {
      hash.update(pending);
      pending = "";
    }
  });
  return hash.update(pending).digest("hex");
}

function writeCanonical(value: unknown, write: (text: string) => void): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      write(index === 0 ? "[" : ",");
      writeCanonical(item, write);
    }
    write(value.length === 0 ? "[]" : "]");
  } else if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    for (const [index, [key, item]] of entries.entries()) {
      write(`${index === 0 ? "{" : ","}${JSON.stringify(key)}:`);
      writeCanonical(item, write);
    }
    write(entries.length === 0 ? "{}" : "}");
  } else {
    write(JSON.stringify(value) ?? "null");
  }
}
