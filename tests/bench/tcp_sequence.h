/* What a generator needs to let TCP go on when it sends the same packets once more. */
#include <stdint.h>

#define STEP 16 /* of the highest octet of a sequence number: 256 MB, more than any stream of a capture has */

/* Where the sequence number of TCP stands in a frame without IP options or extension headers, tagged once or not; else 0. */
static uint32_t sequence_place(const uint8_t *frame) {
    const uint32_t at = frame[12] == 0x81 && !frame[13] ? 18 : 14;
    if (frame[at - 2] == 0x08 && !frame[at - 1] && frame[at] == 0x45 && frame[at + 9] == 6) return at + 24;
    if (frame[at - 2] == 0x86 && frame[at - 1] == 0xDD && frame[at + 6] == 6) return at + 44;
    return 0;
}
