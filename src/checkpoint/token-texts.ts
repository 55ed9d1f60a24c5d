/**
 * The texts of tokens by id, from a model's own files: tokenizer.json (tokenizers, "model.vocab" and "added_tokens"), tokenizer.model
 * (sentencepiece's pieces), vocab.json and added_tokens.json (token -> id). Nothing is decoded.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { readBytes } from "../files/small-files.js";
import { JsonScanner } from "../formats/json-scanner.js";
import { eachPiece } from "../formats/sentencepiece.js";
import { MAX_TOKENIZER_BYTES } from "./tokenizer.js";

type Take = (id: number, text: string) => void;

const READERS: readonly (readonly [file: string, read: (bytes: Uint8Array, path: string, take: Take) => void])[] = [
  ["tokenizer.json", (bytes, path, take) => readFast(new JsonScanner(bytes, path, "python"), take)],
  ["vocab.json", (bytes, path, take) => readMap(new JsonScanner(bytes, path, "python"), take)],
  [
    "tokenizer.model",
    (bytes, _, take) => {
      let id = 0;
      eachPiece(bytes, (text) => take(id++, text));
    },
  ],
  ["added_tokens.json", (bytes, path, take) => readMap(new JsonScanner(bytes, path, "python"), take)],
];

/**
 * @param folders the first folder that knows a token counts.
 * @returns the known texts; a file that cannot be read is skipped.
 * @throws {WeightDiffError} IO.
 */
export async function tokenTexts(
  folders: readonly string[],
  wanted: ReadonlySet<number>,
): Promise<ReadonlyMap<number, string>> {
  const texts = new Map<number, string>();
  for (const folder of folders) {
    for (const [file, read] of READERS) {
      if ([...wanted].every((id) => texts.has(id))) {
        return texts;
      }
      const path = join(folder, file);
      const info = await stat(path).catch(() => null);
      if (info === null || !info.isFile() || info.size > MAX_TOKENIZER_BYTES) {
        continue;
      }
      try {
        read(await readBytes(path, MAX_TOKENIZER_BYTES), path, (id, text) => {
          if (wanted.has(id) && !texts.has(id)) {
            texts.set(id, text);
          }
        });
      } catch (error) {
        if (!(error instanceof WeightDiffError) || error.kind === "system") {
          throw error;
        }
      }
    }
  }
  return texts;
}

/** Unigram models list [token, score]; others map each token to its id. */
function readFast(scanner: JsonScanner, take: Take): void {
  scanner.object((key) => {
    if (key === "model") {
      scanner.object((field) => {
        if (field !== "vocab") {
          scanner.skip();
        } else if (scanner.peek() === "[") {
          scanner.array((id) => {
            scanner.array((place) => {
              if (place === 0) {
                take(id, scanner.string());
              } else {
                scanner.skip();
              }
            });
          });
        } else {
          readMap(scanner, take);
        }
      });
    } else if (key === "added_tokens") {
      scanner.array(() => readAdded(scanner, take));
    } else {
      scanner.skip();
    }
  });
}

function readAdded(scanner: JsonScanner, take: Take): void {
  const found: { id?: number; content?: string } = {};
  scanner.object((key) => {
    if (key === "id" && scanner.atNumber()) {
      found.id = scanner.number();
    } else if (key === "content" && scanner.peek() === '"') {
      found.content = scanner.string();
    } else {
      scanner.skip();
    }
  });
  if (found.id !== undefined && found.content !== undefined) {
    take(found.id, found.content);
  }
}

function readMap(scanner: JsonScanner, take: Take): void {
  scanner.object((token) => {
    if (scanner.atNumber()) {
      take(scanner.number(), token);
    } else {
      scanner.skip();
    }
  });
}
