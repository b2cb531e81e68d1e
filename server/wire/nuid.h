/* nuid.h - identities: short random names and nkey-style public keys. All random from the kernel at first use
 * a thread; no locks. Texts are written without NUL. */
#pragma once
#include <stdint.h>

enum { NUID_LEN = 22, NAME_LEN = 8, NKEY_LEN = 56 };

/* 22 characters base62, unique in practice over all servers. */
void nuid_put(char out[NUID_LEN]);
/* 8 characters base62: names of ephemeral consumers. */
void nuid_name_put(char out[NAME_LEN]);

enum nkey_kind { NKEY_SERVER, NKEY_CURVE }; /* N..., X... */
/* Base32 of prefix byte, the 32 bytes and CRC-16: what nkeys accepts as a public key. */
void nkey_put(char out[NKEY_LEN], enum nkey_kind kind, const uint8_t key[32]);
/* The same over random bytes. */
void nkey_random_put(char out[NKEY_LEN], enum nkey_kind kind);
