/** push: from its flags' options to a commit on the Hub, and the result as text or JSON. */
import { push } from "../../commands/push.js";
import type { Asked } from "../flags/flag.js";
import { usage } from "../flags/given.js";
import { pushJson, pushText } from "../output/push-report.js";
import type { During } from "./story.js";

/** @param library stands in for the library in tests. */
export async function run(
  { look, branch, ...options }: Asked["push"],
  during: During,
  print: (text: string) => void,
  library = { push },
): Promise<number> {
  if (branch !== undefined && options.repo.includes("@")) {
    throw usage("the branch is named twice", "push", "give it once: with --branch, or after the @");
  }
  const repo = branch === undefined ? options.repo : `${options.repo}@${branch}`;
  const report = await library.push({ ...options, repo, ...during });
  print((look.format === "json" ? pushJson : pushText)(report));
  return 0;
}
