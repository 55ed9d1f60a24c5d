/** Answers as they come over a bare connection: each head and body that a server may send, and what becomes of the connection. */
import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { getDirectly } from "../../../src/http/direct.js";

let server: Server;
let url: URL;
let answers: ((socket: Socket) => void)[] = [];
const asked: string[] = [];
/** Has the last answer left, whole? */
let written = Promise.resolve();
const sockets = new Set<Socket>();

before(async () => {
  server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      asked.push(bytes.toString("latin1"));
      answers.shift()?.(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = new URL(`http://127.0.0.1:${(server.address() as { port: number }).port}/file?x=1`);
});
after(() => {
  server.close();
  for (const socket of sockets) {
    socket.destroy();
  }
});

/** The server's next answers, one a request; "" closes. */
function answer(...texts: readonly (string | readonly string[])[]): void {
  const send = async (text: string | readonly string[], socket: Socket): Promise<void> => {
    for (const piece of typeof text === "string" ? [text] : text) {
      if (piece === "") {
        socket.destroy();
      } else {
        socket.write(piece, "latin1");
        await sleep(5);
      }
    }
  };
  answers = texts.map((text) => (socket) => {
    written = send(text, socket);
  });
  asked.length = 0;
}

async function get(signal = new AbortController().signal): Promise<{ status: number; body: string } | null> {
  const incoming = await getDirectly(url, { range: "bytes=0-9" }, signal);
  if (incoming === null) {
    return null;
  }
  let body = "";
  for (let piece = await incoming.next(); piece !== null; piece = await incoming.next()) {
    body += Buffer.from(piece).toString("latin1");
  }
  return { status: incoming.status, body };
}

/** How many connections `work` made. */
async function connections(work: () => Promise<unknown>): Promise<number> {
  const before = sockets.size;
  await work();
  return sockets.size - before;
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const HELLO = { status: 200, body: "hello" };

test("asks for what was wanted, and no more", async () => {
  answer(OK);
  assert.deepEqual(await get(), HELLO);
  assert.deepEqual(asked, [`GET /file?x=1 HTTP/1.1\r\nhost: ${url.host}\r\nrange: bytes=0-9\r\n\r\n`]);
});

test("a connection is used again, and not where the server closes it", async () => {
  answer(OK, OK, OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), OK);
  assert.equal(
    await connections(async () => assert.deepEqual([await get(), await get(), await get()], [HELLO, HELLO, HELLO])),
    0,
  );
  assert.equal(await connections(async () => assert.deepEqual(await get(), HELLO)), 1);
});

test("a connection that was closed while it rested is not used again", async () => {
  answer([OK, ""], OK);
  assert.deepEqual(await get(), HELLO);
  await written;
  await sleep(20);
  assert.equal(await connections(async () => assert.deepEqual(await get(), HELLO)), 1);
});

for (const [what, pieces] of [
  ["byte by byte", [...OK]],
  ["with its head cut between the line's two ends", ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r", "\nhel", "lo"]],
] as const) {
  test(`an answer that comes ${what} is the same`, async () => {
    answer(pieces);
    assert.deepEqual(await get(), HELLO);
  });
}

for (const [what, text] of [
  ["in the same piece", `${OK}HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad`],
  ["later", [OK, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"]],
] as const) {
  test(`bytes that nobody asked for, ${what}, are no answer to the next question`, async () => {
    answer(text, OK);
    assert.deepEqual(await get(), HELLO);
    await written;
    await sleep(20);
    assert.deepEqual(await get(), HELLO);
  });
}

test("other statuses, and bodies of no bytes, are told", async () => {
  answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 503 \r\ncontent-length:2\r\n\r\nno");
  assert.deepEqual(await get(), { status: 404, body: "" });
  assert.deepEqual(await get(), { status: 503, body: "no" });
});

for (const [what, text] of [
  ["in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  [
    "in chunks and with a length",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
  ],
  ["without a length", "HTTP/1.1 200 OK\r\n\r\nhello"],
  ["with two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"],
  ["after a notice", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"],
] as const) {
  test(`an answer ${what} is left to fetch`, async () => {
    answer(text);
    assert.equal(await get(), null);
  });
}

for (const [what, text, message] of [
  ["is cut in its head", ["HTTP/1.1 200 OK\r\nCont", ""], /closed before an answer/],
  ["is cut in its body", ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ""], /closed before the end/],
  ["is no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", /cannot be read/],
  ["has a header that is none", "HTTP/1.1 200 OK\r\nno header\r\n\r\n", /cannot be read/],
  ["has a head without end", [`HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(10_000)}`], /no end of the answer's head/],
] as const) {
  test(`an answer that ${what} is an error`, async () => {
    answer(text);
    await assert.rejects(get(), message);
  });
}

test("a signal ends it before, within and after the head", async () => {
  const reason = new Error("stopped");
  await assert.rejects(get(AbortSignal.abort(reason)), /stopped/);
  for (const text of [[], ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"]]) {
    const stop = new AbortController();
    answer(text);
    setTimeout(() => stop.abort(reason), 30);
    await assert.rejects(get(stop.signal));
  }
});

test("a value that would be two headers is not sent", async () => {
  const { signal } = new AbortController();
  await assert.rejects(getDirectly(url, { range: "a\r\nx: y" }, signal), TypeError);
});
