/** The version in package.json, the only place where it is written. */
import { createRequire } from "node:module";

const { version } = createRequire(import.meta.url)("../../package.json") as { readonly version: string };

export const VERSION: string = version;
