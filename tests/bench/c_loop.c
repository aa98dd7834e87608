/* The work of netmote's capture reader and flow meter as a plain loop in C: the limit that the benches hold it against.

   c_loop FILE         reads a classic pcap file (little-endian, microseconds, Ethernet), meters it
   c_loop FILE alone   decodes all of it first, then prints what metering alone costs, in ns of CPU a packet

   The same key (addresses, ports, protocol, version, VLAN), both directions in one flow, and the same counters: octets, packets, sum
   of squares, gaps (sum, squares, extremes), flags and expected sequence number by direction; extremes of length and time to live,
   first and last, SYN, FIN, RST, retransmissions by flow. Every five seconds of event time each flow's slice is written out
   and begun anew. Left out, because the generated captures have none: ICMP, DNS, fragments, timeouts, a full table, damaged packets.
   Hash slots are prefetched a batch of packets ahead. Prints packets, flows, slices, and sums that must be netmote's. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PANE_NS 5000000000ull
#define SECOND_NS 1000000000ull
#define CAPACITY (1u << 18)
#define SLOTS (2 * CAPACITY)
#define BATCH 256
#define CHUNK (8u << 20)
#define NEVER INT64_MIN

struct end {
    uint64_t address[2];
    uint16_t port;
};

struct packet {
    int64_t time;
    struct end low, high;
    uint64_t hash, class; /* protocol, version, VLAN */
    uint32_t length, sequence, payload;
    uint8_t flags, ttl, is_reversed;
};

struct half {
    uint64_t octets, squares, gap_sum, gap_squares;
    int64_t last;
    uint32_t packets, gap_least, gap_most, expected, retransmissions;
    uint8_t flags, has_expected;
};

struct flow {
    struct end low, high;
    uint64_t class;
    int64_t start, first;
    uint32_t shortest, longest, syns, fins, resets;
    uint8_t ttl_least, ttl_most, initiator;
    struct half halves[2];
};

static struct flow flows[CAPACITY];
static uint32_t slots[SLOTS]; /* row + 1 */
static uint32_t held;
static struct flow *slices; /* of a pane */
static uint64_t slices_written, sums[5];
static int64_t pane = -1;

static uint64_t mixed(uint64_t a) {
    a = (a ^ (a >> 32)) * 0x9e3779b97f4a7c15ull;
    return (a ^ (a >> 29)) * 0xbf58476d1ce4e5b9ull;
}

static int is_before(const struct end *a, const struct end *b) {
    if (a->address[0] != b->address[0]) return a->address[0] < b->address[0];
    if (a->address[1] != b->address[1]) return a->address[1] < b->address[1];
    return a->port < b->port;
}

static uint16_t big16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

/* 1 when it is a whole TCP or UDP packet over IPv4 or IPv6. */
static int decode(const uint8_t *record, struct packet *out) {
    uint32_t head[4];
    memcpy(head, record, sizeof head);
    const uint8_t *at = record + 16 + 12, *end = record + 16 + head[2];
    uint64_t tag = 0;
    if (big16(at) == 0x8100) tag = big16(at + 2) & 0xfff, at += 4;
    struct end from = {{0, 0}, 0}, to = {{0, 0}, 0};
    const uint16_t type = big16(at);
    uint8_t protocol;
    at += 2;
    const uint8_t *transport;
    if (type == 0x0800 && at[0] == 0x45) {
        uint32_t addresses[2];
        memcpy(addresses, at + 12, sizeof addresses);
        from.address[1] = addresses[0], to.address[1] = addresses[1];
        protocol = at[9], out->ttl = at[8], out->length = big16(at + 2), transport = at + 20;
    } else if (type == 0x86dd) {
        memcpy(from.address, at + 8, 16), memcpy(to.address, at + 24, 16);
        protocol = at[6], out->ttl = at[7], out->length = 40u + big16(at + 4), transport = at + 40;
    } else
        return 0;
    if (transport + 20 > end || (protocol != 6 && protocol != 17)) return 0;
    from.port = big16(transport), to.port = big16(transport + 2);
    out->flags = protocol == 6 ? transport[13] : 0;
    out->payload = 0;
    if (protocol == 6) {
        memcpy(&out->sequence, transport + 4, 4);
        out->sequence = __builtin_bswap32(out->sequence);
        out->payload = out->length - (uint32_t)(transport - at) - (transport[12] >> 4) * 4u;
    }
    out->time = (int64_t)(head[0] * SECOND_NS + head[1] * 1000ull);
    out->class = (uint64_t)protocol | (type == 0x0800 ? 4u : 6u) << 8 | tag << 16;
    out->is_reversed = !is_before(&from, &to);
    out->low = out->is_reversed ? to : from;
    out->high = out->is_reversed ? from : to;
    out->hash = mixed(out->low.address[0] ^ mixed(out->low.address[1] ^ (uint64_t)out->low.port << 48 ^ out->class));
    out->hash = mixed(out->hash ^ out->high.address[0] ^ mixed(out->high.address[1] ^ (uint64_t)out->high.port << 48));
    return 1;
}

