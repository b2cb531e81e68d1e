/* siphash.h - SipHash-2-4 with 128 bits of output (Aumasson, Bernstein: "SipHash: a fast short-input PRF").
 * For tables whose keys come from peers: without the key nobody can make two inputs collide. */
#pragma once
#include <stddef.h>
#include <stdint.h>

void siphash128(const uint64_t key[2], const void *p, size_t n, uint64_t out[2]);
