/** The table of schemes, for people and for scripts: one block per scheme, in the words that the flags of custom have. */
import { torchName } from "../formats/dtype.js";
import { type Scheme, VARIANTS } from "../scheme/axes.js";
import { json } from "./report.js";

/** A block of lines per scheme. */
export function schemesText(schemes: readonly Scheme[]): string {
  const blocks = schemes.map((scheme) => {
    const { script } = scheme;
    const lines: readonly (readonly [string, string])[] = [
      ["", scheme.summary],
      ["does", doesText(scheme)],
      ...(scheme.operation === "xor" ? [] : [["names", namesText(scheme)] as const]),
      ...Object.keys(scheme.variants ?? {}).map((flag) => ["flag", variantText(scheme, flag)] as const),
      ["script", script === null ? "this tool" : `${script.repo} ${script.file} at ${script.commit.slice(0, 8)}`],
    ];
    return [`${scheme.name}  (${scheme.who})`, ...lines.map(([what, text]) => `  ${what.padEnd(8)}${text}`)].join("\n");
  });
  return `${blocks.join("\n\n")}\n`;
}

function doesText({ operation, arithmetic, rounds, newRows, output, driver }: Scheme): string {
  const verb = { add: "base + diff", subtract: "diff - base", "add-bits": "base + diff, bit patterns", xor: "" }[
    operation
  ];
  if (operation === "xor") {
    return "files xor the base's files, byte for byte";
  }
  const computed = arithmetic === "stored" ? "in the files' dtypes" : `in ${dtypeName(arithmetic)}`;
  const saved = output === "stored" ? "saved as computed" : `saved as ${dtypeName(output)}`;
  const rounded = rounds === undefined ? "" : `, sums rounded to ${dtypeName(rounds)}`;
  return `${verb} ${computed}${rounded}, ${saved}; new rows: ${newRows}; driver: ${driver}`;
}

function namesText({ verbatim, summed, prefix, diffOnly, baseOnly }: Scheme): string {
  const only = typeof diffOnly === "string" ? diffOnly : `keep ${diffOnly.join(", ")}`;
  return [
    ...(verbatim.length === 0 ? [] : [`verbatim: ${verbatim.join(", ")}`]),
    ...(summed === null ? [] : [`verbatim: all but ${summed.join(", ")}`]),
    ...(prefix === null ? [] : [`prefix in the diff: ${prefix.text}`]),
    `in the diff only: ${only}`,
    `in the base only: ${baseOnly}`,
  ].join("; ");
}

function variantText({ name, variants }: Scheme, flag: string): string {
  const known = flag === "is_fp16" || flag === "low_cpu_mem" ? flag : null;
  const arithmetic = known === null ? undefined : variants?.[known]?.arithmetic;
  const called = known === null ? name : `${name}-${VARIANTS[known]}`;
  return `--${flag} (--scheme ${called}): ${arithmetic === "stored" ? "in the files' dtypes" : `in ${dtypeName(arithmetic ?? "F32")}`}`;
}

function dtypeName(dtype: "F32" | "F16" | "BF16"): string {
  return torchName(dtype) ?? dtype;
}

/** Every axis of every scheme. */
export function schemesJson(schemes: readonly Scheme[]): string {
  return json(
    schemes.map((scheme) => ({
      name: scheme.name,
      who: scheme.who,
      summary: scheme.summary,
      operation: scheme.operation,
      arithmetic: scheme.arithmetic === "stored" ? "stored" : dtypeName(scheme.arithmetic),
      output: scheme.output === "stored" ? "stored" : dtypeName(scheme.output),
      rows: scheme.newRows,
      driver: scheme.driver,
      verbatim: scheme.verbatim,
      summed: scheme.summed,
      prefix: scheme.prefix?.text ?? null,
      diff_only: scheme.diffOnly,
      base_only: scheme.baseOnly,
      side_files: scheme.sideFiles,
      sum_file: scheme.sumFile?.file ?? null,
      repos: scheme.repos,
      script: scheme.script,
    })),
  );
}
