/* Sends the packets of a classic pcap file over an interface, again and again, bounded in packets and in time.

   packet_generator INTERFACE FILE PACKETS PER_SECOND SECONDS

   TCP sequence numbers go on each time, or every packet would come again. PER_SECOND 0: as fast as it goes. sendmmsg(2) with PACKET_QDISC_BYPASS (packet(7)). A packet leaves with the length it had on
   the wire, zeros behind what the file kept. Prints how many packets were sent and the seconds that took. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tcp_sequence.h"

#define BATCH 64
#define LONGEST 1514
#define RECORD_HEADER 16
#define FILE_HEADER 24

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int fail(const char *what) {
    perror(what);
    return 1;
}

int main(int count, char **words) {
    static uint8_t padding[LONGEST];
    if (count != 6) {
        fprintf(stderr, "usage: %s INTERFACE FILE PACKETS PER_SECOND SECONDS\n", words[0]);
        return 2;
    }
    const long wanted = atol(words[3]);
    const double per_second = atof(words[4]), seconds = atof(words[5]);
    const int file = open(words[2], O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status)) return fail(words[2]);
    uint8_t *bytes = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (bytes == MAP_FAILED) return fail("mmap");

    long held = 0;
    struct iovec(*parts)[2] = malloc(sizeof *parts * (status.st_size / RECORD_HEADER + 1));
    uint8_t **sequences = malloc(sizeof *sequences * (status.st_size / RECORD_HEADER + 1)); /* their first octets */
    long streams = 0;
    if (!parts || !sequences) return fail("malloc");
    for (long at = FILE_HEADER; at + RECORD_HEADER <= status.st_size;) {
        uint32_t length[2]; /* kept, on the wire */
        memcpy(length, bytes + at + 8, sizeof length);
        const uint32_t sent = length[1] < LONGEST ? length[1] : LONGEST;
        const uint32_t kept = length[0] < sent ? length[0] : sent;
        const uint32_t place = kept >= 64 ? sequence_place(bytes + at + RECORD_HEADER) : 0;
        if (place) sequences[streams++] = bytes + at + RECORD_HEADER + place;
        parts[held][0] = (struct iovec){bytes + at + RECORD_HEADER, kept};
        parts[held++][1] = (struct iovec){padding, sent - kept};
        at += RECORD_HEADER + length[0];
    }
    if (!held) {
        fprintf(stderr, "%s has no packets\n", words[2]);
        return 1;
    }

    const int sender = socket(AF_PACKET, SOCK_RAW, 0);
    const int one = 1, buffer = 64 << 20;
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(words[1])};
    if (sender < 0) return fail("socket");
    if (setsockopt(sender, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one)) return fail("PACKET_QDISC_BYPASS");
    if (setsockopt(sender, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer)) return fail("SO_SNDBUFFORCE");
    if (bind(sender, (struct sockaddr *)&address, sizeof address)) return fail("bind");

    struct mmsghdr messages[BATCH];
    memset(messages, 0, sizeof messages);
    const double begin = now();
    long sent = 0, times = 0;
    double elapsed = 0;
    while (sent < wanted && (elapsed = now() - begin) < seconds) {
        const double early = per_second > 0 ? sent / per_second - elapsed : 0;
        if (early > 0) {
            if (early > 2e-4) nanosleep(&(struct timespec){0, (long)(early < 0.5 ? early * 5e8 : 2.5e8)}, NULL);
            continue;
        }
        long most = wanted - sent < BATCH ? wanted - sent : BATCH;
        if (most > held - sent % held) most = held - sent % held; /* the next time begins with a batch */
        if (sent / held > times) {
            for (long k = 0; k < streams; k++) *sequences[k] += STEP;
            times = sent / held;
        }
        for (int k = 0; k < most; k++) {
            struct iovec *part = parts[(sent + k) % held];
            messages[k].msg_hdr.msg_iov = part;
            messages[k].msg_hdr.msg_iovlen = part[1].iov_len ? 2 : 1;
        }
        const int taken = sendmmsg(sender, messages, (unsigned)most, 0);
        if (taken > 0)
            sent += taken;
        else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
            return fail("sendmmsg");
    }
    printf("%ld %.6f\n", sent, now() - begin);
    return 0;
}
