#include "sidecar/disk/copy.h"

#include <errno.h>
#include <unistd.h>

int copy_bytes(int from, int to)
{
    char data[16384];
    ssize_t n;

    while ((n = read(from, data, sizeof(data))) > 0) {
        for (ssize_t done = 0, w; done < n; done += w) {
            w = write(to, data + done, (size_t)(n - done));
            if (w < 0)
                return -errno;
        }
    }
    return n < 0 ? -errno : 0;
}
