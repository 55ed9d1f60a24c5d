/**
 * Imported by the property tests that name no seed. By hand each run draws new values. CI draws the same ones each time: there a red
 * run names what the commit broke, not what nobody had drawn before. WEIGHT_DIFF_SEED chooses others.
 */
import fc from "fast-check";

const { WEIGHT_DIFF_SEED: chosen, CI } = process.env;
if (chosen !== undefined || CI === "true") {
  fc.configureGlobal({ seed: Number(chosen ?? 20230613) });
}
