/**
 * The XOR codecs: whole files, not tensors. A payload and the base give the model (decode), a model and the base give a payload
 * (encode). Recognise, refuse what can be refused, stream file by file, check, give final names.
 */
import { join } from "node:path";
import { openCheckpoint } from "./checkpoint/checkpoint.js";
import { leave } from "./destination.js";
import { type Disk, localDisk } from "./engine/disk.js";
import type { PlanIdentity } from "./engine/journal.js";
import { chooseMode, type OutputDirectory, type OutputMode, openOutput } from "./engine/output.js";
import { MANIFEST, STAGING } from "./engine/output-state.js";
import { runXor, type XorResult } from "./engine/xor-run.js";
import { EXIT_CODES, WeightDiffError } from "./errors.js";
import { printable } from "./formats/quote.js";
import { isBareFileName } from "./formats/weight-index.js";
import type { Guard } from "./guards.js";
import { expectedBase, KNOWN_KEY, recognise, wantsMd5 } from "./known-xor.js";
import {
  digestOf,
  MANIFEST_SCHEMA,
  parseXorManifest,
  readManifestText,
  writeManifest,
  type XorManifest,
} from "./manifest.js";
import { refuseFullDisk, resolveOutput } from "./preflight.js";
import { clock, type RunFigures, type RunOptions } from "./run-plan.js";
import { VERSION } from "./version.js";
import { KEY_NAME } from "./xor-judge.js";
import type { XorFile } from "./xor-look.js";
import type { FoundPayload } from "./xor-payload.js";
import { planXor, type XorPlan } from "./xor-plan.js";

export interface XorOptions extends Omit<RunOptions, "threads" | "directIo"> {
  /** The base: a directory; for .enc files, Meta's 7B consolidated.00.pth or its directory. */
  readonly raw: string;
  /** Where the result goes; null computes and checks everything and writes nothing. */
  readonly output: string | null;
  readonly direction?: "decode" | "encode";
  readonly compress?: boolean;
  readonly ignore?: readonly Guard[];
  readonly mode?: OutputMode;
  readonly dryRun?: boolean;
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
}

export interface XorReport extends RunFigures {
  readonly direction: "decode" | "encode";
  readonly scheme: string;
  readonly schemeReason: string;
  readonly output: string | null;
  readonly outcome: "made" | "checked" | "planned" | "verified";
  /** By name. `size` is null where only the run tells, `sha256` before it has. */
  readonly files: readonly {
    readonly file: string;
    readonly how: "xor" | "copied";
    readonly size: number | null;
    readonly sha256: string | null;
  }[];
  /** Records whose CRC-32 was checked, and files whose sha256 the payload states. */
  readonly records: number;
  readonly stated: number;
  /** The published model that the result is, by its hashes. */
  readonly identified: string | null;
}

/**
 * Decodes or encodes the files of a payload.
 * @throws {WeightDiffError} with any code of errors.ts but those of tensors; CHECK_FAILED if a file is not what the payload states.
 */
export async function xorFiles(found: FoundPayload, options: XorOptions): Promise<XorReport> {
  const started = performance.now();
  const say = options.onNote ?? (() => {});
  const trustBase = options.ignore?.includes("wrong-base") === true;
  const direction = options.direction ?? "decode";
  const plan = await planXor(found, { raw: options.raw, direction, compress: options.compress === true, trustBase });
  say(`scheme ${plan.scheme}: ${plan.reason}`);
  plan.notes.forEach(say);
  if (plan.left.length > 0) {
    say(`not copied from the payload: ${plan.left.map(printable).join(", ")}`);
  }
  const disk = options.disk ?? localDisk;
  const draft = draftReport(plan);
  const path =
    options.output === null
      ? null
      : await resolveOutput(options.output, [
          {
            path: plan.payload.path,
            directory: plan.payload.directory,
            shards: plan.files.map(({ payload }) => payload),
          },
          { path: plan.base.path, directory: plan.base.directory, shards: plan.base.files },
        ]);
  const mode = path === null ? "new" : await chooseMode(path, options.mode ?? "new");
  if (path !== null && mode === "verify") {
    const { files, read } = await verifyFinished(path, plan, disk, options);
    return { ...draft, output: path, outcome: "verified", files, bytesRead: read, ...clock(started) };
  }
  if (path !== null && mode !== "resume") {
    const needed = plan.files.reduce((sum, file) => sum + expectedSize(file), 0);
    await refuseFullDisk(path, needed, needed);
  }
  if (options.dryRun === true) {
    return { ...draft, output: path, ...clock(started) };
  }
  const proven = !trustBase && (await checkBase(plan, disk, options));
  const run = await runAll(plan, path, mode === "verify" ? "resume" : mode, disk, options);
  if (direction === "decode" && run.identified === null && !proven && plan.files.some(isUnproven)) {
    say(
      "a base of the same layout with other values shows in nothing but the result's hashes: compare those in weight-diff.json with the model's card",
    );
  }
  return {
    ...draft,
    ...run,
    output: path,
    outcome: path === null ? "checked" : "made",
    records: plan.files.reduce((sum, { records }) => sum + records.filter(({ crc32 }) => crc32 !== null).length, 0),
    stated: plan.files.filter(({ expected }) => expected !== null).length,
    ...clock(started),
  };
}

