/* Thousands of SNMP agents in one process, each at its own loopback address: for benches whose client must be what limits.

   snmp_agents COUNT PORT IMAGES LARGEST

   Agent n answers at 127.1.0.0 + n + 1 on PORT, v1 and v2c under the community "public", and v3 authPriv (SHA-1, AES-128) for the user
   "farm" with the passwords below; its engine id is 80001f8805 and n in four octets. IMAGES is a text file of one or more images, each
   begun by a line "image", of objects in the order of GETNEXT: OID content, tag and value in hexadecimal digits; agent n has image n
   modulo their number. Values of Counter32 and Counter64 of four octets and more grow by a thousand a second and keep their length;
   sysUpTime is the agent's. Answers of GETBULK end where another varbind would make the message longer than LARGEST octets. The list of
   varbinds of an answer is made once for each image and request; what changes in it is written anew each time. It checks neither digests
   nor time: whether a client's messages are right others test. Prints "ready", and its processor time when it is ended. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_ARCS 64
#define MOST_ANSWER 65000
#define TABLE (1 << 16)
#define KEY 20
#define MAC 12
#define BOOTS 1
#define FIRST_TICKS 0x01000000u
#define FIRST_TIME 1000

typedef struct { int arcs, oid_length, length; uint32_t arc[MOST_ARCS]; uint8_t oid[128], tag; uint8_t *value; } Object;
typedef struct { Object *objects; int count; } Image;
typedef struct { int at, length; uint64_t base; } Change; /* length 0: sysUpTime */
typedef struct { uint64_t hash; int image, key_length, length, changes; uint8_t *key, *list; Change *change; } Answer;
typedef struct { int socket, image; uint8_t engine[9], auth[KEY], priv[KEY]; } Agent;
typedef struct { const uint8_t *at, *end; } Reader;

static Image *images;
static int image_count, largest;
static Answer *answers;
static uint64_t began_ms, salt = 1;
static unsigned long answered;
static volatile sig_atomic_t is_over;

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void over(int number) {
    (void)number;
    is_over = 1;
}

/* One element; 0 when there is none. */
static int read_element(Reader *reader, uint8_t *tag, Reader *content) {
    if (reader->end - reader->at < 2) return 0;
    *tag = reader->at[0];
    size_t length = reader->at[1];
    reader->at += 2;
    if (length & 0x80) {
        int octets = length & 0x7f;
        if (octets > 2 || reader->end - reader->at < octets) return 0;
        for (length = 0; octets; octets--) length = length << 8 | *reader->at++;
    }
    if ((size_t)(reader->end - reader->at) < length) return 0;
    content->at = reader->at;
    content->end = reader->at += length;
    return 1;
}

static uint32_t number_of(Reader content) {
    uint32_t value = 0;
    while (content.at < content.end) value = value << 8 | *content.at++;
    return value;
}

/* Tag and length in two octets behind 82, whatever the length: places are known before content is. */
static uint8_t *write_header(uint8_t *at, uint8_t tag, int length) {
    at[0] = tag;
    at[1] = 0x82;
    at[2] = length >> 8;
    at[3] = length;
    return at + 4;
}

static uint8_t *write_octets(uint8_t *at, uint8_t tag, const void *octets, int length) {
    at[0] = tag;
    at[1] = length;
    memcpy(at + 2, octets, length);
    return at + 2 + length;
}

static int split(const uint8_t *oid, int length, uint32_t *arc) {
    int count = 0;
    uint32_t value = 0;
    for (int i = 0; i < length && count < MOST_ARCS; i++) {
        value = value << 7 | (oid[i] & 0x7f);
        if (!(oid[i] & 0x80)) {
            arc[count++] = value;
            value = 0;
        }
    }
    return count;
}

static int compare(const uint32_t *one, int ones, const uint32_t *other, int others) {
    for (int i = 0; i < ones && i < others; i++)
        if (one[i] != other[i]) return one[i] < other[i] ? -1 : 1;
    return ones - others;
}

/* The first object not before `arc`, or behind it. */
static int find(const Image *image, const uint32_t *arc, int arcs, int is_behind) {
    int low = 0, high = image->count;
    while (low < high) {
        int middle = (low + high) / 2, order = compare(image->objects[middle].arc, image->objects[middle].arcs, arc, arcs);
        if (order < 0 || (order == 0 && is_behind)) low = middle + 1; else high = middle;
    }
    return low;
}

