/* text.h - small files of /proc and /sys, and numbers in them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The file's beginning, NUL-terminated, cut to room - 1 bytes; false (and "") when it cannot be read. */
bool text_read(const char *path, char *out, size_t room);
/* The number that follows `key` at the start of a line ("VmRSS:   123 kB"), or `missing`. */
uint64_t text_number(const char *text, const char *key, uint64_t missing);
/* Removes line ends and blanks at the end. */
void text_trim(char *text);
