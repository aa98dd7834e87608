/* Puts the packets of a classic pcap file on an interface as fast as the kernel takes them: BPF_PROG_TEST_RUN with live frames.

   packet_generator_xdp INTERFACE FILE PER_SECOND SECONDS receive|transmit

   sendmmsg(2) costs a socket buffer, a copy and a softirq for every packet; the kernel's own way to make frames for an XDP program
   (BPF_F_TEST_XDP_LIVE_FRAMES, Documentation/bpf/bpf_prog_run.rst) costs a page out of a pool. The program, assembled here by hand,
   writes the next packet's kept bytes over the frame and gives it the length it had on the wire; what was not kept is filler.
     receive   XDP_PASS: the frame enters the stack as received on INTERFACE, as from its driver's poll
     transmit  XDP_TX: the frame leaves INTERFACE and arrives at the other end of the pair, which needs NAPI (ethtool -K … gro on)
   The file is sent again and again; TCP sequence numbers go on each time, or every packet would come again.
   PER_SECOND 0: as fast as it goes; else the program passes a frame whenever one is due and drops the rest. Prints how many packets
   were sent and the seconds that took. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tcp_sequence.h"

#define KEPT 96
#define LONGEST 1514
#define RECORD_HEADER 16
#define FILE_HEADER 24

struct packet {
    int64_t longer; /* than LONGEST; never positive */
    uint32_t sequence, step; /* where the first octet of the TCP sequence number stands, and what it gains each time; else 0 */
    uint8_t bytes[KEPT];
};

struct state { /* of the program, shared with it */
    uint64_t sent, next_packet, next_ns, gap_ns, times; /* how often all have been sent */
};

static int fail(const char *what) {
    perror(what);
    return 1;
}

static long bpf(int command, union bpf_attr *attributes) { return syscall(SYS_bpf, command, attributes, sizeof *attributes); }

/* An array map whose values are also memory of this process. */
static void *shared_array(int *map, uint32_t entries, uint32_t size) {
    union bpf_attr create = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = size, .max_entries = entries};
    create.map_flags = BPF_F_MMAPABLE;
    *map = (int)bpf(BPF_MAP_CREATE, &create);
    return *map < 0 ? MAP_FAILED : mmap(NULL, (size_t)entries * size, PROT_READ | PROT_WRITE, MAP_SHARED, *map, 0);
}

static struct bpf_insn program[128];
static int length, exits[8], held_exits;

static void emit(int code, int destination, int source, int offset, int immediate) {
    program[length++] =
        (struct bpf_insn){.code = code, .dst_reg = destination, .src_reg = source, .off = offset, .imm = immediate};
}

static void exit_if(int comparison, int destination, int source, int immediate) {
    exits[held_exits++] = length;
    emit(comparison, destination, source, 0, immediate);
}

/* r0: the value of the map whose index stands at r10 - 4. */
static void look_up(int map) {
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
    emit(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4);
    emit(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map);
    emit(0, 0, 0, 0, 0);
    emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
    exit_if(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0);
}

/* r6 context, r7 state, r8 number of the packet, r9 packet */
static void assemble(int states, int packets, int held, int is_paced, int action) {
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
    emit(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0);
    look_up(states);
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0);
    if (is_paced) {
        emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns);
        emit(BPF_LDX | BPF_MEM | BPF_DW, 1, 7, offsetof(struct state, next_ns), 0);
        exit_if(BPF_JMP | BPF_JGT | BPF_X, 1, 0, 0); /* not due yet */
        emit(BPF_LDX | BPF_MEM | BPF_DW, 2, 7, offsetof(struct state, gap_ns), 0);
        emit(BPF_ALU64 | BPF_ADD | BPF_X, 1, 2, 0, 0);
        emit(BPF_STX | BPF_MEM | BPF_DW, 7, 1, offsetof(struct state, next_ns), 0);
    }
    emit(BPF_LDX | BPF_MEM | BPF_DW, 8, 7, offsetof(struct state, next_packet), 0);
    emit(BPF_STX | BPF_MEM | BPF_W, 10, 8, -4, 0);
    emit(BPF_ALU64 | BPF_ADD | BPF_K, 8, 0, 0, 1);
    emit(BPF_JMP | BPF_JLT | BPF_K, 8, 0, 4, held);
    emit(BPF_LDX | BPF_MEM | BPF_DW, 8, 7, offsetof(struct state, times), 0);
    emit(BPF_ALU64 | BPF_ADD | BPF_K, 8, 0, 0, 1);
    emit(BPF_STX | BPF_MEM | BPF_DW, 7, 8, offsetof(struct state, times), 0);
    emit(BPF_ALU64 | BPF_MOV | BPF_K, 8, 0, 0, 0);
    emit(BPF_STX | BPF_MEM | BPF_DW, 7, 8, offsetof(struct state, next_packet), 0);
    look_up(packets);
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 9, 0, 0, 0);
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
    emit(BPF_LDX | BPF_MEM | BPF_DW, 2, 9, offsetof(struct packet, longer), 0);
    emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_xdp_adjust_tail);
    emit(BPF_LDX | BPF_MEM | BPF_W, 1, 6, offsetof(struct xdp_md, data), 0);
    emit(BPF_LDX | BPF_MEM | BPF_W, 2, 6, offsetof(struct xdp_md, data_end), 0);
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 3, 1, 0, 0);
    emit(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, KEPT);
    exit_if(BPF_JMP | BPF_JGT | BPF_X, 3, 2, 0);
    for (int word = 0; word < KEPT; word += 8) {
        emit(BPF_LDX | BPF_MEM | BPF_DW, 4, 9, (int)offsetof(struct packet, bytes) + word, 0);
        emit(BPF_STX | BPF_MEM | BPF_DW, 1, 4, word, 0);
    }
    emit(BPF_LDX | BPF_MEM | BPF_W, 3, 9, offsetof(struct packet, sequence), 0);
    emit(BPF_ALU64 | BPF_AND | BPF_K, 3, 0, 0, 63); /* as the verifier wants to see */
    emit(BPF_ALU64 | BPF_ADD | BPF_X, 1, 3, 0, 0);
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 3, 1, 0, 0);
    emit(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, 1);
    exit_if(BPF_JMP | BPF_JGT | BPF_X, 3, 2, 0);
    emit(BPF_LDX | BPF_MEM | BPF_W, 3, 9, offsetof(struct packet, step), 0);
    emit(BPF_LDX | BPF_MEM | BPF_DW, 4, 7, offsetof(struct state, times), 0);
    emit(BPF_ALU64 | BPF_MUL | BPF_X, 3, 4, 0, 0);
    emit(BPF_LDX | BPF_MEM | BPF_B, 4, 1, 0, 0);
    emit(BPF_ALU64 | BPF_ADD | BPF_X, 4, 3, 0, 0);
    emit(BPF_STX | BPF_MEM | BPF_B, 1, 4, 0, 0);
    emit(BPF_LDX | BPF_MEM | BPF_DW, 8, 7, offsetof(struct state, sent), 0);
    emit(BPF_ALU64 | BPF_ADD | BPF_K, 8, 0, 0, 1);
    emit(BPF_STX | BPF_MEM | BPF_DW, 7, 8, offsetof(struct state, sent), 0);
    emit(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, action);
    emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    for (int k = 0; k < held_exits; k++) program[exits[k]].off = (int16_t)(length - exits[k] - 1);
    emit(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_DROP);
    emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void on_alarm(int number) { (void)number; } /* the kernel stops at a signal */