static const uint8_t SYS_UP_TIME[] = {0x2b, 6, 1, 2, 1, 1, 3, 0};

/* A varbind at the end of an answer's list; 0 when it does not fit. */
static int add(Answer *answer, const uint8_t *oid, int oid_length, uint8_t tag, const uint8_t *value, int length, int room) {
    int size = 4 + oid_length + 2 + (length > 127 ? 1 : 0) + length, head = size - 2;
    if (answer->length + size + 2 > room) return 0;
    uint8_t *at = answer->list + answer->length;
    *at++ = 0x30;
    if (head > 127) *at++ = 0x81;
    *at++ = head;
    at = write_octets(at, 6, oid, oid_length);
    *at++ = tag;
    if (length > 127) *at++ = 0x81;
    *at++ = length;
    memcpy(at, value, length);
    int is_up_time = oid_length == sizeof SYS_UP_TIME && !memcmp(oid, SYS_UP_TIME, oid_length);
    if (is_up_time || ((tag == 0x41 || tag == 0x46) && length >= 4)) {
        Change *change = &answer->change[answer->changes++];
        change->at = at - answer->list;
        change->length = is_up_time ? 0 : length;
        change->base = 0;
        for (int i = 0; i < length; i++) change->base = change->base << 8 | value[i];
    }
    answer->length = at + length - answer->list;
    return 1;
}

static int add_next(Answer *answer, const Image *image, uint32_t *arc, int *arcs, int is_exact, int room, const uint8_t *oid, int length) {
    int place = find(image, arc, *arcs, !is_exact);
    const Object *object = &image->objects[place];
    if (is_exact && (place == image->count || compare(object->arc, object->arcs, arc, *arcs)))
        return add(answer, oid, length, 0x81, oid, 0, room);
    if (place == image->count) return add(answer, oid, length, 0x82, oid, 0, room);
    memcpy(arc, object->arc, sizeof *arc * object->arcs);
    *arcs = object->arcs;
    return add(answer, object->oid, object->oid_length, object->tag, object->value, object->length, room);
}

static void make(Answer *answer, const Image *image, uint8_t tag, Reader rest, int room) {
    uint8_t found;
    Reader non_repeaters, repetitions, list, varbind, oid;
    static uint32_t arc[512][MOST_ARCS];
    static int arcs[512];
    static Reader names[512];
    int count = 0;
    if (!read_element(&rest, &found, &non_repeaters) || !read_element(&rest, &found, &repetitions) || !read_element(&rest, &found, &list))
        return;
    while (count < 512 && read_element(&list, &found, &varbind) && read_element(&varbind, &found, &oid)) {
        arcs[count] = split(oid.at, oid.end - oid.at, arc[count]);
        names[count++] = oid;
    }
    int once = tag == 0xa5 ? (int)number_of(non_repeaters) : count, times = tag == 0xa5 ? (int)number_of(repetitions) : 0;
    for (int i = 0; i < once && i < count; i++)
        if (!add_next(answer, image, arc[i], &arcs[i], tag == 0xa0, room, names[i].at, names[i].end - names[i].at)) return;
    for (int row = 0; row < times; row++)
        for (int i = once; i < count; i++)
            if (!add_next(answer, image, arc[i], &arcs[i], 0, room, names[i].at, names[i].end - names[i].at)) return;
}

static Answer *answer_of(int image, uint8_t tag, Reader rest, int room) {
    uint64_t hash = 1469598103934665603u ^ tag ^ (uint64_t)image << 32 ^ (uint64_t)room << 40;
    int length = rest.end - rest.at;
    for (const uint8_t *at = rest.at; at + 8 <= rest.end; at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * 1099511628211u;
        hash ^= hash >> 29;
    }
    for (const uint8_t *at = rest.end - length % 8; at < rest.end; at++) hash = (hash ^ *at) * 1099511628211u;
    for (uint64_t i = hash;; i++) {
        Answer *answer = &answers[i % TABLE];
        if (answer->key && answer->hash == hash && answer->image == image && answer->key_length == length && !memcmp(answer->key, rest.at, length))
            return answer;
        if (answer->key) continue;
        answer->hash = hash, answer->image = image, answer->key_length = length;
        answer->key = malloc(length + 1), answer->list = malloc(MOST_ANSWER), answer->change = malloc(sizeof(Change) * 4096);
        memcpy(answer->key, rest.at, length);
        make(answer, &images[image], tag, rest, room);
        answer->list = realloc(answer->list, answer->length + 1);
        answer->change = realloc(answer->change, sizeof(Change) * (answer->changes + 1));
        return answer;
    }
}

