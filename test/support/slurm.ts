/** A Slurm of the test's own: one controller and two node daemons on this machine, with their own munge, below one folder. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo"];
/** Debian puts daemons where a user's PATH does not look. */
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Why there can be no Slurm here; false if there can. */
export function whyNoSlurm(): string | false {
  const missing = PROGRAMS.filter(
    (name) => spawnSync("sh", ["-c", `command -v ${name}`], { env: { PATH } }).status !== 0,
  );
  return missing.length > 0 && `Slurm is not installed (${missing.join(", ")}): apt-get install slurm-wlm munge`;
}

export interface Slurm {
  /** Runs a program of Slurm's, or any other, in this cluster. @param bin a folder that comes first in the jobs' PATH. @returns its stdout. */
  run(args: readonly string[], where?: { readonly cwd?: string; readonly bin?: string }): string;
  /** Waits until no job is left. */
  drain(seconds: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startSlurm(folder: string): Promise<Slurm> {
  const host = hostname().split(".", 1)[0] ?? "";
  const user = userInfo().username;
  const [control, one, two] = [await freePort(), await freePort(), await freePort()];
  const conf = join(folder, "slurm.conf");
  mkdirSync(join(folder, "state"), { recursive: true });
  mkdirSync(join(folder, "spool"));
  writeFileSync(join(folder, "munge.key"), randomBytes(1024), { mode: 0o400 });
  const socket = join(folder, "munge.socket");
  const nodes = [one, two].map(
    (port, index) =>
      `NodeName=n${index + 1} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${port} CPUs=4 RealMemory=4000`,
  );
  writeFileSync(
    conf,
    `ClusterName=test
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${control}
SlurmUser=${user}
SlurmdUser=${user}
AuthType=auth/munge
AuthInfo=socket=${socket},cred_expire=2
CredType=cred/munge
StateSaveLocation=${join(folder, "state")}
SlurmdSpoolDir=${join(folder, "spool")}/%n
SlurmctldPidFile=${join(folder, "slurmctld.pid")}
SlurmdPidFile=${join(folder, "slurmd-%n.pid")}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=100000
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
${nodes.join("\n")}
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE
`,
  );
  const env: NodeJS.ProcessEnv = { ...process.env, PATH, SLURM_CONF: conf };
  const said: string[] = [];
  const daemon = (program: string, ...args: string[]): ChildProcess => {
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (text) => said.push(String(text)));
    child.stderr.on("data", (text) => said.push(String(text)));
    child.on("error", (error) => said.push(String(error)));
    return child;
  };
  const inside = (name: string): string => join(folder, name);
  const munged = daemon(
    ...(["munged", "--force", "--foreground", `--key-file=${inside("munge.key")}`, `--socket=${socket}`] as const),
    ...[
      `--pid-file=${inside("munge.pid")}`,
      `--seed-file=${inside("munge.seed")}`,
      `--log-file=${inside("munge.log")}`,
    ],
  );
  await pause(300);
  const daemons = [
    munged,
    daemon("slurmctld", "-D", "-f", conf),
    daemon("slurmd", "-D", "-N", "n1", "-f", conf),
    daemon("slurmd", "-D", "-N", "n2", "-f", conf),
  ];
  const run: Slurm["run"] = ([program = "", ...args], { cwd, bin } = {}) =>
    execFileSync(program, args, {
      encoding: "utf8",
      env: bin === undefined ? env : { ...env, PATH: `${bin}:${PATH}` },
      ...(cwd === undefined ? {} : { cwd }),
      timeout: 20_000,
      stdio: ["ignore", "pipe", "pipe"],
    });
  const stop = async (): Promise<void> => {
    for (const child of daemons.toReversed()) {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGTERM");
        await Promise.race([ended, pause(3000)]);
        child.kill("SIGKILL");
      }
    }
  };
  for (let attempt = 0; ; attempt++) {
    try {
      if (run(["sinfo", "--noheader", "--states=idle", "--format=%D"]).trim() === "2") {
        break;
      }
    } catch {
      // it is not up yet
    }
    if (attempt === 100) {
      await stop();
      throw new Error(`Slurm does not start: ${said.join("").slice(-3000)}`);
    }
    await pause(200);
  }
  return {
    run,
    stop,
    async drain(seconds) {
      const until = Date.now() + 1000 * seconds;
      const waiting = new Map<string, number>();
      for (;;) {
        const left = run(["squeue", "--noheader", "--array", "--format=%i %r"]);
        if (left.trim() === "") {
          return;
        }
        // A job that is put back waits for two minutes, so that nothing of it is left on its node: here four seconds are enough.
        for (const [, job = ""] of left.matchAll(/^(\S+) BeginTime$/gm)) {
          const since = waiting.get(job) ?? Date.now();
          waiting.set(job, since);
          if (Date.now() - since > 4000) {
            run(["scontrol", "update", `JobId=${job}`, "StartTime=now"]);
            waiting.delete(job);
          }
        }
        if (Date.now() > until) {
          throw new Error(`jobs are left after ${seconds} s:\n${left}`);
        }
        await pause(250);
      }
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
