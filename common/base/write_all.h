/*
 * write(2) until all is written, whatever interrupts. For descriptors that block: files, and what
 * programs print.
 */
#ifndef ARL_COMMON_BASE_WRITE_ALL_H
#define ARL_COMMON_BASE_WRITE_ALL_H

#include <stddef.h>
#include <sys/types.h>

/* Where the file stands. 0 or a negative errno value; then a part may be written. */
int write_all(int fd, const void *data, size_t len);
/* From this byte of the file on. */
int write_all_at(int fd, const void *data, size_t len, off_t at);

#endif
