/**
 * The test Hub behind a line of its own: `node line-hub.js LINE_PORT,LINE_PORT org/name=DIR …` serves the directories, says that it and its
 * storage are to be found at those two ports of 127.0.0.1, and prints the two ports where they are.
 */
import { argv } from "node:process";
import { filesOf } from "../hub/repo.js";
import { startHub } from "../hub/server.js";

const [ports = "", ...repositories] = argv.slice(2);
const hub = await startHub();
for (const repository of repositories) {
  const [, name = "", directory = ""] = /^([^=]+)=(.+)$/.exec(repository) ?? [];
  hub.add(name, filesOf(directory));
}
const own = [hub.endpoint, hub.cdn].map((origin) => new URL(origin).port);
const [endpoint, cdn] = ports.split(",").map((port) => `http://127.0.0.1:${port}`);
Object.assign(hub, { endpoint, cdn });
process.stdout.write(`${own.join(" ")}\n`);