static void begin_half(struct half *half) {
    const struct half blank = {.last = half->last, .expected = half->expected, .has_expected = half->has_expected};
    *half = blank;
    half->gap_least = UINT32_MAX;
}

static void begin_pane(struct flow *flow) {
    flow->first = INT64_MAX;
    flow->shortest = UINT32_MAX, flow->longest = 0, flow->ttl_least = 255, flow->ttl_most = 0;
    flow->syns = flow->fins = flow->resets = 0;
    begin_half(&flow->halves[0]), begin_half(&flow->halves[1]);
}

static void close_pane(int is_final) {
    uint32_t written = 0;
    for (uint32_t row = 0; row < held; row++) {
        struct flow *flow = &flows[row];
        if (!is_final && !(flow->halves[0].packets | flow->halves[1].packets)) continue; /* at last each flow is told to end */
        slices[written++] = *flow;
        for (int k = 0; k < 2; k++) {
            const struct half *half = &flow->halves[k];
            sums[0] += half->octets, sums[1] += half->squares, sums[2] += half->gap_sum, sums[3] += half->gap_squares;
            sums[4] += half->retransmissions;
        }
        begin_pane(flow);
    }
    slices_written += written;
}

static struct flow *found(const struct packet *packet) {
    uint32_t slot = (uint32_t)(packet->hash >> 45) & (SLOTS - 1);
    for (; slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
        struct flow *flow = &flows[slots[slot] - 1];
        if (flow->class == packet->class && !memcmp(flow->low.address, packet->low.address, 16) && flow->low.port == packet->low.port &&
            !memcmp(flow->high.address, packet->high.address, 16) && flow->high.port == packet->high.port)
            return flow;
    }
    if (held == CAPACITY) fprintf(stderr, "the table is full\n"), exit(1);
    slots[slot] = held + 1;
    struct flow *flow = &flows[held++];
    flow->low = packet->low, flow->high = packet->high, flow->class = packet->class;
    flow->start = packet->time;
    flow->initiator = packet->is_reversed ^ ((packet->flags & 0x12) == 0x12);
    flow->halves[0].last = flow->halves[1].last = NEVER;
    begin_pane(flow);
    return flow;
}

