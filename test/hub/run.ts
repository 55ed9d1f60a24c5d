/**
 * The test Hub by hand: `node dist/test/hub/run.js org/name=DIR [TOKEN=account] …` serves each directory as a repository (its
 * token may read and write everything below the account's name), prints the endpoint, and stops when it is stopped.
 */
import { filesOf } from "./repo.js";
import { startHub } from "./server.js";

const hub = await startHub();
for (const argument of process.argv.slice(2)) {
  const [, name = "", value = ""] = /^([^=]+)=(.+)$/.exec(argument) ?? [];
  if (name.startsWith("hf_")) {
    hub.account(name, { name: value, namespaces: [value], accepted: [...hub.repos.keys()] });
  } else {
    hub.add(name, filesOf(value));
  }
}
process.stdout.write(`HF_ENDPOINT=${hub.endpoint}\n`);
