/** Meta's layout in repositories of a Hub: as a base of recover and converted, cached, offline and read by range, with a local run's bytes. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { convert } from "../../src/commands/convert.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import type { HubOptions } from "../../src/hub/settings.js";
import { filesOf, repoFile } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { convertedAndTuned, META, META_CASES } from "../support/meta.js";

let hub: TestHub;
let place: string;
let runs = 0;

before(async () => {
  place = mkdtempSync(join(tmpdir(), "weight-diff-"));
  hub = await startHub();
  const tokenizer = [
    "tokenizer.model",
    repoFile("tokenizer.model", readFileSync(join(META, "tokenizer.model"))),
  ] as const;
  for (const name of META_CASES) {
    const files = filesOf(join(META, name));
    hub.add(`org/${name}`, new Map([...files, tokenizer]));
    // As Meta's download has it: a folder for every size, one tokenizer above them.
    const inFolder = [...files].map(([file, content]) => [`7B/${file}`, content] as const);
    hub.add(`org/all-${name}`, new Map([...inFolder, tokenizer]));
  }
});
after(async () => {
  await hub.close();
  rmSync(place, { recursive: true, force: true });
});

function hubOf(options: HubOptions): HubOptions {
  return {
    endpoint: hub.endpoint,
    environment: { HF_HOME: join(place, "home") },
    patience: { pauseMs: 1 },
    ...options,
  };
}

function assertSameFiles(folder: string, local: string): void {
  assert.deepEqual(readdirSync(folder).sort(), readdirSync(local).sort());
  for (const file of readdirSync(local).filter((each) => each !== "weight-diff.json")) {
    assert.ok(readFileSync(join(local, file)).equals(readFileSync(join(folder, file))), file);
  }
}

/** The ways to a repository's bytes; the third finds what the first two brought. */
const WAYS = (cache: string): readonly HubOptions[] => [{ cache: null }, { cache }, { cache, offline: true }];

for (const name of META_CASES) {
  test(`${name}: converted from the Hub, it is what is converted from this disk`, async () => {
    const local = join(place, `${name}-converted`);
    await convert({ source: join(META, name), output: local });
    for (const source of [`org/${name}`, `hf://org/all-${name}/7B`]) {
      for (const options of WAYS(join(place, `${name}-cache`))) {
        const output = join(place, `run-${runs++}`);
        const report = await convert({ source, output, hub: hubOf(options) });
        assert.equal(report.outcome, "converted");
        assertSameFiles(output, local);
        const { raw } = JSON.parse(readFileSync(join(output, "weight-diff.json"), "utf8"));
        assert.equal(raw.repo, source.startsWith("hf:") ? `org/all-${name}` : `org/${name}`);
      }
    }
  });

  test(`${name}: as a base at the Hub, it recovers what it recovers on this disk`, async () => {
    const folder = mkdtempSync(join(place, "made-"));
    const { tuned } = await convertedAndTuned(name, folder);
    const diff = join(folder, "diff");
    await makeDiff({ raw: join(META, name), tuned, diff });
    const local = join(folder, "recovered");
    await recover({ raw: join(META, name), diff, tuned: local });
    hub.add(`org/${name}-diff`, filesOf(diff));
    for (const options of WAYS(join(place, `${name}-cache`))) {
      const output = join(place, `run-${runs++}`);
      const notes: string[] = [];
      const onNote = (text: string): void => {
        notes.push(text);
      };
      await recover({ raw: `org/${name}`, diff: `org/${name}-diff`, tuned: output, hub: hubOf(options), onNote });
      assertSameFiles(output, local);
      assert.ok(
        notes.some((text) => /base's tensors have the digests that the diff's manifest states/.test(text)),
        notes.join("\n"),
      );
    }
  });
}

test("a dry run of a conversion fetches no weights", async () => {
  const notes: string[] = [];
  const cache = join(place, "dry");
  const report = await convert({
    source: "org/two-parts",
    output: join(place, "none"),
    dryRun: true,
    hub: hubOf({ cache }),
    onNote: (text) => notes.push(text),
  });
  assert.equal(report.outcome, "planned");
  assert.ok(
    notes.some((text) => /of weights would be fetched into the cache$/.test(text)),
    notes.join("\n"),
  );
  const names = readdirSync(cache, { recursive: true, encoding: "utf8" });
  assert.deepEqual(
    names.filter((path) => path.endsWith(".pth")),
    [],
  );
});
