/* Runs a target over files: replay FILE|FOLDER... */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/buf.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (8u << 20)

static unsigned inputs;

__attribute__((weak)) void fuzz_replayed(void)
{
}

static void replay_file(const char *path)
{
    cleanup_buf struct buf b = BUF_INIT(INPUT_MAX);
    FILE *f = fopen(path, "re");
    char block[4096];
    uint8_t *exact;
    size_t n;

    assert(f);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        buf_append(&b, block, n);
    fclose(f);
    /* A block of the exact size, so that a read past its end is seen. */
    exact = xmalloc(b.len + (b.len == 0));
    if (b.len)
        memcpy(exact, b.data, b.len);
    LLVMFuzzerTestOneInput(exact, b.len);
    free(exact);
    inputs++;
}

static void replay(const char *path)
{
    struct stat st;
    struct dirent *e;
    DIR *d;

    assert(stat(path, &st) == 0);
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path);
        return;
    }
    d = opendir(path);
    assert(d);
    while ((e = readdir(d))) {
        cleanup_free char *name = xasprintf("%s/%s", path, e->d_name);

        if (e->d_name[0] != '.')
            replay(name);
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (inputs > 0)
        fuzz_replayed();
    printf("%u inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
