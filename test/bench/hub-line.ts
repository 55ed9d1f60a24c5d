/**
 * Part 16: from the Hub over lines that are no faster than real ones, against the Python client's snapshot_download alone, which writes a
 * cache and digests nothing. Hub, line (line.c) and client share the machine, so each row has what every one of them took of it, how much of
 * the line was used, and how many bytes were on their way.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { cpus } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Bench, clearOutput, outputOf, recoverCommand } from "./bench.js";
import { type Cost, median, ratio, run } from "./measure.js";
import { type Model, type ModelName, prepareModel } from "./model.js";
import { megabytes, percent, seconds, table } from "./table.js";

interface Line {
  readonly name: string;
  readonly model: ModelName;
  /** Milliseconds there and back, and megabits a second. */
  readonly rtt: number;
  readonly mbit: number;
  /** What else line.c does. */
  readonly line?: string;
  /** What else line-hub.js does. */
  readonly hub?: string;
}

/** TCP's usual most, on Linux, for what one connection has on its way. */
const WINDOW = 6_291_456;
const LINES: readonly Line[] = [
  { name: "50 ms, 10 Gbit/s", model: "0.27G-shards", rtt: 50, mbit: 10_000 },
  { name: "the same over TLS", model: "0.27G-shards", rtt: 50, mbit: 10_000, hub: "tls" },
  { name: "50 ms, 1 Gbit/s", model: "0.27G-shards", rtt: 50, mbit: 1000 },
  { name: "200 ms, 1 Gbit/s", model: "0.27G-shards", rtt: 200, mbit: 1000 },
  { name: "200 ms, 10 Gbit/s", model: "0.27G-shards", rtt: 200, mbit: 10_000 },
  { name: "50 ms, 100 Mbit/s", model: "0.12G", rtt: 50, mbit: 100 },
  { name: "50 ms, 1 Gbit/s, silent for 3 s", model: "0.27G-shards", rtt: 50, mbit: 1000, line: "pause=4000,3000" },
  { name: "50 ms, 1 Gbit/s, cuts connections", model: "0.27G-shards", rtt: 50, mbit: 1000, line: "cut=3" },
  { name: "50 ms, 1 Gbit/s, busy Hub (429)", model: "0.27G-shards", rtt: 50, mbit: 1000, hub: "busy=20" },
];
const MOST_ROUNDS = 3;
const AUTHORITY = fileURLToPath(new URL("../../../fixtures/tls/authority.pem", import.meta.url));
const SNAPSHOTS =
  "import sys\nfrom huggingface_hub import snapshot_download\nfor repo in sys.argv[1:]: snapshot_download(repo)";

/** What line.c says at its end. */
interface LineTold {
  readonly bytes: number;
  readonly ms: number;
  readonly flying: number;
  readonly firstMs: number;
  readonly connections: number;
  readonly longest: number;
  readonly cpu: number;
}

interface LineCost extends Cost, LineTold {
  /** Seconds of a processor that the Hub took. */
  readonly hub: number;
}

export async function overLines(bench: Bench): Promise<void> {
  const program = join(bench.dir, "line");
  const source = fileURLToPath(new URL("../../../test/bench/line.c", import.meta.url));
  if (spawnSync("cc", ["-O2", "-o", program, source]).status !== 0) {
    bench.print("\n16. left out: it needs a C compiler (cc)");
    return;
  }
  const python = spawnSync(bench.python, ["-c", "import huggingface_hub"]).status === 0;
  const wanted = LINES.filter(({ name }) => name.includes(bench.lines));
  for (const line of wanted) {
    const model = await prepareModel(bench.dir, line.model);
    const costs = await measured(bench, line, model, program, python);
    print(bench, line, model, costs);
  }
}

async function measured(
  bench: Bench,
  line: Line,
  model: Model,
  program: string,
  python: boolean,
): Promise<ReadonlyMap<string, readonly LineCost[]>> {
  const cache = join(bench.dir, "line-cache");
  const named = { ...model, base: "org/base", diff: "org/diff" };
  const rivals: (readonly [string, readonly string[]])[] = [
    ...(python ? [["snapshot_download", [bench.python, "-c", SNAPSHOTS, "org/base", "org/diff"]] as const] : []),
    ["recover", recoverCommand(bench, named, "--path_tuned", outputOf(bench))],
    ["recover --no-cache", recoverCommand(bench, named, "--path_tuned", outputOf(bench), "--no-cache")],
  ];
  const costs = new Map<string, LineCost[]>(rivals.map(([name]) => [name, []]));
  for (let round = 0; round < Math.min(bench.rounds, MOST_ROUNDS); round++) {
    for (const [name, command] of rivals) {
      await rm(cache, { recursive: true, force: true });
      await mkdir(cache);
      await clearOutput(bench);
      costs.get(name)?.push(await throughLine(line, model, program, cache, command));
    }
  }
  await rm(cache, { recursive: true });
  await clearOutput(bench);
  return costs;
}

