/** `npm run fuzz -- [--seed N] [--count N] [--seconds N] [--only NAME]`: the standing attack on every reader. */
import { parseArgs } from "node:util";
import { fuzz } from "./fuzz.js";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    count: { type: "string", default: "1000000" },
    seconds: { type: "string", default: "600" },
    only: { type: "string", multiple: true },
  },
});
const seed = Number(values.seed);
process.stdout.write(`seed ${seed}\n`);
let told = 0;
const { inputs, targets } = await fuzz({
  seed,
  count: Number(values.count),
  seconds: Number(values.seconds),
  ...(values.only === undefined ? {} : { only: values.only }),
  onProgress(done) {
    if (done - told >= 100_000) {
      told = done;
      process.stdout.write(`${done} inputs\n`);
    }
  },
});
for (const [name, { inputs: tried, read }] of targets) {
  process.stdout.write(`${name.padEnd(24)} ${tried} inputs, ${read} read, the others refused\n`);
}
process.stdout.write(`${inputs} inputs: results and WeightDiffErrors, nothing else\n`);