/** XORed, and the payload does not say what must come out. A wrong base keeps even the CRC-32s: they are linear in XOR. */
function isUnproven({ key, expected }: XorFile): boolean {
  return key !== null && expected === null;
}

interface AllDone {
  readonly files: XorReport["files"];
  readonly identified: string | null;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly resumed: number;
}

/** Every file, then the checks of the whole, then final names. */
async function runAll(
  plan: XorPlan,
  path: string | null,
  mode: OutputMode,
  disk: Disk,
  options: XorOptions,
): Promise<AllDone> {
  const layout = plan.files.map(({ file, size }) => ({ file, size, header: new Uint8Array() }));
  const output = path === null ? null : await openOutput(path, mode, identityOf(plan), layout);
  let done = 0;
  let bytesRead = 0;
  let bytesWritten = 0;
  const total = plan.files.reduce((sum, file) => sum + traffic(file, output !== null), 0);
  try {
    const results = new Map<XorFile, XorResult>();
    const finished = new Map(output?.journal.finished.map(({ id, sha256 }) => [id, sha256]));
    let resumed = 0;
    for (const [id, file] of plan.files.entries()) {
      const progress = (read: number, written: number): void => {
        bytesRead += read;
        bytesWritten += written;
        done += read + written;
        options.onProgress?.({ done, total: Math.max(done, total), shard: null, tensor: file.file });
      };
      const earlier = finished.get(id);
      const kept =
        output === null || earlier === undefined
          ? null
          : await reread(output.staged(file.file), file.file, disk, options, progress).catch(() => null);
      if (kept !== null && kept.sha256 === earlier) {
        results.set(file, kept);
        resumed++;
        continue;
      }
      const target = output?.staged(file.file) ?? null;
      const result = await runXor(
        { ...file, md5: wantsMd5(file.file), output: target },
        {
          disk,
          ...(options.windowBytes === undefined ? {} : { windowBytes: options.windowBytes }),
          ...(options.signal === undefined ? {} : { signal: options.signal }),
          onProgress: progress,
        },
      );
      refuseOther(file, result);
      results.set(file, result);
      await output?.seal(file.file);
      output?.journal.add({ id, sha256: result.sha256, sum: 0, overflow: 0 });
    }
    if (output !== null && plan.direction === "decode") {
      await refuseUnreadable(output, plan, options);
    }
    const identified = identify(plan, results, options);
    await output?.finish(layout, [], writeManifest(manifestOf(plan, results)));
    return { files: filesOf(plan, results), identified, bytesRead, bytesWritten, resumed };
  } catch (error) {
    await leave(output, error);
    throw error;
  }
}

/** Bytes that the file moves, about. */
function traffic(file: XorFile, written: boolean): number {
  const content = expectedSize(file);
  return file.payload.size - file.skip + (file.key === null ? 0 : content) + (written ? content : 0);
}

/** Of an inflated file, the base's size is the best guess. */
function expectedSize({ size, key, payload }: XorFile): number {
  return size ?? Math.max(payload.size, key?.input.size ?? 0);
}