/* The Response-PDU to a request that is given with tag and length; returns where it ends, or NULL. */
static uint8_t *respond(int image, Reader request, uint8_t *at, int around) {
    uint8_t tag, found;
    Reader pdu, id;
    if (!read_element(&request, &tag, &pdu) || !read_element(&pdu, &found, &id)) return NULL;
    Answer *answer = answer_of(image, tag, pdu, largest - around);
    int id_length = id.end - id.at;
    at = write_header(at, 0xa2, 2 + id_length + 6 + 4 + answer->length);
    at = write_octets(at, 2, id.at, id_length);
    memcpy(at, "\2\1\0\2\1\0", 6);
    at = write_header(at + 6, 0x30, answer->length);
    memcpy(at, answer->list, answer->length);
    uint64_t elapsed = now_ms() - began_ms;
    for (int i = 0; i < answer->changes; i++) {
        Change *change = &answer->change[i];
        uint64_t value = change->length ? change->base + elapsed : FIRST_TICKS + elapsed / 10;
        for (int k = (change->length ? change->length : 4) - 1; k >= 0; k--, value >>= 8) at[change->at + k] = value;
    }
    return at + answer->length;
}

static int password_key(const char *password, uint8_t *key) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int length = strlen(password);
    EVP_DigestInit_ex(context, EVP_sha1(), NULL);
    for (int done = 0; done < 1 << 20; done += length) EVP_DigestUpdate(context, password, done + length > 1 << 20 ? (1 << 20) - done : length);
    EVP_DigestFinal_ex(context, key, NULL);
    EVP_MD_CTX_free(context);
    return KEY;
}

static void localise(const uint8_t *key, const uint8_t *engine, uint8_t *local) {
    uint8_t octets[2 * KEY + 9];
    memcpy(octets, key, KEY);
    memcpy(octets + KEY, engine, 9);
    memcpy(octets + KEY + 9, key, KEY);
    EVP_Digest(octets, sizeof octets, local, NULL, EVP_sha1(), NULL);
}

static void crypt_octets(int is_encrypting, const uint8_t *key, uint32_t boots, uint32_t time, const uint8_t *salt_octets, const uint8_t *in, int length, uint8_t *out) {
    static EVP_CIPHER_CTX *context;
    int done;
    uint8_t vector[16] = {boots >> 24, boots >> 16, boots >> 8, boots, time >> 24, time >> 16, time >> 8, time};
    memcpy(vector + 8, salt_octets, 8);
    if (!context) context = EVP_CIPHER_CTX_new();
    EVP_CipherInit_ex(context, EVP_aes_128_cfb128(), NULL, key, vector, is_encrypting);
    EVP_CipherUpdate(context, out, &done, in, length);
}

