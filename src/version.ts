/** The version, read from package.json: it is written nowhere else. */
import { createRequire } from "node:module";

const { version } = createRequire(import.meta.url)("../../package.json") as { readonly version: string };

export const VERSION: string = version;
