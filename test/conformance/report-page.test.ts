/** The page of a report in a real browser: it loads fast and alone, answers to mouse and keys, and shows names as text. */
import assert from "node:assert/strict";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser } from "playwright-core";
import { changePage } from "../../src/commands/report/html.js";
import type { ChangeReport } from "../../src/commands/report/options.js";
import { weightDiff } from "../cli/command.js";
import { startBrowser, type Watched, watch, whyNoBrowser } from "../support/browser.js";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";
import { publish } from "../support/diffs.js";
import { expertNames, madeReport } from "../support/reports.js";

const skip = whyNoBrowser();
let browser: Browser | undefined;
before(async () => {
  browser = skip === false ? await startBrowser() : undefined;
});
after(() => browser?.close());

const HOSTILE =
  "model.layers.3.</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u202e\u2028";
const LLAMA = Array.from({ length: 32 }, (_, layer) =>
  ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj"]
    .concat("mlp.down_proj", "input_layernorm", "post_attention_layernorm")
    .map((part) => `model.layers.${layer}.${part}.weight`),
)
  .flat()
  .concat("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight");
/** Milliseconds. */
const MOST = 2000;

/** Opens a page of a report. It must load alone, in time, and say nothing. */
async function opened(
  report: ChangeReport | string,
  options: Parameters<typeof watch>[1],
  look: (watched: Watched, milliseconds: number, bytes: number) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const file = typeof report === "string" ? report : join(folder, "report.html");
    if (typeof report !== "string") {
      await writeFile(file, (await changePage(report)).join(""));
    }
    const watched = await watch(browser as Browser, options);
    const started = performance.now();
    await watched.page.goto(pathToFileURL(file).href, { waitUntil: "load" });
    await watched.page.locator("#rows tbody tr").first().waitFor();
    await look(watched, performance.now() - started, (await stat(file)).size);
    assert.deepEqual(watched.said, []);
    assert.deepEqual(watched.requests, [pathToFileURL(file).href]);
    await watched.page.close();
  });
}

test("the page of a 7B loads in time and in 500 kB; a cell tells its figures where the mouse is", {
  skip,
}, async () => {
  await opened(madeReport(LLAMA), {}, async ({ page }, milliseconds, bytes) => {
    assert.ok(milliseconds < MOST, `${milliseconds} ms`);
    assert.ok(bytes <= 500_000, `${bytes} bytes`);
    assert.equal(await page.locator("#map rect.cell").count(), 9 * 32);
    await page
      .locator("#map rect.cell")
      .nth(9 * 5 + 2)
      .hover();
    const told = await page.locator("#cell").textContent();
    assert.match(told ?? "", /^layer 5, self_attn\.v_proj\.weight: relative change [\d.e-]+, share changed [\d.]+ %, /);
    // A click lists what is behind the cell.
    await page
      .locator("#map rect.cell")
      .nth(9 * 5 + 2)
      .click();
    assert.deepEqual(await page.locator("#rows tbody td:first-child").allTextContents(), [LLAMA[9 * 5 + 2]]);
  });
});

test("cells and rows of NaN are shown as such, and not as missing", { skip }, async () => {
  const report = madeReport(LLAMA);
  const tensors = report.tensors.map((tensor, place) =>
    place === 9 * 5 + 2
      ? { ...tensor, tunedNorm: Number.NaN, differenceNorm: Number.NaN, relative: Number.NaN, largest: Number.NaN }
      : tensor,
  );
  await opened({ ...report, tensors }, {}, async ({ page }) => {
    assert.equal(await page.locator("#map rect.strange").count(), 1);
    assert.equal(await page.locator("#map rect.none").count(), 0);
    assert.match((await page.locator("#legend").textContent()) ?? "", /NaN or infinity$/);
    await page.locator("#map rect.strange").click();
    assert.match(
      (await page.locator("#cell").textContent()) ?? "",
      /: relative change NaN or infinity, share changed [\d.]+ %, largest change NaN or infinity, /,
    );
    assert.match((await page.locator("#rows tbody tr").textContent()) ?? "", /NaN or infinity/);
  });
});