/* A v3 message around a scoped PDU; flags 0: neither digest nor encryption. */
static int seal(Agent *agent, Reader id, int flags, const uint8_t *scoped, int length, uint8_t *out) {
    uint8_t security[128], *at = security, salt_octets[8], body[128], *head = body;
    uint32_t time = FIRST_TIME + (now_ms() - began_ms) / 1000;
    uint8_t time_octets[4] = {time >> 24, time >> 16, time >> 8, time};
    int is_sealed = flags & 2;
    salt++;
    memcpy(salt_octets, &salt, 8);
    at = write_octets(at, 4, agent->engine, 9);
    at = write_octets(at, 2, "\1", 1);
    at = write_octets(at, 2, time_octets, 4);
    at = write_octets(at, 4, "farm", is_sealed ? 4 : 0);
    int mac_at = at + 2 - security;
    at = write_octets(at, 4, "\0\0\0\0\0\0\0\0\0\0\0\0", is_sealed ? MAC : 0);
    at = write_octets(at, 4, salt_octets, is_sealed ? 8 : 0);
    uint8_t flag = flags, global[64], *g = global;
    g = write_octets(g, 2, id.at, id.end - id.at);
    g = write_octets(g, 2, "\0\xff\xe3", 3);
    g = write_octets(g, 4, &flag, 1);
    g = write_octets(g, 2, "\3", 1);
    head = write_octets(head, 2, "\3", 1);
    head = write_octets(head, 0x30, global, g - global);
    int security_length = at - security, head_length = head - body;
    uint8_t *place = write_header(out, 0x30, head_length + 4 + security_length + (is_sealed ? 4 : 0) + length);
    memcpy(place, body, head_length);
    place += head_length;
    place[0] = 4, place[1] = security_length + 2, place[2] = 0x30, place[3] = security_length;
    memcpy(place + 4, security, security_length);
    uint8_t *mac = place + 4 + mac_at;
    place += 4 + security_length;
    if (is_sealed) {
        place = write_header(place, 4, length);
        crypt_octets(1, agent->priv, BOOTS, time, salt_octets, scoped, length, place);
    } else {
        memcpy(place, scoped, length);
    }
    int size = place + length - out;
    if (is_sealed) {
        uint8_t digest[EVP_MAX_MD_SIZE];
        HMAC(EVP_sha1(), agent->auth, KEY, out, size, digest, NULL);
        memcpy(mac, digest, MAC);
    }
    return size;
}

static int answer_v3(Agent *agent, Reader message, uint8_t *out) {
    uint8_t tag;
    Reader global, id, rest, flags, security, inner, engine, boots, time, user, mac, salt_octets, data, scoped;
    static uint8_t plain[MOST_ANSWER], answer[MOST_ANSWER];
    if (!read_element(&message, &tag, &global) || !read_element(&global, &tag, &id) || !read_element(&global, &tag, &rest)) return 0;
    if (!read_element(&global, &tag, &flags) || !read_element(&message, &tag, &security) || !read_element(&security, &tag, &inner)) return 0;
    if (!read_element(&inner, &tag, &engine) || !read_element(&inner, &tag, &boots) || !read_element(&inner, &tag, &time)) return 0;
    if (!read_element(&inner, &tag, &user) || !read_element(&inner, &tag, &mac) || !read_element(&inner, &tag, &salt_octets)) return 0;
    uint8_t context[] = {4, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0};
    memcpy(context + 2, agent->engine, 9);
    uint8_t *at = answer + 4;
    memcpy(at, context, sizeof context);
    at += sizeof context;
    if (engine.end - engine.at != 9 || memcmp(engine.at, agent->engine, 9) || !(*flags.at & 2)) {
        static const uint8_t report[] = {0xa8, 0x1a, 2, 1, 0, 2, 1, 0, 2, 1, 0, 0x30, 0xf, 0x30, 0xd, 6, 8 + 2 - 0, 0x2b, 6, 1, 6, 3, 15, 1, 1, 4, 0, 0x41, 1, 1};
        memcpy(at, report, sizeof report);
        at[1] = sizeof report - 2, at[12] = sizeof report - 13, at[14] = sizeof report - 15;
        at += sizeof report;
        write_header(answer, 0x30, at - answer - 4);
        return seal(agent, id, 0, answer, at - answer, out);
    }
    if (!read_element(&message, &tag, &data) || salt_octets.end - salt_octets.at != 8) return 0;
    crypt_octets(0, agent->priv, number_of(boots), number_of(time), salt_octets.at, data.at, data.end - data.at, plain);
    Reader whole = {plain, plain + (data.end - data.at)};
    if (!read_element(&whole, &tag, &scoped) || tag != 0x30 || !read_element(&scoped, &tag, &rest) || !read_element(&scoped, &tag, &rest)) return 0;
    at = respond(agent->image, scoped, at, 160);
    if (!at) return 0;
    write_header(answer, 0x30, at - answer - 4);
    return seal(agent, id, 3, answer, at - answer, out);
}

