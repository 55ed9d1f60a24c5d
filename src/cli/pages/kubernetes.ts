/**
 * Jobs for Kubernetes: an Indexed Job with one index for each part, and a suspended job that puts the parts together
 * (kubernetes.io/docs/concepts/workloads/controllers/job: completionMode Indexed, backoffLimitPerIndex, podFailurePolicy, suspend).
 */
import type { BatchRequest } from "../flags/flag.js";

/** The words that the job runs, and the folder to which paths are relative. */
export interface DividedCall {
  readonly make: readonly string[];
  readonly finalize: readonly string[];
  readonly folder: string;
}

/** How often a part is tried again after a failure of disk or network, or after it was ended from outside. */
const RETRIES = 5;
/** A run that is told to end first closes its files. */
const GRACE_SECONDS = 120;

export function kubernetesJob({ make, finalize }: DividedCall, asked: BatchRequest): string {
  const { parts, atOnce = parts, name = "weight-diff" } = asked;
  // After wrong usage, a failed check or an unusable input, another try would fail in the same way.
  const rules = (action: string): readonly string[] => [
    "  podFailurePolicy:",
    "    rules:",
    `      - action: ${action}`,
    "        onExitCodes:",
    "          containerName: weight-diff",
    "          operator: In",
    "          values: [2, 3, 4]",
    "      - action: Ignore",
    "        onPodConditions:",
    "          - type: DisruptionTarget",
    "      - action: Count",
    "        onExitCodes:",
    "          containerName: weight-diff",
    "          operator: In",
    "          values: [5, 137, 143]",
  ];
  return `${[
    `# kubectl apply -f this-file`,
    `# kubectl wait --for=condition=complete --timeout=-1s job/${name}`,
    `# kubectl patch job/${name}-finalize -p '{"spec":{"suspend":false}}'`,
    ...head(name),
    "  completionMode: Indexed",
    `  completions: ${parts}`,
    `  parallelism: ${atOnce}`,
    `  backoffLimitPerIndex: ${RETRIES}`,
    ...rules("FailIndex"),
    ...template(make, asked),
    "---",
    ...head(`${name}-finalize`),
    "  suspend: true",
    `  backoffLimit: ${RETRIES}`,
    ...rules("FailJob"),
    ...template(finalize, asked),
  ].join("\n")}\n`;
}

function head(name: string): readonly string[] {
  return ["apiVersion: batch/v1", "kind: Job", "metadata:", `  name: ${name}`, "spec:"];
}

function template(
  command: readonly string[],
  { image = "", claim = "", mount = "/data", cpus = 4, memory = "1G" }: BatchRequest,
): readonly string[] {
  return [
    "  template:",
    "    spec:",
    "      restartPolicy: Never",
    `      terminationGracePeriodSeconds: ${GRACE_SECONDS}`,
    "      containers:",
    "        - name: weight-diff",
    `          image: ${JSON.stringify(image)}`,
    // Without a shell, so the signal that ends a pod reaches the program itself.
    `          command: [${command.map(wordText).join(", ")}]`,
    `          workingDir: ${JSON.stringify(mount)}`,
    "          resources:",
    `            requests: { cpu: "${cpus}", memory: ${memory}i }`,
    `            limits: { memory: ${memory}i }`,
    "          volumeMounts:",
    "            - name: models",
    `              mountPath: ${JSON.stringify(mount)}`,
    "      volumes:",
    "        - name: models",
    "          persistentVolumeClaim:",
    `            claimName: ${JSON.stringify(claim)}`,
  ];
}

/** A word of a command. "$(X)" would be a variable there. */
function wordText(word: string): string {
  return JSON.stringify(word.replaceAll("$(", () => "$$("));
}
