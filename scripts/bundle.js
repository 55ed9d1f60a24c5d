// The last step of `npm run build`: what the command line loads as one file, dist/cli/weight-diff.cjs, with its source map, the
// worker and the kernel beside it. Loaded as some 500 modules, a small run takes twice as long. The library stays as it is, in dist/src.
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = join(root, "dist/cli");

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
  bundle: true,
  platform: "node",
  target: "node20.15",
  // Loaded only by what pushes, or lists a repository.
  external: ["@huggingface/hub"],
  // Less to parse; names stay, so that a stack trace can be read. The source map has the lines.
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: true,
  outdir: out,
  logLevel: "warning",
  metafile: true,
  plugins: [withoutChildProcess],
};

rmSync(out, { recursive: true, force: true });
const { metafile } = await build({
  ...common,
  entryPoints: { "weight-diff": "src/cli/main.ts" },
  // CommonJS: the launcher must set the size of Node's thread pool before anything uses it, and loading a module does.
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  define: { "import.meta.url": "importMetaUrl" },
  banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
});
// As in src/, both lie where the modules that name them are.
await build({ ...common, entryPoints: { worker: "src/engine/worker.ts" }, format: "esm" });
copyFileSync(join(root, "dist/src/kernel/kernel.wasm"), join(out, "kernel.wasm"));

// The licences of what is in the bundle go along with it.
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []),
);
const licences = [...packages].sort().map((folder) => {
  const { name, version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
  const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) {
    throw new Error(`${name}: no licence to go along with the bundle`);
  }
  return `${name} ${version}\n\n${readFileSync(join(root, folder, file), "utf8").trim()}\n`;
});
writeFileSync(join(out, "LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));