static int answer_to(Agent *agent, const uint8_t *in, int length, uint8_t *out) {
    uint8_t tag;
    Reader datagram = {in, in + length}, message, version, community;
    if (!read_element(&datagram, &tag, &message) || tag != 0x30 || !read_element(&message, &tag, &version)) return 0;
    if (number_of(version) == 3) return answer_v3(agent, message, out);
    if (!read_element(&message, &tag, &community) || community.end - community.at != 6 || memcmp(community.at, "public", 6)) return 0;
    uint8_t *at = out + 4;
    at = write_octets(at, 2, version.at, 1);
    at = write_octets(at, 4, "public", 6);
    at = respond(agent->image, message, at, 48);
    if (!at) return 0;
    write_header(out, 0x30, at - out - 4);
    return at - out;
}

static int octets_of(const char *digits, uint8_t *octets) {
    int count = 0;
    unsigned octet;
    for (; sscanf(digits, "%2x", &octet) == 1; digits += 2) octets[count++] = octet;
    return count;
}

static int load(const char *path) {
    FILE *file = fopen(path, "r");
    static char line[4096], oid[1024], value[2048];
    static uint8_t octets[1024];
    unsigned tag;
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        if (!strncmp(line, "image", 5)) {
            images = realloc(images, sizeof(Image) * ++image_count);
            images[image_count - 1] = (Image){NULL, 0};
            continue;
        }
        value[0] = 0;
        if (!image_count || sscanf(line, "%1023s %x %2047s", oid, &tag, value) < 2) continue;
        Image *image = &images[image_count - 1];
        image->objects = realloc(image->objects, sizeof(Object) * (image->count + 1));
        Object *object = &image->objects[image->count++];
        object->oid_length = octets_of(oid, object->oid);
        object->arcs = split(object->oid, object->oid_length, object->arc);
        object->tag = tag;
        object->length = octets_of(value, octets);
        object->value = malloc(object->length + 1);
        memcpy(object->value, octets, object->length);
    }
    fclose(file);
    return image_count;
}

int main(int count, char **words) {
    if (count != 5 || !load(words[3])) return fprintf(stderr, "snmp_agents COUNT PORT IMAGES LARGEST\n"), 1;
    int agents = atoi(words[1]), port = atoi(words[2]), poll = epoll_create1(0), buffer = 1 << 20;
    largest = atoi(words[4]);
    began_ms = now_ms();
    answers = calloc(TABLE, sizeof(Answer));
    Agent *agent = calloc(agents, sizeof(Agent));
    struct rlimit files = {agents + 64, agents + 64};
    setrlimit(RLIMIT_NOFILE, &files);
    uint8_t auth[KEY], priv[KEY];
    password_key("authpass123", auth);
    password_key("privpass123", priv);
    for (int i = 0; i < agents; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f010000u + i + 1)};
        agent[i].socket = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        agent[i].image = i % image_count;
        setsockopt(agent[i].socket, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        if (bind(agent[i].socket, (struct sockaddr *)&address, sizeof address)) return perror("bind"), 1;
        uint8_t engine[9] = {0x80, 0, 0x1f, 0x88, 5, i >> 24, i >> 16, i >> 8, i};
        memcpy(agent[i].engine, engine, 9);
        localise(auth, engine, agent[i].auth);
        localise(priv, engine, agent[i].priv);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &agent[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, agent[i].socket, &event);
    }
    signal(SIGTERM, over);
    signal(SIGINT, over);
    printf("ready\n");
    fflush(stdout);
    static uint8_t in[MOST_ANSWER], out[MOST_ANSWER];
    struct epoll_event events[256];
    while (!is_over) {
        int ready = epoll_wait(poll, events, 256, 1000);
        for (int i = 0; i < ready; i++) {
            Agent *asked = events[i].data.ptr;
            for (int k = 0; k < 16; k++) {
                struct sockaddr_in from;
                socklen_t size = sizeof from;
                int length = recvfrom(asked->socket, in, sizeof in, 0, (struct sockaddr *)&from, &size);
                if (length <= 0) break;
                int octets = answer_to(asked, in, length, out);
                if (octets && sendto(asked->socket, out, octets, 0, (struct sockaddr *)&from, size) == octets) answered++;
            }
        }
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("answers %lu seconds %.3f\n", answered, used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