test("keys reach everything: cells, the table behind them, sorting, search, pages, light and dark", {
  skip,
}, async () => {
  await opened(madeReport(LLAMA), { colorScheme: "light" }, async ({ page }) => {
    await page.locator("#map").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowDown");
    assert.match((await page.locator("#cell").textContent()) ?? "", /^layer 1, self_attn\.k_proj\.weight: /);
    await page.keyboard.press("End");
    assert.match((await page.locator("#cell").textContent()) ?? "", /^layer 31, /);
    await page.keyboard.press("Enter");
    assert.match(
      (await page.locator("#found").textContent()) ?? "",
      /^1 of 291 tensors of layer 31, self_attn\.k_proj/,
    );
    await page.locator("#found button").press("Enter");
    assert.match((await page.locator("#found").textContent()) ?? "", /^291 of 291 tensors/);
    await page.locator("#search").fill("MLP down");
    assert.match((await page.locator("#found").textContent()) ?? "", /^32 of 291 tensors/);
    await page.locator("#search").fill("");
    await page.locator("#after").press("Enter");
    assert.equal(await page.locator("#range").textContent(), "101 to 200");
    await page.locator("th button[data-key=name]").press("Enter");
    assert.equal(await page.locator("#rows tbody td").first().textContent(), LLAMA[0]);
    assert.equal(await page.locator("th[aria-sort=ascending]").count(), 1);
    await page.locator("#map-table summary").press("Enter");
    await page.locator("#map-table tbody tr").nth(31).waitFor();
    const lit = (): Promise<string> => page.evaluate("getComputedStyle(document.body).backgroundColor");
    assert.equal(await lit(), "rgb(255, 255, 255)");
    await page.locator("#theme").press("Enter");
    assert.equal(await lit(), "rgb(20, 23, 26)");
    await page.emulateMedia({ media: "print" });
    assert.equal(await lit(), "rgb(255, 255, 255)");
    // Every control has a name that a reader speaks.
    const unnamed = await page.evaluate(
      "[...document.querySelectorAll('button,select,input,svg[tabindex],section[tabindex]')].filter((e) => !(e.textContent.trim() || e.labels?.length || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby'))).map((e) => e.outerHTML)",
    );
    assert.deepEqual(unnamed, []);
  });
});

test("the page of 60,000 tensors loads in time, and its search answers", { skip }, async () => {
  const names = expertNames(61, 328);
  assert.ok(names.length > 60_000);
  await opened(madeReport(names), {}, async ({ page }, milliseconds) => {
    assert.ok(milliseconds < MOST, `${milliseconds} ms`);
    await page.locator("#search").fill("experts.327.down");
    assert.match((await page.locator("#found").textContent()) ?? "", /^61 of 60,\d\d\d tensors/);
  });
});

test("the page of a diff alone shows what a diff tells, and nothing of the base's", { skip }, async () => {
  await withFolder(async (folder) => {
    const { base, tuned } = await publish(folder);
    for (const [encoding, figures] of [
      ["additive", ["root mean square", "share not zero", "largest difference", "bits an element"]],
      ["exact", ["share not zero"]],
    ] as const) {
      const [diff, file] = [join(folder, encoding), join(folder, `${encoding}.html`)];
      const made = await weightDiff([
        ...["make-diff", "--path_raw", base, "--path_tuned", tuned, "--path_diff", diff],
        ...["--encoding", encoding, "--quiet"],
      ]);
      assert.equal(made.code, 0, made.said.join("\n"));
      const { code, said } = await weightDiff(["report", diff, "--out", file, "--quiet"]);
      assert.equal(code, 0, said.join("\n"));
      await opened(file, {}, async ({ page }) => {
        assert.match((await page.locator("#models").textContent()) ?? "", / alone: a diff without its base$/);
        assert.deepEqual(await page.locator("#figure option").allTextContents(), [...figures]);
        const told = (await page.locator("#cell").textContent()) ?? "";
        assert.ok(told.startsWith(`layer 0, input_layernorm.weight: ${figures[0]} `), told);
        assert.ok((await page.locator("#map rect.cell[fill]").count()) > 0);
        assert.equal(await page.locator("#steps").count(), 0);
        const text = ((await page.locator("main").textContent()) ?? "").toLowerCase();
        assert.doesNotMatch(text, /null|undefined|nan|relative change|cosine|new rows|beside/);
      });
    }
  });
});

test("names that look like markup are text, in a page of the command's own", { skip }, async () => {
  await withFolder(async (folder) => {
    const write = (at: string, value: number) =>
      writeFiles(join(folder, at), {
        "model.safetensors": safetensors(
          [HOSTILE, "F32", [2], Float32Array.of(1, value)],
          ["<b>bold</b>", "F32", [1], Float32Array.of(value)],
        ),
      });
    const file = join(folder, "report.html");
    const args = ["report", await write("a", 2), await write("b", 3), "--out", file, "--quiet"];
    const { code, said } = await weightDiff(args);
    assert.equal(code, 0, said.join("\n"));
    await opened(file, {}, async ({ page }) => {
      assert.equal(await page.title(), "What changed");
      assert.equal(await page.locator("img, b").count(), 0);
      const shown = await page.locator("#rows tbody td:first-child").allTextContents();
      assert.ok(shown.includes("<b>bold</b>"));
      assert.ok(
        shown.some((name) => name.includes("<img src=x onerror=alert(1)>\\u{202e}\\u{2028}")),
        shown.join(),
      );
    });
  });
});