int main(int count, char **words) {
    if (count != 6) {
        fprintf(stderr, "usage: %s INTERFACE FILE PER_SECOND SECONDS receive|transmit\n", words[0]);
        return 2;
    }
    const double per_second = atof(words[3]), seconds = atof(words[4]);
    const int file = open(words[2], O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status)) return fail(words[2]);
    const uint8_t *bytes = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (bytes == MAP_FAILED) return fail("mmap");

    uint32_t held = 0, lengths[2]; /* kept, on the wire */
    for (long at = FILE_HEADER; at + RECORD_HEADER <= status.st_size; at += RECORD_HEADER + lengths[0], held++)
        memcpy(lengths, bytes + at + 8, sizeof lengths);
    int packet_map, state_map;
    struct packet *packets = shared_array(&packet_map, held, sizeof *packets);
    struct state *state = shared_array(&state_map, 1, sizeof *state);
    if (packets == MAP_FAILED || state == MAP_FAILED) return fail("BPF_MAP_CREATE");
    held = 0;
    for (long at = FILE_HEADER; at + RECORD_HEADER <= status.st_size; at += RECORD_HEADER + lengths[0], held++) {
        memcpy(lengths, bytes + at + 8, sizeof lengths);
        const uint32_t sent = lengths[1] < KEPT ? KEPT : lengths[1] < LONGEST ? lengths[1] : LONGEST;
        memcpy(packets[held].bytes, bytes + at + RECORD_HEADER, lengths[0] < KEPT ? lengths[0] : KEPT);
        packets[held].longer = (int64_t)sent - LONGEST;
        packets[held].sequence = sequence_place(packets[held].bytes);
        packets[held].step = packets[held].sequence ? STEP : 0;
    }

    assemble(state_map, packet_map, (int)held, per_second > 0, strcmp(words[5], "transmit") ? XDP_PASS : XDP_TX);
    static char log[1 << 16];
    union bpf_attr load = {.prog_type = BPF_PROG_TYPE_XDP, .insns = (uintptr_t)program, .insn_cnt = (uint32_t)length};
    load.license = (uintptr_t) "GPL";
    load.log_buf = (uintptr_t)log;
    load.log_size = sizeof log;
    load.log_level = 1;
    const int loaded = (int)bpf(BPF_PROG_LOAD, &load);
    if (loaded < 0) return fputs(log, stderr), fail("BPF_PROG_LOAD");

    static uint8_t frame[LONGEST];
    struct xdp_md context = {.data_end = LONGEST, .ingress_ifindex = if_nametoindex(words[1])};
    union bpf_attr run = {0};
    run.test.prog_fd = (uint32_t)loaded;
    run.test.data_in = (uintptr_t)frame;
    run.test.data_size_in = LONGEST;
    run.test.ctx_in = (uintptr_t)&context;
    run.test.ctx_size_in = sizeof context;
    run.test.repeat = INT_MAX;
    run.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    struct itimerval until = {.it_value = {(long)seconds, (long)((seconds - (long)seconds) * 1e6)}};
    struct sigaction stop = {.sa_handler = on_alarm};
    if (sigaction(SIGALRM, &stop, NULL) || setitimer(ITIMER_REAL, &until, NULL)) return fail("setitimer");
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin); /* which is the clock of bpf_ktime_get_ns */
    state->next_ns = (uint64_t)begin.tv_sec * 1000000000 + (uint64_t)begin.tv_nsec;
    state->gap_ns = per_second > 0 ? (uint64_t)(1e9 / per_second) : 0;
    const long result = bpf(BPF_PROG_TEST_RUN, &run);
    const int reason = errno;
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double elapsed = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
    errno = reason;
    if (result < 0 && errno != EINTR) return fail("BPF_PROG_TEST_RUN");
    /* The run ended with the signal; the call itself went on a while to take the pool of pages down. */
    printf("%lu %.6f\n", (unsigned long)state->sent, elapsed < seconds ? elapsed : seconds);
    return 0;
}
