/*
 * A line between this machine and itself: cc -O2 -o line line.c; line rtt=50 mbit=1000 window=6291456 [pause=AT,MS] [dead=N] [cut=N] PORT=PORT ...
 * Whoever connects to the first port of a pair is led to the second one on 127.0.0.1, and what comes back arrives rtt/2 ms later, mbit megabits
 * (1e6) a second in all. A connection has window bytes on their way at most: it begins with ten segments and has one more for each that was
 * acknowledged, as TCP's slow start does (RFC 5681; RFC 6928); after a second of rest it begins anew. The first byte of a connection takes one
 * round trip more, as a handshake does. No byte is lost. pause: nothing arrives for MS, AT ms after the first connection. dead: every Nth
 * connection falls silent for ever after a megabyte. cut: every Nth is closed after 20 MB. One thread, steps of half a millisecond.
 * When it is ended (SIGTERM) it prints a line of JSON: bytes that came back; of the time from the tenth megabyte to the last byte its ms and the
 * bytes on their way in the mean; ms from the first connection to the tenth megabyte; connections; the longest step in ms, which says whether the
 * line itself was kept waiting; and the seconds of a processor that it took.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 256
#define MARKS 4096
#define PIECE 65536
#define FIRST_WINDOW 14480
#define QUEUE_MS 2.0
#define CUT_AFTER 20000000
#define FIRST_BULK 10000000

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
struct connection { int used; double born; int dead, cut; struct way up, down; };

static struct connection connections[CONNECTIONS];
static double rtt, bytes_per_ms, line_free, started, pause_at = -1, pause_ms;
static size_t window;
static int dead_every, cut_every, opened;
static volatile sig_atomic_t asked;

/* What is told at the end. */
static struct { double first, last, flying_ms, longest; unsigned long long bytes; } told;

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

static void on_end(int signal) { (void)signal; asked = 1; }

static void tell(void) {
  double ms = told.last - told.first;
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  printf("{\"bytes\":%llu,\"ms\":%.1f,\"flying\":%.0f,\"firstMs\":%.1f,\"connections\":%d,\"longest\":%.1f,\"cpu\":%.2f}\n", told.bytes,
         ms, ms > 0 ? told.flying_ms / ms : 0, told.first - started, opened, told.longest, cpu);
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
    if (is_down && c->cut && w->sent > CUT_AFTER) { shutdown(w->to, SHUT_RDWR); shutdown(w->from, SHUT_RDWR); }
  }
  if (is_down && w->sent != before) {
    told.bytes += w->sent - before;
    if (told.first == 0 && told.bytes > FIRST_BULK) told.first = now;
    told.last = now;
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
  int listeners[8], targets[8], pairs = 0;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, on_end);
  setpriority(PRIO_PROCESS, 0, -20); /* where that is allowed: a line does not wait for a processor */
  for (int i = 1; i < argc; i++) {
    int a, b;
    double value;
    char name[8];
    if (sscanf(argv[i], "%d=%d", &a, &b) == 2 && pairs < 8) { listeners[pairs] = open_socket(a, 1); targets[pairs++] = b; }
    else if (sscanf(argv[i], "pause=%lf,%lf", &pause_at, &pause_ms) == 2) continue;
    else if (sscanf(argv[i], "%7[a-z]=%lf", name, &value) != 2) return 2;
    else if (!strcmp(name, "rtt")) rtt = value;
    else if (!strcmp(name, "mbit")) bytes_per_ms = value * 125;
    else if (!strcmp(name, "window")) window = value;
    else if (!strcmp(name, "dead")) dead_every = value;
    else if (!strcmp(name, "cut")) cut_every = value;
    else return 2;
  }
  if (bytes_per_ms <= 0 || window == 0 || pairs == 0) return 2;
  printf("ready\n"); fflush(stdout);
  struct pollfd polls[8];
  for (double before = now_ms();;) {
    int busy = 0;
    double now = now_ms();
    for (int i = 0; i < pairs; i++) polls[i] = (struct pollfd){listeners[i], POLLIN, 0};
    for (int i = 0; i < CONNECTIONS; i++) busy |= connections[i].used;
    if (busy) { struct timespec t = {0, 500000}; nanosleep(&t, NULL); }
    if (poll(polls, pairs, busy ? 0 : 100) > 0) {
      for (int i = 0; i < pairs; i++) {
        int client = polls[i].revents ? accept4(listeners[i], NULL, NULL, SOCK_NONBLOCK) : -1, slot = 0, one = 1;
        if (client < 0) continue;
        int server = open_socket(targets[i], 0);
        while (slot < CONNECTIONS && connections[slot].used) slot++;
        if (server < 0 || slot == CONNECTIONS) { close(client); if (server >= 0) close(server); continue; }
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = &connections[slot];
        c->used = 1; c->born = now_ms(); opened++;
        c->dead = dead_every > 0 && opened % dead_every == 0; c->cut = cut_every > 0 && opened % cut_every == 0;
        if (started == 0) started = c->born;
        start(&c->up, client, server, 1 << 20);
        start(&c->down, server, client, window);
      }
    }
    now = now_ms();
    if (busy && now - before > told.longest) told.longest = now - before;
    for (int i = 0; i < CONNECTIONS && told.first != 0; i++) {
      if (connections[i].used) told.flying_ms += (connections[i].down.read - connections[i].down.acknowledged) * (now - before);
    }
    before = now;
    if (asked) { tell(); return 0; }
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