static void meter(const struct packet *packet) {
    const int64_t now = packet->time / (int64_t)PANE_NS;
    if (now > pane) {
        if (pane >= 0) close_pane(0);
        pane = now;
    }
    struct flow *flow = found(packet);
    struct half *half = &flow->halves[packet->is_reversed];
    const uint32_t length = packet->length;
    if (packet->time < flow->first) flow->first = packet->time;
    if (length < flow->shortest) flow->shortest = length;
    if (length > flow->longest) flow->longest = length;
    if (packet->ttl < flow->ttl_least) flow->ttl_least = packet->ttl;
    if (packet->ttl > flow->ttl_most) flow->ttl_most = packet->ttl;
    half->packets++;
    half->octets += length;
    half->squares += (uint64_t)length * length;
    if (half->last != NEVER) {
        const uint64_t gap = packet->time > half->last ? (uint64_t)(packet->time - half->last) / 1000 : 0;
        const uint32_t bounded = gap > UINT32_MAX ? UINT32_MAX : (uint32_t)gap;
        half->gap_sum += gap, half->gap_squares += gap * gap;
        if (bounded < half->gap_least) half->gap_least = bounded;
        if (bounded > half->gap_most) half->gap_most = bounded;
    }
    if (packet->time > half->last) half->last = packet->time;
    half->flags |= packet->flags;
    flow->syns += (packet->flags & 0x12) == 2, flow->fins += packet->flags & 1, flow->resets += (packet->flags & 4) != 0;
    if (packet->payload) {
        if (half->has_expected && (int32_t)(packet->sequence - half->expected) < 0) half->retransmissions++;
        else half->expected = packet->sequence + packet->payload, half->has_expected = 1;
    }
}

static void meter_all(const struct packet *packets, size_t count) {
    for (size_t k = 0; k < count; k++) __builtin_prefetch(&slots[(packets[k].hash >> 45) & (SLOTS - 1)]);
    for (size_t k = 0; k < count; k++) {
        const uint32_t row = slots[(packets[k].hash >> 45) & (SLOTS - 1)];
        if (row) {
            __builtin_prefetch(&flows[row - 1]);
            __builtin_prefetch((const uint8_t *)&flows[row - 1] + 64);
            __builtin_prefetch(&flows[row - 1].halves[packets[k].is_reversed]);
        }
    }
    for (size_t k = 0; k < count; k++) meter(&packets[k]);
}

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

int main(int count, char **words) {
    if (count < 2) return 2;
    const int file = open(words[1], O_RDONLY), is_alone = count > 2;
    static uint8_t buffer[CHUNK];
    static struct packet batch[BATCH];
    struct packet *all = NULL;
    slices = malloc(CAPACITY * sizeof *slices);
    size_t packets = 0, undecodable = 0, room = 0, in_batch = 0, kept = 0, at;
    ssize_t got = 0;
    if (file < 0 || !slices || read(file, buffer, 24) != 24) return perror(words[1]), 1;
    while ((got = read(file, buffer + kept, CHUNK - kept)) > 0) {
        kept += (size_t)got;
        for (at = 0; at + 16 <= kept;) {
            uint32_t captured;
            memcpy(&captured, buffer + at + 8, 4);
            if (at + 16 + captured > kept) break;
            if (decode(buffer + at, &batch[in_batch])) {
                packets++;
                if (++in_batch == BATCH) {
                    if (is_alone) {
                        if (packets > room && !(all = realloc(all, (room = 2 * packets + 65536) * sizeof *all))) return 1;
                        memcpy(all + packets - BATCH, batch, sizeof batch);
                    } else
                        meter_all(batch, BATCH);
                    in_batch = 0;
                }
            } else
                undecodable++;
            at += 16 + captured;
        }
        memmove(buffer, buffer + at, kept -= at);
    }
    if (is_alone) {
        packets -= in_batch;
        double spent[6];
        for (int round = 0; round < 6; round++) { /* the first fills the table; panes are not closed, as in the bench of netmote */
            for (size_t k = 0; round && k < packets; k++) all[k].time += 25 * (int64_t)SECOND_NS;
            pane = INT64_MAX;
            const double begin = cpu_ns();
            for (size_t k = 0; k < packets; k += BATCH) meter_all(all + k, BATCH);
            spent[round] = (cpu_ns() - begin) / (double)packets;
        }
        qsort(spent + 1, 5, sizeof *spent, by_size);
        printf("%.3f %u\n", spent[3], held);
        return 0;
    }
    meter_all(batch, in_batch);
    close_pane(1);
    printf("%zu %u %lu", packets, held, (unsigned long)slices_written);
    for (int k = 0; k < 5; k++) printf(" %lu", (unsigned long)sums[k]);
    puts("");
    return undecodable || kept;
}