/** One run, with a Hub and a line of its own. */
async function throughLine(
  line: Line,
  model: Model,
  program: string,
  cache: string,
  command: readonly string[],
): Promise<LineCost> {
  const ports = [await freePort(), await freePort()];
  const served = [`org/base=${model.base}`, `org/diff=${model.diff}`];
  const script = fileURLToPath(new URL("line-hub.js", import.meta.url));
  const hub = spawn(
    process.execPath,
    [script, ports.join(","), ...(line.hub === undefined ? [] : [line.hub]), ...served],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const behind = (await firstLine(hub)).split(" ");
  const pairs = ports.map((port, index) => `${port}=${behind[index]}`);
  const shape = [`rtt=${line.rtt}`, `mbit=${line.mbit}`, `window=${WINDOW}`];
  const between = spawn(program, [...shape, ...(line.line === undefined ? [] : [line.line]), ...pairs], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await firstLine(between);
    const before = await processorSeconds(hub);
    const endpoint = line.hub === "tls" ? `https://localhost:${ports[0]}` : `http://127.0.0.1:${ports[0]}`;
    const environment = {
      HF_ENDPOINT: endpoint,
      HF_HOME: cache,
      HF_HUB_DISABLE_XET: "1",
      HF_HUB_DISABLE_TELEMETRY: "1",
      HF_HUB_DISABLE_PROGRESS_BARS: "1",
      ...(line.hub === "tls" ? { SSL_CERT_FILE: AUTHORITY } : {}),
    };
    const cost = await run([
      "env",
      ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
      ...command,
    ]);
    const after = await processorSeconds(hub);
    const told = firstLine(between);
    between.kill("SIGTERM");
    const shown = JSON.parse(await told) as LineTold;
    const own = (after - before + shown.cpu) / (cpus().length * cost.wall);
    return { ...cost, ...shown, hub: after - before, others: Math.max(0, cost.others - own) };
  } finally {
    between.kill("SIGKILL");
    hub.kill("SIGKILL");
  }
}

function print(bench: Bench, line: Line, model: Model, costs: ReadonlyMap<string, readonly LineCost[]>): void {
  const [first = []] = costs.values();
  const rows = [...costs].map(([name, all]) => {
    const of = (pick: (cost: LineCost) => number): number =>
      median(all.map((cost) => ({ ...cost, wall: pick(cost) }))).wall;
    const { wall, user, system, peak, others } = median(all);
    const own = median(first);
    const used = of(({ bytes, ms }) => bytes / ms / (line.mbit * 125));
    return [
      name,
      seconds(wall),
      (1 / ratio(all, first)).toFixed(2),
      seconds(user + system),
      ((user + system) / (own.user + own.system)).toFixed(2),
      megabytes(peak),
      percent(used),
      megabytes(of(({ flying }) => flying)),
      seconds(of(({ firstMs }) => firstMs) / 1000),
      of(({ connections }) => connections).toFixed(0),
      seconds(of(({ hub }) => hub)),
      seconds(of(({ cpu }) => cpu)),
      of(({ longest }) => longest).toFixed(0),
      percent(others),
    ];
  });
  const head = [
    "",
    "wall s",
    "rate",
    "core-s",
    "ratio",
    "peak MB",
    "line used",
    "on their way MB",
    "10 MB after s",
    "connections",
  ];
  table(
    bench.print,
    `16. ${(model.bytes / 1e9).toFixed(2)} GB over ${line.name} (${((line.rtt * line.mbit) / 8000).toFixed(1)} MB fill it); rate and ratio to the first row`,
    [...head, "Hub core-s", "line core-s", "longest step ms", "others"],
    rows,
  );
}

async function firstLine(child: ChildProcess): Promise<string> {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const [line] = (await Promise.race([once(lines, "line"), once(child, "exit").then(() => [""])])) as string[];
  lines.close();
  return line ?? "";
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** User and system seconds of a process until now (proc(5), stat: fields 14 and 15, in hundredths). */
async function processorSeconds({ pid }: ChildProcess): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
