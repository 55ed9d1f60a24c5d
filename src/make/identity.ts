/** What a run must have in common with the run that it continues. */
import { digestOf } from "../manifest/write.js";
import type { PlanIdentity } from "../output/journal-text.js";
import type { PlanInput, RunPlan } from "../plan/plan.js";
import { VERSION } from "../version.js";

/** @param asked the options that change the bytes, by name. */
export function identityOf(plan: RunPlan, asked: PlanIdentity): PlanIdentity {
  const inputs = plan.inputs.map(({ role, file, size, modified, version, header, hub }) => [
    `${role} ${file}`,
    `${size} bytes, ${versionText({ modified, version, hub })}, header ${header}`,
  ]);
  return {
    "the version of weight-diff": VERSION,
    ...asked,
    "the layout of the output": digestOf(
      plan.shards.map(({ file, size, header }) => [file, size, Buffer.from(header).toString("base64")]),
    ),
    ...Object.fromEntries(inputs),
  };
}

/** A file of the Hub is the same file, whether it comes from the cache or from the network. */
function versionText({
  modified,
  version,
  hub,
}: { [K in "modified" | "version" | "hub"]: PlanInput[K] | undefined }): string {
  return version ?? (hub === undefined || hub.etag === "" ? `modified ${modified}` : `digest ${hub.etag}`);
}
