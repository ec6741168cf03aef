/* The only file of the image without a shell: what a step can do where there is nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int echo(char **words)
{
    for (; *words; words++) {
        printf("%s%s", *words, words[1] ? " " : "");
    }
    putchar('\n');
    return 0;
}

static int env(char **names)
{
    for (; *names; names++) {
        const char *value = getenv(*names);

        printf("%s=%s\n", *names, value ? value : "");
    }
    return 0;
}

static int cat_file(const char *path)
{
    char buf[4096];
    size_t n;
    FILE *f = fopen(path, "re");

    if (!f) {
        perror(path);
        return 1;
    }
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0) {
        fwrite(buf, 1, n, stdout);
    }
    fclose(f);
    return 0;
}

static int cat(char **paths)
{
    int rc = 0;

    for (; *paths; paths++) {
        rc |= cat_file(*paths);
    }
    return rc;
}

static int leave(char **status)
{
    return *status ? (int)strtol(*status, NULL, 10) : 0;
}

static int id(char **words)
{
    (void)words;
    printf("%u %u\n", (unsigned int)getuid(), (unsigned int)getgid());
    return 0;
}

static int wait_long(char **words)
{
    (void)words;
    while (pause() < 0) {
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *verb;
        int (*run)(char **words);
    } verbs[] = {{"echo", echo},  {"env", env}, {"cat", cat},
                 {"exit", leave}, {"id", id},   {"wait", wait_long}};

    for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(*verbs); i++) {
        if (!strcmp(argv[1], verbs[i].verb)) {
            return verbs[i].run(argv + 2);
        }
    }
    fprintf(stderr, "usage: tool echo|env|cat|exit|id|wait ...\n");
    return 2;
}
