/** Passes of one model, timed: `node say.js MODEL TOKENS PASSES THREADS`. Prints seconds of each pass, the bytes it reads, and the peak. */
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { openLanguageModel } from "../../src/inference/forward.js";

const [path = "", tokens = "8", passes = "1", threads = "2"] = process.argv.slice(2);
const started = performance.now();
const model = await openLanguageModel(await openCheckpoint(path), { threads: Number(threads) });
const opened = performance.now() - started;
const seconds: number[] = [];
for (let pass = 0; pass < Number(passes); pass++) {
  const begun = performance.now();
  const ids = Array.from({ length: Number(tokens) }, (_, i) => (i * 7 + pass) % model.vocabulary);
  await model.pass([{ key: "a", ids, wanted: "last" }]);
  seconds.push((performance.now() - begun) / 1000);
}
await model.close();
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
process.stdout.write(
  `${JSON.stringify({ seconds, opened: opened / 1000, bytes: model.passBytes, peak: maxRSS * 1024, user: userCPUTime / 1e6, system: systemCPUTime / 1e6 })}\n`,
);
