/* folder_version.h - a folder made to say that another format version wrote it, in both copies. */
#pragma once
#include "base/crc32c.h"
#include "engine_fixture.h"
#include "store/format.h"

static inline void write_version(const char *dir, uint32_t version) {
    char path[400];
    uint8_t image[8192];
    struct store_id id;
    snprintf(path, sizeof path, "%s/MILLRACE", dir);
    read_file(path, image, sizeof image);
    memcpy(&id, image, sizeof id);
    id.version = version;
    id.crc = crc32c(0, &id, offsetof(struct store_id, crc));
    memcpy(image, &id, sizeof id);
    memcpy(image + 4096, &id, sizeof id);
    write_file(path, image, sizeof image);
}
