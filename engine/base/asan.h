/* asan.h - the address sanitizer's hand marks; nothing in other builds. The kernel's accesses are invisible
 * to the sanitizer, so io/ asks asan_bad() before it hands memory over, and pools poison what they hold. */
#pragma once
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define MR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MR_ASAN 1
#endif
#endif

#ifdef MR_ASAN
#include <sanitizer/asan_interface.h>
static inline void asan_poison(const void *p, size_t n) { __asan_poison_memory_region(p, n); }
static inline void asan_unpoison(const void *p, size_t n) { __asan_unpoison_memory_region(p, n); }
/* Is any byte of the range not the program's to touch? */
static inline int asan_bad(const void *p, size_t n) {
    return n && __asan_region_is_poisoned((void *)p, n) != NULL;
}
#else
static inline void asan_poison(const void *p, size_t n) { (void)p, (void)n; }
static inline void asan_unpoison(const void *p, size_t n) { (void)p, (void)n; }
static inline int asan_bad(const void *p, size_t n) { return (void)p, (void)n, 0; }
#endif
