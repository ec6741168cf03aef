#include "common/base/write_all.h"

#include <errno.h>
#include <unistd.h>

#include "common/base/base.h"

#define WHERE_IT_STANDS (-1)

int write_all(int fd, const void *data, size_t len)
{
    return write_all_at(fd, data, len, WHERE_IT_STANDS);
}

int write_all_at(int fd, const void *data, size_t len, off_t at)
{
    for (size_t done = 0; done < len;) {
        const char *p = (const char *)data + done;
        ssize_t n = at == WHERE_IT_STANDS ? write(fd, p, len - done)
                                          : pwrite(fd, p, len - done, at + (off_t)done);

        if (n < 0 && errno != EINTR)
            return -errno;
        done += (size_t)MAX(n, 0);
    }
    return 0;
}
