/* fsck.h - `millrace fsck DIR`: what is damaged in a data folder, without changing it. */
#pragma once

/* The command's own words, argv[0] being "fsck". Returns the exit status: 0 nothing is damaged, 1 something
 * is, 2 it could not be checked. */
int fsck_main(int argc, char **argv);
