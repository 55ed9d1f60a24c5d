/** Which work each kind of job is. The files in work/ know nothing of each other's kinds. */
import { createHash } from "node:crypto";
import type { Kernel } from "../kernel/kernel.js";
import type { WorkerFiles } from "./io/files.js";
import type { MemoryPlan } from "./io/memory.js";
import type { FileJob, PayloadJob, TensorJob, WindowedJob } from "./job/job.js";
import { codingOf } from "./job/operand.js";
import type { TensorResult } from "./job/result.js";
import type { PipelineSetup } from "./setup.js";
import { startCompare } from "./work/compare.js";
import { startDecode } from "./work/decode.js";
import { startDigest } from "./work/digest.js";
import { startEncode } from "./work/encode.js";
import { type FileRunHost, runFile } from "./work/file.js";
import { makePayload, type PayloadHost } from "./work/make-payload.js";
import { startProducts } from "./work/product.js";
import { startTensor } from "./work/tensor.js";
import { startTurned } from "./work/turned.js";
import type { TurnedLayout } from "./work/turned-layout.js";
import { startUpdate } from "./work/update.js";
import type { JobRun } from "./work/window.js";

export interface JobWork {
  /** Starts a job, whose windows then come in order. @param turned set if the job itself reads its operands. */
  start(job: WindowedJob, turned: TurnedLayout | null): JobRun;
  /** Does a whole file or payload. They have pieces of their own instead of windows. @throws {WeightDiffError} as runFile and makePayload. */
  doWhole(job: FileJob | PayloadJob): Promise<TensorResult>;
}

/** The work of one worker. @param areas of the kernel's memory, which only one job uses at a time. */
export function jobWork(
  setup: PipelineSetup,
  kernel: Kernel,
  areas: MemoryPlan,
  files: WorkerFiles,
  host: FileRunHost & PayloadHost,
): JobWork {
  const paths = setup.inputs.map(({ path }) => path);
  const updates = { ...setup, joined: createHash("sha256"), aborted: host.aborted };
  const fileRun = { inputs: setup.inputs, windowBytes: setup.fileWindowBytes, kernel, slots: areas.files };
  let startProduct: ReturnType<typeof startProducts> | null = null;
  const ofTensor = (job: TensorJob, turned: TurnedLayout | null): JobRun => {
    if (turned !== null) {
      return startTurned(job, turned, kernel, areas, files);
    }
    if (job.rule === "update") {
      return startUpdate(job, kernel, areas, files, updates);
    }
    const coding = codingOf(job);
    return coding === "encode"
      ? startEncode(job, kernel, areas)
      : coding === "decode"
        ? startDecode(job, kernel, areas, paths)
        : startTensor(job, kernel, areas);
  };
  return {
    start(job, turned) {
      switch (job.kind) {
        case "tensor":
          return ofTensor(job, turned);
        case "digest":
          return startDigest(job, kernel, areas);
        case "compare":
          return startCompare(job, kernel, areas);
        case "product":
          if (setup.product === undefined) {
            throw new TypeError("no room for products");
          }
          startProduct ??= startProducts(kernel, areas, setup.product.exchange, host.aborted);
          return startProduct(job);
      }
    },
    doWhole: (job) =>
      job.kind === "file" ? runFile(job, files, fileRun, host) : makePayload(job, kernel, areas, files, setup, host),
  };
}
