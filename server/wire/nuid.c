/* nuid.c - identities. Happy path: a generator a thread, seeded once from the kernel; nothing can fail. Ids
 * follow the NUID scheme: a random prefix of 12 characters, then a counter of 10 that starts anywhere and
 * grows in random steps, so one thread never repeats itself and two threads or servers meet only if their
 * prefixes do. */
#include "wire/nuid.h"

#include <stdbool.h>
#include <string.h>

#include "base/must.h"
#include "base/rng.h"

enum { PREFIX_LEN = 12, SEQ_LEN = NUID_LEN - PREFIX_LEN, STEP_MIN = 33, STEP_MAX = 333 };

#define SEQ_END UINT64_C(839299365868340224) /* 62^10 */

static const char base62[62 + 1] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

struct nuid {
    bool ready;
    struct rng rng;
    char prefix[PREFIX_LEN];
    uint64_t seq, step;
};

static void prefix_renew(struct nuid *u) {
    uint8_t bytes[PREFIX_LEN];
    random_bytes(bytes, sizeof bytes);
    for (int i = 0; i < PREFIX_LEN; i++) u->prefix[i] = base62[bytes[i] % 62];
    u->seq = rng_below(&u->rng, SEQ_END);
    u->step = STEP_MIN + rng_below(&u->rng, STEP_MAX - STEP_MIN);
    must(u->seq < SEQ_END);
}

static struct nuid *nuid_mine(void) {
    static _Thread_local struct nuid mine;
    if (!mine.ready) {
        random_bytes(&mine.rng.state, sizeof mine.rng.state);
        prefix_renew(&mine);
        mine.ready = true;
    }
    must(mine.step >= STEP_MIN);
    return &mine;
}

void nuid_put(char out[NUID_LEN]) {
    struct nuid *u = nuid_mine();
    u->seq += u->step;
    if (u->seq >= SEQ_END) prefix_renew(u);
    memcpy(out, u->prefix, PREFIX_LEN);
    uint64_t v = u->seq;
    for (int i = NUID_LEN; i-- > PREFIX_LEN; v /= 62) out[i] = base62[v % 62];
    must(v == 0);
}

void nuid_name_put(char out[NAME_LEN]) {
    struct nuid *u = nuid_mine();
    for (int i = 0; i < NAME_LEN; i++) out[i] = base62[rng_below(&u->rng, 62)];
}

/* CRC-16/XMODEM, as the nkeys format has it. */
static uint16_t crc16(const uint8_t *p, size_t n) {
    uint32_t crc = 0;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint32_t)p[i] << 8;
        for (int bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

void nkey_put(char out[NKEY_LEN], enum nkey_kind kind, const uint8_t key[32]) {
    static const char base32[32 + 1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t raw[1 + 32 + 2];
    must(kind == NKEY_SERVER || kind == NKEY_CURVE);
    raw[0] = (uint8_t)((kind == NKEY_SERVER ? 'N' - 'A' : 'X' - 'A') << 3);
    memcpy(raw + 1, key, 32);
    uint16_t crc = crc16(raw, 33);
    raw[33] = (uint8_t)crc;
    raw[34] = (uint8_t)(crc >> 8);
    for (size_t i = 0; i < NKEY_LEN; i++) {
        size_t bit = i * 5;
        uint32_t two = (uint32_t)raw[bit / 8] << 8 | (bit / 8 + 1 < sizeof raw ? raw[bit / 8 + 1] : 0u);
        out[i] = base32[two >> (11 - bit % 8) & 31];
    }
}

void nkey_random_put(char out[NKEY_LEN], enum nkey_kind kind) {
    uint8_t key[32];
    random_bytes(key, sizeof key);
    nkey_put(out, kind, key);
}
