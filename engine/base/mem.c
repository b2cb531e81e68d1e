/* mem.c - reserved address space and object pools.
 *
 * A region reserves PROT_NONE pages once and makes them usable from the front in 2 MiB steps, so its
 * addresses never move. Reserved huge pages come from the kernel's own pool and are moved over the
 * reservation; when there are none, the pages are ordinary and the kernel is asked to make them huge. What
 * can fail is memory running out: ERR_NOMEM, the region as it was. A pool takes chunks from malloc up to its
 * limit and gives NULL beyond it. */
#include "base/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/asan.h"
#include "base/bytes.h"
#include "base/must.h"

#define STEP  ((size_t)2 << 20)
#define ALIGN 64u /* of pool chunks */

/* --- regions --- */

enum err region_open(struct region *r, size_t reserved) {
    must(reserved > 0);
    *r = (struct region){.pages = MEM_PLAIN};
    if (reserved > SIZE_MAX - 2 * STEP) return ERR_NOMEM;
    size_t n = align_up(reserved, STEP);
    uint8_t *p = mmap(NULL, n + STEP, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return ERR_NOMEM;
    uint8_t *start = (uint8_t *)align_up((uintptr_t)p, STEP);
    if (start > p) munmap(p, (size_t)(start - p));
    if (start < p + STEP) munmap(start + n, (size_t)(p + STEP - start));
    must((uintptr_t)start % STEP == 0);
    r->p = start;
    r->reserved = n;
    return ERR_OK;
}

/* Maps elsewhere first: a failure then leaves the reservation whole, which mapping in place does not promise.
 */
static bool commit_hugetlb(uint8_t *at, size_t n) {
    must(n > 0 && n % STEP == 0);
    must((uintptr_t)at % STEP == 0);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (p == MAP_FAILED) return false;
    if (mremap(p, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at) return true;
    munmap(p, n);
    return false;
}

static bool commit_plain(uint8_t *at, size_t n, enum mem_pages *got) {
    must(n > 0 && n % STEP == 0);
    if (mprotect(at, n, PROT_READ | PROT_WRITE) != 0) return false;
    *got = madvise(at, n, MADV_HUGEPAGE) == 0 ? MEM_THP : MEM_PLAIN;
    return true;
}

enum err region_commit(struct region *r, size_t want, bool huge) {
    must(r->p != NULL);
    must(r->committed <= r->reserved);
    if (want > r->reserved) return ERR_LIMIT;
    size_t to = align_up(want, STEP);
    if (to <= r->committed) return ERR_OK;
    uint8_t *at = r->p + r->committed;
    enum mem_pages got = MEM_HUGETLB;
    if (!(huge && commit_hugetlb(at, to - r->committed)) && !commit_plain(at, to - r->committed, &got))
        return ERR_NOMEM;
    r->pages = r->committed > 0 && r->pages > got ? r->pages : got; /* the worst part names the whole */
    r->committed = to;
    return ERR_OK;
}

void region_release(struct region *r, size_t from, size_t n) {
    must(from <= r->committed);
    must(n <= r->committed - from);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t first = align_up(from, page), last = (from + n) & ~(page - 1);
    /* Reserved huge pages are of no use to others, and giving them up could mean SIGBUS at the next touch:
     * only clear. */
    bool keep = r->pages == MEM_HUGETLB || first >= last;
    if (keep || madvise(r->p + first, last - first, MADV_DONTNEED) != 0) {
        memset(r->p + from, 0, n);
        return;
    }
    memset(r->p + from, 0, first - from);
    memset(r->p + last, 0, from + n - last);
}

void region_close(struct region *r) {
    if (!r->p) return;
    must(r->committed <= r->reserved);
    must(munmap(r->p, r->reserved) == 0);
    *r = (struct region){.pages = MEM_PLAIN};
}

static bool thp_offered(void) {
    char text[64] = "";
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 && !strstr(text, "[never]");
}

enum mem_pages mem_probe_pages(const char **how_to_get) {
    must(how_to_get != NULL);
    void *p = mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (p != MAP_FAILED) {
        munmap(p, STEP);
        *how_to_get = "";
        return MEM_HUGETLB;
    }
    if (thp_offered()) {
        *how_to_get =
            "no reserved huge pages, using transparent ones: sysctl vm.nr_hugepages=N reserves N of 2 MiB";
        return MEM_THP;
    }
    *how_to_get = "no huge pages: sysctl vm.nr_hugepages=N reserves N of 2 MiB, or write madvise to "
                  "/sys/kernel/mm/transparent_hugepage/enabled";
    return MEM_PLAIN;
}

/* --- pools: a free object's first word links to the next free one --- */

void pool_init(struct pool *p, size_t object_size, size_t chunk_count, size_t limit_count) {
    must(object_size > 0);
    must(chunk_count > 0);
    must(object_size <= SIZE_MAX / 2 / chunk_count);
    *p = (struct pool){
        .object_size = align_up(object_size, 16), .chunk_count = chunk_count, .limit_count = limit_count};
}

static void pool_link(struct pool *p, void *object) {
    must(object != p->free_list); /* given back twice in a row */
    memcpy(object, &p->free_list, sizeof p->free_list);
    p->free_list = object;
    asan_poison((char *)object + sizeof(void *), p->object_size - sizeof(void *));
}

static bool pool_grow(struct pool *p) {
    must(p->free_list == NULL);
    must(p->count <= p->limit_count);
    size_t n = p->limit_count - p->count < p->chunk_count ? p->limit_count - p->count : p->chunk_count;
    if (n == 0) return false;
    if ((p->chunks_len & (p->chunks_len - 1)) == 0) { /* the list of chunks doubles at powers of two */
        size_t len = p->chunks_len ? p->chunks_len * 2 : 1;
        void **chunks = realloc(p->chunks, len * sizeof *chunks);
        if (!chunks) return false;
        p->chunks = chunks;
    }
    char *chunk = aligned_alloc(ALIGN, align_up(n * p->object_size, ALIGN));
    if (!chunk) return false;
    p->chunks[p->chunks_len++] = chunk;
    p->count += n;
    for (size_t i = n; i > 0; i--) pool_link(p, chunk + (i - 1) * p->object_size);
    return true;
}

void *pool_take(struct pool *p) {
    must(p->object_size > 0);
    must(p->used <= p->count);
    if (!p->free_list && !pool_grow(p)) return NULL;
    void *object = p->free_list;
    memcpy(&p->free_list, object, sizeof p->free_list);
    asan_unpoison(object, p->object_size);
    p->used++;
    return object;
}

/* Does the object start at a place this pool hands out? Slow checks only. */
static __attribute__((unused)) bool pool_owns(const struct pool *p, const void *object) {
    for (size_t i = 0; i < p->chunks_len; i++) {
        size_t off = (size_t)((uintptr_t)object - (uintptr_t)p->chunks[i]);
        if (off < p->chunk_count * p->object_size && off % p->object_size == 0) return true;
    }
    return false;
}

void pool_give(struct pool *p, void *object) {
    must(object != NULL);
    must((uintptr_t)object % 16 == 0);
    must(p->used > 0);
    must_slow(pool_owns(p, object));
    p->used--;
    pool_link(p, object);
}

void pool_deinit(struct pool *p) {
    must(p->used <= p->count);
    for (size_t i = 0, left = p->count; i < p->chunks_len; i++) {
        size_t n = left < p->chunk_count ? left : p->chunk_count;
        asan_unpoison(p->chunks[i], n * p->object_size);
        must(p->chunks[i] != NULL);
        left -= n;
        free(p->chunks[i]);
    }
    free(p->chunks);
    *p = (struct pool){0};
}
