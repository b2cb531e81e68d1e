/* test_nuid.c - identities: their shape, that they do not repeat, and that keys are what nkeys accepts. */
#include "wire/nuid.h"

#include <ctype.h>
#include <pthread.h>

#include "lib/check.h"

static int by_text(const void *a, const void *b) { return memcmp(a, b, NUID_LEN); }

static void ids_do_not_repeat(void) {
    enum { N = 50000 };
    static char ids[N][NUID_LEN];
    for (int i = 0; i < N; i++) {
        nuid_put(ids[i]);
        for (int k = 0; k < NUID_LEN; k++) CHECK(isalnum((unsigned char)ids[i][k]));
    }
    qsort(ids, N, NUID_LEN, by_text);
    for (int i = 1; i < N; i++) CHECK(memcmp(ids[i - 1], ids[i], NUID_LEN) != 0);
}

static void *one_id(void *out) {
    nuid_put(out);
    return NULL;
}

static void threads_differ(void) {
    char a[NUID_LEN], b[NUID_LEN];
    pthread_t t;
    nuid_put(a);
    CHECK_EQ(pthread_create(&t, NULL, one_id, b), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK(memcmp(a, b, 12) != 0); /* the prefix already */
}

static void names(void) {
    char a[NAME_LEN], b[NAME_LEN];
    int seen[128] = {0}, kinds = 0;
    nuid_name_put(a);
    for (int i = 0; i < 2000; i++) {
        nuid_name_put(b);
        CHECK(memcmp(a, b, NAME_LEN) != 0);
        for (int k = 0; k < NAME_LEN; k++) {
            CHECK(isalnum((unsigned char)b[k]));
            seen[(unsigned char)b[k]]++;
        }
    }
    for (int i = 0; i < 128; i++) kinds += seen[i] > 0;
    CHECK_EQ(kinds, 62);
}

/* Base32 without padding; the 35 bytes under 56 characters. */
static void decode(const char *text, uint8_t out[35]) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint64_t bits = 0;
    size_t have = 0, n = 0;
    for (int i = 0; i < NKEY_LEN; i++) {
        const char *hit = strchr(alphabet, text[i]);
        CHECK(hit != NULL && text[i] != 0);
        bits = bits << 5 | (uint64_t)(hit - alphabet);
        have += 5;
        if (have >= 8) {
            have -= 8;
            out[n++] = (uint8_t)(bits >> have);
        }
    }
    CHECK_EQ(n, 35);
    CHECK_EQ(have, 0);
}

/* Keys a real nats-server announced: the same 32 bytes must give the same text, checksum included. */
static void keys_match_real_ones(void) {
    static const char server[] = "NCNMAM7MS7SYF6Q4376OPHZIHMDIE6M7F72CVGW2RUSZ6Q4VOEYVBX7N";
    static const char curve[] = "XBQ74I2TY4JY44MDEY72EWNFBR2XDTSE2PA2A4XMNJLGYQEOQSJTNFYN";
    uint8_t raw[35];
    char out[NKEY_LEN];
    decode(server, raw);
    nkey_put(out, NKEY_SERVER, raw + 1);
    CHECK_MEM(out, NKEY_LEN, server, NKEY_LEN);
    decode(curve, raw);
    nkey_put(out, NKEY_CURVE, raw + 1);
    CHECK_MEM(out, NKEY_LEN, curve, NKEY_LEN);
}

static void random_keys(void) {
    char a[NKEY_LEN], b[NKEY_LEN], again[NKEY_LEN];
    uint8_t raw[35];
    nkey_random_put(a, NKEY_SERVER);
    nkey_random_put(b, NKEY_CURVE);
    CHECK_EQ(a[0], 'N');
    CHECK_EQ(b[0], 'X');
    decode(a, raw);
    nkey_put(again, NKEY_SERVER, raw + 1);
    CHECK_MEM(a, NKEY_LEN, again, NKEY_LEN);
    nkey_random_put(again, NKEY_SERVER);
    CHECK(memcmp(a, again, NKEY_LEN) != 0);
}

CHECK_MAIN(CASE(ids_do_not_repeat), CASE(threads_differ), CASE(names), CASE(keys_match_real_ones),
           CASE(random_keys))
