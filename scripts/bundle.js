// The last step of `npm run build`: what the command line loads, as a few files in dist/cli: weight-diff.cjs, which knows the version,
// command-line.cjs, which knows the rest, and what only some commands load: huggingface-hub.cjs for what pushes or lists a repository,
// zstddec.cjs and hash-wasm.cjs for chains. Their source maps, the worker, the thread of a tokenizer and the kernel lie beside them;
// nothing else is needed. Loaded as some 500 modules, a small run takes twice as long. The library stays as it is, in dist/src.
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { pageInputs } from "./page.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = join(root, "dist/cli");

/** What `filter` matches is a file of its own, loaded when it is wanted. */
const apart = (filter, file) => ({
  name: `${file}-apart`,
  setup({ onResolve }) {
    onResolve({ filter }, () => ({ path: `./${file}`, external: true }));
  },
});

/** Packages that are files of their own: the module that is imported, and the file. */
const APART = { "@huggingface/hub": "huggingface-hub", "zstddec/stream": "zstddec", "hash-wasm": "hash-wasm" };
const packagesApart = Object.entries(APART).map(([name, file]) => apart(new RegExp(`^${name}$`), `${file}.cjs`));

/** commander loads it for commands that are programs of their own; here there are none, and it takes 10 ms to load. */
const withoutChildProcess = {
  name: "without-child-process",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:child_process$/ }, ({ path }) => ({ path, namespace: "empty" }));
    onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: "" }));
  },
};

const common = {
  absWorkingDir: root,
  outdir: out,
  bundle: true,
  platform: "node",
  target: "node20.15",
  // Less to parse; names stay, so that a stack trace can be read. The source map has the lines.
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: true,
  logLevel: "warning",
};

/** CommonJS: the launcher must set the size of Node's thread pool before anything uses it, and loading a module does. */
const commonJs = {
  ...common,
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  define: { "import.meta.url": "importMetaUrl" },
  banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
};

rmSync(out, { recursive: true, force: true });
await build({
  ...commonJs,
  entryPoints: { "weight-diff": "src/cli/main.ts" },
  plugins: [apart(/\/command-line\.js$/, "command-line.cjs")],
  // What it imports is CommonJS, too.
  supported: { "dynamic-import": false },
});
const commandLine = await build({
  ...commonJs,
  entryPoints: { "command-line": "src/cli/command-line.ts" },
  plugins: [withoutChildProcess, ...packagesApart],
  metafile: true,
});
const packagesBuilt = await Promise.all(
  // As modules: what is imported by name from the file must be told there.
  Object.entries(APART).map(([name, file]) =>
    build({ ...commonJs, entryPoints: { [file]: name }, mainFields: ["module", "main"], metafile: true }),
  ),
);
// As in src/, threads, kernel and the page of a report lie beside what names them. Threads are CommonJS, too: a module that imports node:http
// takes all that it exports, and so loads a client that nobody uses.
const threads = await build({
  ...commonJs,
  entryPoints: { worker: "src/engine/worker.ts", "tokenizer/thread": "src/inference/tokenizer/thread.ts" },
  outExtension: {},
  plugins: packagesApart,
  metafile: true,
});
writeFileSync(join(out, "package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);
copyFileSync(join(root, "dist/src/kernel/kernel.wasm"), join(out, "kernel.wasm"));
copyFileSync(join(root, "dist/src/commands/report/page.html"), join(out, "page.html"));

// The licences of what is in the bundle go along with it.
const packages = new Set(
  [commandLine, threads, ...packagesBuilt]
    .flatMap(({ metafile }) => Object.keys(metafile.inputs))
    .concat(pageInputs)
    .flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []),
);
const licences = [...packages].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
  const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined && license === undefined) {
    throw new Error(`${name}: no licence to go along with the bundle`);
  }
  // Some packages name their licence and do not have its text.
  const text = file === undefined ? license : readFileSync(join(root, folder, file), "utf8").trim();
  return `${name} ${version}\n\n${text}\n`;
});
writeFileSync(join(out, "LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));