/** Digests a file as it lies there. */
async function reread(
  path: string,
  file: string,
  disk: Disk,
  options: XorOptions,
  onProgress?: (read: number, written: number) => void,
): Promise<XorResult> {
  const opened = await disk.openFile(path, "read", false);
  const info = await opened.stat().finally(() => opened.close());
  return runXor(
    {
      file,
      payload: { path, ...info },
      skip: 0,
      gzip: null,
      key: null,
      most: info.size,
      records: [],
      md5: wantsMd5(file),
      output: null,
    },
    {
      disk,
      ...(options.windowBytes === undefined ? {} : { windowBytes: options.windowBytes }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    },
  );
}

function refuseOther(file: XorFile, { sha256 }: XorResult): void {
  if (file.expected !== null && sha256 !== file.expected) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `${printable(file.file)}: the result has sha256 ${sha256}, ${file.payload.path} states ${file.expected}`,
      `${file.key?.input.path} is not Meta's 7B ${KEY_NAME}, or one of the two is damaged: check the key's sha256 (${KNOWN_KEY.files.get(KEY_NAME)}), download the payload again`,
    );
  }
}

/** The model must open as a checkpoint before it gets its final name. */
async function refuseUnreadable(output: OutputDirectory, plan: XorPlan, options: XorOptions): Promise<void> {
  const usual = /^(pytorch_model|model)\.(bin|safetensors)(\.index\.json)?$/;
  if (!plan.files.some(({ file }) => usual.test(file))) {
    return; // no checkpoint of the usual kind
  }
  const staging = join(output.path, STAGING);
  try {
    await openCheckpoint(staging);
  } catch (error) {
    if (!(error instanceof WeightDiffError) || EXIT_CODES[error.code] !== EXIT_CODES.MISMATCH) {
      throw error;
    }
    const reason = error.message.replaceAll(`${staging}/`, "").replaceAll(`${staging}: `, "");
    if (
      error.code === "FORMAT_UNSUPPORTED" ||
      error.code === "PICKLE_GLOBAL" ||
      options.ignore?.includes("wrong-base")
    ) {
      options.onWarning?.(`the result does not open as a checkpoint: ${reason}`);
      return;
    }
    throw new WeightDiffError(
      "MISMATCH",
      `${plan.base.path}: not the base that the payload was made with: the result does not open as a checkpoint: ${reason}`,
      "check the base's files against the hashes on the model's card; to keep the result all the same: --ignore wrong-base",
    );
  }
}

