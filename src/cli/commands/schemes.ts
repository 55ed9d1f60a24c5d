/** schemes: the table of schemes, for people and for scripts. Each scheme is one block, in the words of the flags of custom. */
import { dtypeName } from "../../formats/dtype.js";
import type { Scheme } from "../../scheme/axes.js";
import { ALL_FAMILIES, FAMILIES } from "../../scheme/families.js";
import { type Family, VARIANT_FLAGS, variantOf } from "../../scheme/family.js";
import type { Asked } from "../flags/flag.js";
import { json } from "../output/json.js";
import type { During } from "./story.js";

export async function run({ look }: Asked["schemes"], _: During, print: (text: string) => void): Promise<number> {
  print(look.format === "json" ? schemesJson(ALL_FAMILIES) : schemesText(FAMILIES));
  return 0;
}

/** One block of lines for each scheme. */
function schemesText(families: readonly Family[]): string {
  const blocks = families.map((family) => {
    const { scheme, script, who, summary } = family;
    const lines: readonly (readonly [string, string])[] = [
      ["", summary],
      ["does", doesText(scheme)],
      ...(scheme.operation === "xor" ? [] : [["names", namesText(scheme)] as const]),
      ...VARIANT_FLAGS.flatMap((flag) => variantText(variantOf(family, flag))),
      ["script", script === null ? "this tool" : `${script.repo} ${script.file} at ${script.commit.slice(0, 8)}`],
    ];
    return [`${scheme.name}  (${who})`, ...lines.map(([what, text]) => `  ${what.padEnd(8)}${text}`)].join("\n");
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

function variantText(family: Family | null): readonly (readonly [string, string])[] {
  if (family === null) {
    return [];
  }
  const { name, arithmetic } = family.scheme;
  const computed = arithmetic === "stored" ? "in the files' dtypes" : `in ${dtypeName(arithmetic)}`;
  return [["flag", `--${family.variant} (--scheme ${name}): ${computed}`]];
}

/** Every axis of every scheme. */
function schemesJson(families: readonly Family[]): string {
  return json(
    families.map(({ scheme, who, summary, repos, script }) => ({
      name: scheme.name,
      who,
      summary,
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
      sum_file: scheme.sumFile?.file ?? null,
      repos,
      script,
    })),
  );
}
