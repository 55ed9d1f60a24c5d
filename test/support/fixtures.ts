/** Where the committed fixtures are, seen from the compiled tests. */
import { fileURLToPath } from "node:url";

export const FIXTURES = fileURLToPath(new URL("../../../fixtures/", import.meta.url));
/** The root of the checkout. */
export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