/** Known base hashes, before the run: the base's own hash may not be on the list. @returns whether it is a known base. */
async function checkBase(plan: XorPlan, disk: Disk, options: XorOptions): Promise<boolean> {
  const key = plan.files.find(({ key: by }) => by?.rule === "chunks")?.key?.input;
  if (key !== undefined && key.size !== KNOWN_KEY.bytes) {
    options.onWarning?.(
      `${key.path}: has ${key.size} bytes; Meta's 7B ${KEY_NAME}, the key of all published .enc files, has ${KNOWN_KEY.bytes}`,
    );
    return false;
  }
  const known = expectedBase(plan.base.files);
  if (known === null) {
    return false;
  }
  const wrong: string[] = [];
  for (const { file, path, size, modified } of plan.base.files.filter(({ file }) => known.files.has(file))) {
    const { sha256, md5 } = await runXor(
      {
        file,
        payload: { path, size, modified },
        skip: 0,
        gzip: null,
        key: null,
        most: size,
        records: [],
        md5: known.algorithm === "md5",
        output: null,
      },
      {
        disk,
        ...(options.windowBytes === undefined ? {} : { windowBytes: options.windowBytes }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
    );
    const found = known.algorithm === "md5" ? md5 : sha256;
    if (found !== known.files.get(file)) {
      wrong.push(`${file} has ${known.algorithm} ${found}, expected ${known.files.get(file)}`);
    }
  }
  if (wrong.length === 0) {
    options.onNote?.(`the base is ${known.what}, byte for byte`);
  } else {
    options.onWarning?.(`${plan.base.path}: not ${known.what}: ${wrong.join("; ")}`);
  }
  return wrong.length === 0;
}

/** Is the result the published model? */
function identify(plan: XorPlan, results: ReadonlyMap<XorFile, XorResult>, options: XorOptions): string | null {
  const likeness = recognise(new Map([...results].map(([{ file }, result]) => [file, result])));
  if (plan.direction === "encode" || likeness === null) {
    return null;
  }
  if (likeness.wrong.length > 0) {
    options.onWarning?.(
      `the result is ${likeness.known.what} but for ${likeness.wrong.join(", ")}: these have other hashes than on its card`,
    );
    return null;
  }
  return likeness.known.what;
}

function manifestOf(plan: XorPlan, results: ReadonlyMap<XorFile, XorResult>): XorManifest {
  return {
    schema: MANIFEST_SCHEMA,
    tool: `weight-diff ${VERSION}`,
    ...madeFrom(plan),
    files: filesOf(plan, results).map(({ file, size, sha256 }) => ({ file, size: size ?? 0, sha256: sha256 ?? "" })),
  };
}

/** What a finished output must have been made from. */
function madeFrom({ payload, base, direction, scheme, files }: XorPlan) {
  const listed = (inputs: readonly { readonly file: string; readonly size: number }[]) =>
    inputs.map(({ file, size }) => ({ file, size })).sort((a, b) => (a.file < b.file ? -1 : 1));
  return {
    operation: "xor",
    direction,
    scheme,
    raw: { repo: base.repo, commit: base.commit, files: listed(base.files) },
    diff: { repo: payload.repo, commit: payload.commit, files: listed(files.map(({ payload: input }) => input)) },
  } as const;
}

function filesOf(plan: XorPlan, results: ReadonlyMap<XorFile, XorResult>): XorReport["files"] {
  return plan.files
    .map((file) => ({
      file: file.file,
      how: file.key === null ? ("copied" as const) : ("xor" as const),
      size: results.get(file)?.size ?? file.size,
      sha256: results.get(file)?.sha256 ?? null,
    }))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
}

function draftReport(plan: XorPlan): Omit<XorReport, "seconds" | "peakBytes"> {
  return {
    direction: plan.direction,
    scheme: plan.scheme,
    schemeReason: plan.reason,
    output: null,
    outcome: "planned",
    files: filesOf(plan, new Map()),
    records: 0,
    stated: 0,
    identified: null,
    bytesRead: 0,
    bytesWritten: 0,
    threads: 0,
    resumed: 0,
  };
}

function identityOf(plan: XorPlan): PlanIdentity {
  const inputs = [
    ...plan.files.map(({ payload }) => ["payload", payload] as const),
    ...plan.base.files.map((file) => ["base", file] as const),
  ].map(([role, { file, size, modified }]) => [`${role} ${file}`, `${size} bytes, modified ${modified}`]);
  return {
    "the version of weight-diff": VERSION,
    "--scheme": plan.scheme,
    "--encode": plan.direction,
    "the layout of the output": digestOf(
      plan.files.map(({ file, size, gzip, key }) => [file, size, gzip, key === null ? "copied" : key.rule]),
    ),
    ...Object.fromEntries(inputs),
  };
}

/** A finished output: made from the same, and whole? @throws {WeightDiffError} OUTPUT_REFUSED, CHECK_FAILED. */
async function verifyFinished(
  path: string,
  plan: XorPlan,
  disk: Disk,
  options: XorOptions,
): Promise<{ readonly files: XorReport["files"]; readonly read: number }> {
  const place = join(path, MANIFEST);
  const manifest = parseXorManifest(await readManifestText(place), place);
  const made = madeFrom(plan);
  const same =
    manifest !== null &&
    Object.entries(made).every(([part, value]) => {
      return digestOf(new Map<string, unknown>(Object.entries(manifest)).get(part)) === digestOf(value);
    });
  if (!same) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `${path}: holds a finished model that was made otherwise`,
      "give another output directory, or replace the model in it with --force",
    );
  }
  let read = 0;
  const damaged: string[] = [];
  for (const { file, sha256 } of manifest.files) {
    if (!isBareFileName(file)) {
      damaged.push(printable(file));
      continue;
    }
    const found = await reread(join(path, file), file, disk, options, (bytes) => {
      read += bytes;
    }).catch((error: unknown) => {
      if (error instanceof WeightDiffError && EXIT_CODES[error.code] >= 128) {
        throw error;
      }
      return null; // missing, or cannot be read
    });
    if (found?.sha256 !== sha256) {
      damaged.push(printable(file));
    }
  }
  if (damaged.length > 0) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `${path}: ${damaged.length} of ${manifest.files.length} files are not what ${MANIFEST} says: ${damaged.join(", ")}`,
      "make it again with --force",
    );
  }
  const how = new Map(
    plan.files.map((file) => [file.file, file.key === null ? ("copied" as const) : ("xor" as const)]),
  );
  return { read, files: manifest.files.map((file) => ({ ...file, how: how.get(file.file) ?? "xor" })) };
}
