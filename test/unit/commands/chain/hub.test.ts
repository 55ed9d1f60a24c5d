/** Chains that are pushed to the Hub as files: through the cache, and read as bytes are needed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { chainInspect } from "../../../../src/commands/chain/inspect.js";
import { chainMaterialize } from "../../../../src/commands/chain/materialize.js";
import { recover } from "../../../../src/commands/recover.js";
import { filesOf } from "../../../hub/repo.js";
import { startHub } from "../../../hub/server.js";
import { CHAINS, stateOf } from "../../../support/chains.js";
import { withFolder } from "../../../support/checkpoints.js";

for (const [chain, base, label] of [
  ["mixed", "base", "A4"],
  ["stitch-root", "base", "A2"],
  ["reset", "base", "R4"],
  ["skyrl", "base", "A2"],
  ["modelexpress", "base-tied", "M4"],
  ["trl-a", null, "T4"],
  ["fireworks-zstd", "base-fw", "F"],
] as const) {
  test(`a repository that holds ${chain} gives the bytes of the folder`, (t) =>
    withFolder(async (folder) => {
      const hub = await startHub();
      t.after(() => hub.close());
      hub.add("org/chain", filesOf(join(CHAINS, "good", chain)));
      const raw = base === null ? null : join(CHAINS, base);
      for (const cache of [join(folder, "cache"), null]) {
        const settings = { endpoint: hub.endpoint, environment: { HOME: folder }, cache };
        const tuned = join(folder, cache === null ? "streamed" : "cached");
        const made = await chainMaterialize({ chain: "org/chain", raw, tuned, hub: settings });
        const found = Object.fromEntries(made.tensors.map(({ name, sha256 }) => [name, sha256]));
        assert.deepEqual(found, stateOf(label));
      }
      const settings = { endpoint: hub.endpoint, environment: { HOME: folder }, cache: join(folder, "cache") };
      const looked = await chainInspect({ chain: "org/chain", hub: settings });
      assert.deepEqual([looked.fault, looked.repo], [null, "org/chain"]);
      if (raw !== null) {
        const again = await recover({ raw, diff: "org/chain", hub: settings });
        assert.equal(again.chain?.layout, looked.layout);
      }
    }));
}

for (const [chain, place] of [
  ["xor-xxh3", "weight_v000002"],
  ["stitch-root", "updates/weight_v000002"],
] as const) {
  test(`one version's folder in a repository that holds ${chain} is that version`, (t) =>
    withFolder(async (folder) => {
      const hub = await startHub();
      t.after(() => hub.close());
      hub.add("org/chain", filesOf(join(CHAINS, "good", chain)));
      const settings = { endpoint: hub.endpoint, environment: { HOME: folder }, cache: join(folder, "cache") };
      const options = { raw: join(CHAINS, "base"), hub: settings, onNote: () => {}, onWarning: () => {} };
      const made = await chainMaterialize({ ...options, chain: `hf://org/chain/${place}` });
      assert.deepEqual(Object.fromEntries(made.tensors.map(({ name, sha256 }) => [name, sha256])), stateOf("A2"));
      const again = await recover({ ...options, diff: `hf://org/chain@main/${place}` });
      assert.equal(again.chain?.version, "000002");
    }));
}
