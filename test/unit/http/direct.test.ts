/** Answers as they come over a connection, bare or with TLS: each head and body that a server may send, and what becomes of the connection. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer as createSecureServer } from "node:tls";
import { WeightDiffError } from "../../../src/errors.js";
import { getDirectly } from "../../../src/http/direct.js";
import { lineError } from "../../../src/http/fault.js";
import { TransientError } from "../../../src/http/retry.js";
import { random } from "../../fuzz/mutate.js";
import { AUTHORITY, IDENTITY } from "../../hub/network.js";

const ROUNDS = Number(process.env.WEIGHT_DIFF_FUZZ ?? 100);
const SEED = Number(process.env.WEIGHT_DIFF_SEED ?? 1);
const WORDS = [
  "HTTP/1.1 200 OK",
  "HTTP/1.1 206 Partial Content",
  "HTTP/1.0 404 ",
  "HTTP/1.1 999",
  "HTTP/2 200",
  "\r\n",
  "\r\n",
  "\r\n\r\n",
  "\n",
  "Content-Length: 5\r\n",
  "content-length:0\r\n",
  "Content-Length: 99999999999999999999\r\n",
  "Content-Length: -1\r\n",
  "Content-Length: 0x5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "Connection: keep-alive\r\n",
  "a: b\r\n",
  " folded\r\n",
  ": \r\n",
  "5\r\nhello\r\n0\r\n\r\n",
  "hello",
  "\0",
  "\xff",
];

let url: URL;
let authorities: string | null;
let answers: ((socket: Duplex) => void)[] = [];
const asked: string[] = [];
/** Has the last answer left, whole? */
let written = Promise.resolve();
const sockets = new Set<Duplex>();

/** The server's next answers, one a request; "" closes. */
function answer(...texts: readonly (string | readonly string[])[]): void {
  const send = async (text: string | readonly string[], socket: Duplex): Promise<void> => {
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

/** @param dawdle before each look at the line. */
async function get(
  signal = new AbortController().signal,
  dawdle: () => Promise<unknown> = () => Promise.resolve(),
): Promise<{ status: number; body: string } | null> {
  const incoming = await getDirectly(url, { range: "bytes=0-9" }, signal, authorities);
  if (incoming === null) {
    return null;
  }
  let body = "";
  for (let piece = await incoming.next(); piece !== null; piece = await incoming.next()) {
    body += Buffer.from(piece).toString("latin1");
    await dawdle();
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

for (const secured of [false, true]) {
  describe(secured ? "over TLS" : "without TLS", () => {
    let close = (): void => {};
    before(async () => {
      const serve = (socket: Duplex): void => {
        sockets.add(socket);
        socket.on("error", () => {});
        socket.on("data", (bytes: Buffer) => {
          asked.push(bytes.toString("latin1"));
          answers.shift()?.(socket);
        });
      };
      const server = secured
        ? createSecureServer({ ...IDENTITY, noDelay: true }, serve)
        : createServer({ noDelay: true }, serve);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      url = new URL(secured ? `https://localhost:${port}/file?x=1` : `http://127.0.0.1:${port}/file?x=1`);
      authorities = secured ? readFileSync(AUTHORITY, "utf8") : null;
      close = () => server.close();
    });
    after(() => {
      close();
      for (const socket of sockets) {
        socket.destroy();
      }
    });

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

    // The next question begins among the event loop's timers, or among its files and sockets.
    for (const [when, pass] of [
      ["at once", () => sleep(20)],
      ["after a look at a file", () => sleep(20).then(() => stat(AUTHORITY))],
    ] as const) {
      test(`nor are they where the next question follows ${when}, and they wait unread on the connection`, async () => {
        const bad = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
        answer([OK, bad], OK);
        const dawdle = async (): Promise<void> => {
          await written;
          await pass();
        };
        const both = async (): Promise<unknown> => [await get(undefined, dawdle), await get()];
        assert.equal(await connections(async () => assert.deepEqual(await both(), [HELLO, HELLO])), 1);
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
      ["has a blank for a header's name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", /cannot be read/],
      ["has a line break within a header", "HTTP/1.1 200 OK\r\na: b\nc\r\nContent-Length: 0\r\n\r\n", /./],
      ["has a head without end", [`HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(10_000)}`], /no end of the answer's head/],
    ] as const) {
      test(`an answer that ${what} is an error`, async () => {
        answer(text);
        await assert.rejects(get(), message);
      });
    }

    for (const [what, value] of [
      ["blanks and a line break", `${" ".repeat(30_000)}\nx`],
      ["blanks between letters", `x${" ".repeat(15_000)}y${" ".repeat(15_000)}z`],
    ] as const) {
      test(`a header of ${what} takes no longer than another of its length`, async () => {
        answer(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\na:${value}\r\n\r\n`);
        const started = process.cpuUsage();
        await get().catch(() => {});
        const { user } = process.cpuUsage(started);
        assert.ok(user < 1_000_000, `${user} µs`);
      });
    }

    // A handshake for each.
    const rounds = secured ? ROUNDS / 5 : ROUNDS;
    /** Answers that were right once: pieces of heads in any order, cut anywhere, with bytes changed. */
    test(`${rounds} answers of any bytes give an answer, none, or an error of the line`, async () => {
      const next = random(SEED);
      const any = <T>(items: readonly T[]): T => items[next(items.length)] as T;
      for (let round = 0; round < rounds; round++) {
        let text = Array.from({ length: next(12) }, () => any(WORDS)).join("");
        text = next(4) === 0 ? text : `${any(WORDS.slice(0, 4))}\r\n${text}`;
        for (let change = next(3); change > 0 && text !== ""; change--) {
          const at = next(text.length);
          text = text.slice(0, at) + String.fromCharCode(next(256)) + text.slice(at + 1);
        }
        const cut = next(text.length + 1);
        answer([text.slice(0, cut), text.slice(cut), ""].filter((piece, at) => piece !== "" || at === 2));
        const label = `seed ${SEED}, round ${round}: ${JSON.stringify(text)}`;
        const found = await get().catch((error: unknown) => error);
        if (found instanceof Error) {
          const told = lineError("host", "the connection was cut", found);
          assert.ok(told instanceof TransientError || told instanceof WeightDiffError, label);
          assert.doesNotMatch(found.message, /undefined|not a function/, label);
        } else if (found !== null) {
          const { status, body } = found as { status: number; body: string };
          assert.ok(status >= 0 && status <= 999 && text.includes(body), label);
          const lengths = [...text.matchAll(/content-length:[ \t]*(\d+)/gi)].map(([, digits]) => Number(digits));
          assert.ok(lengths.includes(body.length), label);
        }
      }
    });

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
      await assert.rejects(getDirectly(url, { range: "a\r\nx: y" }, signal, authorities), TypeError);
    });

    test("a piece is the reader's until he asks for the next, and what came together comes together", async () => {
      const body = Buffer.alloc(3_000_000);
      for (let at = 0; at < body.length; at += 4) {
        body.writeUInt32LE(at, at);
      }
      answers = [
        (socket) => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
          socket.end(body);
        },
      ];
      const incoming = await getDirectly(url, {}, new AbortController().signal, authorities);
      assert.ok(incoming !== null);
      let at = 0;
      let pieces = 0;
      for (let piece = await incoming.next(); piece !== null; piece = await incoming.next()) {
        await sleep(2);
        assert.ok(body.subarray(at, at + piece.length).equals(piece), `piece ${pieces}, from ${at}`);
        at += piece.length;
        pieces++;
      }
      assert.equal(at, body.length);
      assert.ok(pieces < 60, `${pieces} pieces`);
    });
  });
}
