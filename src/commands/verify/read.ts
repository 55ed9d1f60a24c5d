/** verify's single pass over the tensors, and the judgement of what it read. */
import { checkManifest, checkRecords, checkTied, checkValues, filesToDigest } from "../../check/contents.js";
import { checkHub, filesToHold } from "../../check/hub.js";
import { checkReleased } from "../../check/released.js";
import { checkListedFiles } from "../../check/side-files.js";
import type { Survey } from "../../check/survey.js";
import { layoutNamed } from "../../checkpoint/layouts/registry.js";
import { familyName } from "../../evidence/family.js";
import type { Identity } from "../../evidence/identify.js";
import { modelShape } from "../../evidence/model-shape.js";
import type { AddFinding, Finding } from "../../finding.js";
import type { Manifest } from "../../manifest/manifest.js";
import { type Reading, readTensors } from "../../run/digest.js";
import type { Received } from "../../run/receive.js";
import type { EarlyOption } from "../../run/run-plan.js";
import type { Structure } from "./beside.js";
import type { VerifyOptions } from "./options.js";

/** Reads every tensor once, and judges values and digests. */
export async function readContents(
  survey: Survey,
  manifest: Manifest | null,
  identity: Identity,
  { config, judged }: Structure,
  options: VerifyOptions & EarlyOption & { readonly sum: boolean; readonly received: Received | null },
  about: (check: Finding["check"]) => AddFinding,
): Promise<Reading> {
  const { checkpoint } = survey;
  const { released } = layoutNamed(checkpoint.layout);
  const wholeFiles = released
    ? checkpoint.shards
    : [...new Set([...filesToDigest(checkpoint, manifest), ...filesToHold(checkpoint, manifest)])];
  const { received, ...how } = options;
  const reading = received?.reading ?? (await readTensors(checkpoint, { ...how, count: true, wholeFiles }));
  checkRecords(reading, about("digests"));
  checkHub(checkpoint, manifest, reading, about("digests"));
  const known = { modelType: config?.modelType ?? null, neverZero: judged.neverZero };
  checkValues(checkpoint, reading, identity.kind, known, about("values"));
  if (judged.tied !== null) {
    checkTied(checkpoint, reading, judged.tied, about("structure"));
  }
  if (released) {
    const family = familyName(modelShape(checkpoint.stateDict, config), config);
    checkReleased(checkpoint, reading, family, about("digests"));
  }
  if (manifest !== null) {
    checkManifest(survey, manifest, reading, about("digests"));
    if (checkpoint.directory !== null) {
      await checkListedFiles(checkpoint.directory, manifest, survey, about("digests"));
    }
  }
  return reading;
}
