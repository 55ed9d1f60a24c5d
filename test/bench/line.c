/*
 * A line between this machine and itself: cc -O2 -o line line.c; line RTT_MS MBIT WINDOW [PAUSE_AT_MS PAUSE_MS | DEAD_EVERY] PORT=PORT ...
 * Whoever connects to the first port of a pair is led to the second one on 127.0.0.1, and what comes back arrives RTT/2 later, MBIT megabits
 * a second in all (1e6). A connection has WINDOW bytes on their way at most: it begins with ten segments and has one more for each that
 * was acknowledged, as TCP's slow start does (RFC 5681; RFC 6928); after a second of rest it begins anew. The first byte of a connection
 * takes one round trip more, as a handshake does. Nothing is lost. PAUSE: nothing arrives for PAUSE_MS, PAUSE_AT_MS after the first
 * connection. DEAD_EVERY: every so manieth connection falls silent for ever after a megabyte. One thread, steps of half a millisecond.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 256
#define MARKS 4096
#define PIECE 65536
#define FIRST_WINDOW 14480
#define QUEUE_MS 2.0

/* Bytes on their way in one direction: a ring, and when which of them arrive and are known to have arrived. */
struct way {
  int from, to, ended, shut;
  char *ring;
  size_t size;
  unsigned long long read, due, sent, acknowledged, begun;
  struct { double at; unsigned long long end; } arrival[MARKS], receipt[MARKS];
  unsigned arrivals, arrived, receipts, received;
  double last;
};
struct connection { int used; double born; int dead; struct way up, down; };

static struct connection connections[CONNECTIONS];
static double rtt, bytes_per_ms, line_free, started, pause_at = -1, pause_ms;
static size_t window;
static int dead_every, opened;

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int open_socket(int port, int listening) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (listening) {
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (void *)&a, sizeof a) || listen(s, 128)) { perror("listen"); exit(1); }
  } else if (connect(s, (void *)&a, sizeof a)) { close(s); return -1; }
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(s, F_SETFL, O_NONBLOCK);
  return s;
}

static void take_in(struct connection *c, struct way *w, double now, int is_down) {
  while (w->receipts != w->received && w->receipt[w->received % MARKS].at <= now) w->acknowledged = w->receipt[w->received++ % MARKS].end;
  if (w->read == w->acknowledged && now - w->last > 1000) w->begun = w->acknowledged;
  for (;;) {
    size_t open = is_down ? FIRST_WINDOW + (w->acknowledged - w->begun) : w->size;
    if (open > w->size) open = w->size;
    size_t flying = w->read - w->acknowledged;
    if (w->ended || flying >= open || w->arrivals - w->arrived >= MARKS || (is_down && line_free > now + QUEUE_MS)) return;
    size_t at = w->read % w->size, most = open - flying;
    if (most > PIECE) most = PIECE;
    if (most > w->size - at) most = w->size - at;
    ssize_t n = recv(w->from, w->ring + at, most, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { w->ended = 1; return; }
    double leaves = now;
    if (is_down) {
      leaves = (line_free > now ? line_free : now) + n / bytes_per_ms;
      line_free = leaves;
    }
    double arrives = leaves + rtt / 2;
    if (!is_down && arrives < c->born + 1.5 * rtt) arrives = c->born + 1.5 * rtt;
    w->read += n;
    w->last = now;
    w->arrival[w->arrivals % MARKS].at = arrives;
    w->arrival[w->arrivals++ % MARKS].end = w->read;
    if (n < PIECE && is_down) return;
  }
}

static void give_out(struct connection *c, struct way *w, double now, int is_down) {
  if (is_down && pause_at >= 0 && now - started > pause_at && now - started < pause_at + pause_ms) return;
  if (is_down && c->dead && w->sent > 1000000) return;
  while (w->arrivals != w->arrived && w->arrival[w->arrived % MARKS].at <= now) w->due = w->arrival[w->arrived++ % MARKS].end;
  unsigned long long before = w->sent;
  while (w->sent < w->due) {
    size_t at = w->sent % w->size, n = w->due - w->sent;
    if (n > w->size - at) n = w->size - at;
    ssize_t done = send(w->to, w->ring + at, n, MSG_NOSIGNAL);
    if (done < 0 && errno == EAGAIN) break;
    if (done < 0) { w->ended = w->shut = 1; w->sent = w->due = w->acknowledged = w->read; shutdown(w->from, SHUT_RDWR); return; }
    w->sent += done;
  }
  if (w->sent != before && w->receipts - w->received < MARKS) {
    w->receipt[w->receipts % MARKS].at = now + rtt / 2;
    w->receipt[w->receipts++ % MARKS].end = w->sent;
  }
  if (w->ended && !w->shut && w->sent == w->read) { shutdown(w->to, SHUT_WR); w->shut = 1; }
}

static void start(struct way *w, int from, int to, size_t size) {
  memset(w, 0, sizeof *w);
  w->from = from; w->to = to; w->size = size; w->ring = malloc(size);
}

int main(int argc, char **argv) {
  int listeners[8], targets[8], pairs = 0, numbers = 0;
  double number[5] = {0};
  signal(SIGPIPE, SIG_IGN);
  for (int i = 1; i < argc; i++) {
    int a, b;
    if (sscanf(argv[i], "%d=%d", &a, &b) == 2 && pairs < 8) { listeners[pairs] = open_socket(a, 1); targets[pairs++] = b; }
    else if (numbers < 5) number[numbers++] = atof(argv[i]);
  }
  if (numbers < 3 || pairs == 0) return 2;
  rtt = number[0]; bytes_per_ms = number[1] * 125; window = number[2];
  if (numbers == 4) dead_every = number[3];
  if (numbers == 5) { pause_at = number[3]; pause_ms = number[4]; }
  printf("ready\n"); fflush(stdout);
  struct pollfd polls[8];
  for (;;) {
    int busy = 0;
    double now = now_ms();
    for (int i = 0; i < pairs; i++) polls[i] = (struct pollfd){listeners[i], POLLIN, 0};
    for (int i = 0; i < CONNECTIONS; i++) busy |= connections[i].used;
    if (busy) { struct timespec t = {0, 500000}; nanosleep(&t, NULL); }
    if (poll(polls, pairs, busy ? 0 : 1000) > 0) {
      for (int i = 0; i < pairs; i++) {
        int client = polls[i].revents ? accept4(listeners[i], NULL, NULL, SOCK_NONBLOCK) : -1, slot = 0, one = 1;
        if (client < 0) continue;
        int server = open_socket(targets[i], 0);
        while (slot < CONNECTIONS && connections[slot].used) slot++;
        if (server < 0 || slot == CONNECTIONS) { close(client); if (server >= 0) close(server); continue; }
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = &connections[slot];
        c->used = 1; c->born = now_ms(); c->dead = dead_every > 0 && ++opened % dead_every == 0;
        if (started == 0) started = c->born;
        start(&c->up, client, server, 1 << 20);
        start(&c->down, server, client, window);
      }
    }
    now = now_ms();
    static int first;
    first++;
    for (int k = 0; k < CONNECTIONS; k++) {
      struct connection *c = &connections[(first + k) % CONNECTIONS];
      if (!c->used) continue;
      give_out(c, &c->up, now, 0); give_out(c, &c->down, now, 1);
      take_in(c, &c->up, now, 0); take_in(c, &c->down, now, 1);
      if (c->up.shut && c->down.shut) {
        close(c->up.from); close(c->up.to); free(c->up.ring); free(c->down.ring);
        c->used = 0;
      }
    }
  }
}
