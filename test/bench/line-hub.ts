/**
 * The test Hub behind a line of its own: `node line-hub.js LINE_PORT,LINE_PORT [tls] [busy=N] org/name=DIR …` serves the directories, says
 * that it and its storage are to be found at those two ports of this machine, and prints the two ports where they are. "tls": over TLS, with
 * a certificate of fixtures/tls/authority.pem. "busy": the first N questions for bytes are answered 429, with a second to wait.
 */
import { argv } from "node:process";
import { startFront } from "../hub/network.js";
import { filesOf } from "../hub/repo.js";
import { startHub } from "../hub/server.js";

const [ports = "", ...options] = argv.slice(2);
const hub = await startHub();
for (const option of options) {
  const [, name = "", value = ""] = /^([^=]+)=(.+)$/.exec(option) ?? [];
  if (name === "busy") {
    hub.fault(/^GET cdn/, { kind: "status", status: 429, headers: { "retry-after": "1" } }, Number(value));
  } else if (name !== "") {
    hub.add(name, filesOf(value));
  }
}
const tls = options.includes("tls");
const own = [hub.endpoint, hub.cdn].map((origin) => Number(new URL(origin).port));
const shown = tls ? await Promise.all(own.map(async (port) => (await startFront(port)).port)) : own;
const origin = tls ? "https://localhost" : "http://127.0.0.1";
const [endpoint, cdn] = ports.split(",").map((port) => `${origin}:${port}`);
Object.assign(hub, { endpoint, cdn });
process.stdout.write(`${shown.join(" ")}\n`);
