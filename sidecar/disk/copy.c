#include "sidecar/disk/copy.h"

#include <errno.h>
#include <unistd.h>

#include "common/base/write_all.h"

int copy_bytes(int from, int to)
{
    char data[16384];
    ssize_t n;
    int r = 0;

    while (r == 0 && (n = read(from, data, sizeof(data))) != 0)
        r = n < 0 ? -errno : write_all(to, data, (size_t)n);
    return r;
}
