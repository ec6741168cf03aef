#include "sidecar/runner/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_MAX 0xfffffffeu /* 2^32 - 1 means "unchanged" to setuid(2) and its like */
#define NAME_SHOWN_MAX 64

/* ---- files ----------------------------------------------------------------------------------- */

/* Text of a file of the container; NULL: it is not there, or nothing that can be read at once. */
static char *read_file(const char *root, const char *name)
{
    cleanup_free char *path = xasprintf("%s%s", root, name), *text = NULL;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    size_t len = 0;
    struct stat st;
    ssize_t n = 1;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= USER_FILE_BYTES_MAX) {
        text = xmalloc(USER_FILE_BYTES_MAX + 1);
        while (n > 0 && len < USER_FILE_BYTES_MAX) {
            n = read(fd, text + len, USER_FILE_BYTES_MAX - len);
            len += (size_t)MAX(n, 0);
        }
        text[len] = '\0';
    }
    close(fd);
    return str_take(&text);
}

/* The next line, which ends with NUL then; NULL at the end. */
static char *take_line(char **p)
{
    char *line = *p, *newline = line ? strchr(line, '\n') : NULL;

    if (!line || !*line)
        return NULL;
    *p = newline ? newline + 1 : NULL;
    if (newline)
        *newline = '\0';
    return line;
}

/* The next field; "" where there is none. */
static char *take_field(char **p)
{
    char *field = *p, *colon = strchr(field, ':');

    *p = colon ? colon + 1 : field + strlen(field);
    if (colon)
        *colon = '\0';
    return field;
}

static bool parse_id(const char *s, unsigned *ret)
{
    uint64_t v = 0;

    if (!*s || strlen(s) > 10)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *ret = (unsigned)v;
    return v <= ID_MAX;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* NAME:PASSWORD:UID:GID:GECOS:HOME:SHELL, by name or by number. *ret_name: owned. */
static bool find_passwd(char *text, const char *want, struct user *u, char **ret_name)
{
    unsigned want_id = 0, uid = 0, gid = 0;
    bool number = parse_id(want, &want_id);
    char *line;

    while ((line = take_line(&text))) {
        char *name = take_field(&line), *ids[2];

        take_field(&line);
        ids[0] = take_field(&line);
        ids[1] = take_field(&line);
        if (!parse_id(ids[0], &uid) || !parse_id(ids[1], &gid))
            continue;
        if (strcmp(name, want) != 0 && !(number && uid == want_id))
            continue;
        take_field(&line);
        u->uid = uid;
        u->gid = gid;
        str_set(&u->home, xstrdup(take_field(&line)));
        str_set(ret_name, xstrdup(name));
        return true;
    }
    return false;
}

static bool lists(char *members, const char *name)
{
    for (char *p = members; *p;) {
        size_t n = strcspn(p, ",");

        if (n == strlen(name) && strncmp(p, name, n) == 0)
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

/* NAME:PASSWORD:GID:MEMBERS. want NULL: all groups that list the member. */
static bool find_groups(char *text, const char *want, const char *member, struct user *u)
{
    bool found = false;
    char *line;

    while ((line = take_line(&text))) {
        char *name = take_field(&line), *id;
        unsigned gid = 0;

        take_field(&line);
        id = take_field(&line);
        if (!parse_id(id, &gid))
            continue;
        if (want && strcmp(name, want) == 0) {
            u->gid = gid;
            return true;
        }
        if (!want && lists(line, member) && u->group_count < USER_GROUPS_MAX) {
            u->groups[u->group_count++] = gid;
            found = true;
        }
    }
    return found;
}

/* ---- both ------------------------------------------------------------------------------------ */

static int refuse(char ret_why[FRAME_TEXT_MAX], const char *text, const char *what)
{
    snprintf(ret_why, FRAME_TEXT_MAX, "user \"%.*s\": %s", NAME_SHOWN_MAX, text, what);
    return -EINVAL;
}

int user_find(const char *root, const char *text, struct user *ret, char ret_why[FRAME_TEXT_MAX])
{
    cleanup_free char *passwd = read_file(root, "/etc/passwd"), *name = NULL;
    cleanup_free char *group = NULL, *want = xstrdup(text);
    char *colon = strchr(want, ':');
    unsigned id = 0;

    *ret = (struct user){.home = xstrdup("/")};
    if (colon)
        *colon = '\0';
    if (!find_passwd(passwd, want, ret, &name)) {
        if (!parse_id(want, &id))
            return refuse(ret_why, text,
                          passwd ? "there is no such name in the container's /etc/passwd"
                                 : "the container has no /etc/passwd that could be read; name the "
                                   "user by number, such as 1000 or 1000:1000");
        ret->uid = id;
    }
    if (colon && parse_id(colon + 1, &id)) {
        ret->gid = id;
        return 0;
    }
    group = read_file(root, "/etc/group");
    if (colon && !find_groups(group, colon + 1, NULL, ret))
        return refuse(ret_why, text, "there is no such group in the container's /etc/group");
    if (!colon && name)
        find_groups(group, NULL, name, ret);
    return 0;
}

void user_done(struct user *u)
{
    free(u->home);
    u->home = NULL;
}

int user_become(const struct user *u, const char *text, char ret_why[FRAME_TEXT_MAX])
{
    gid_t groups[USER_GROUPS_MAX + 1];

    /* Nothing to do, and nothing that could be refused. */
    if (u->uid == geteuid() && u->gid == getegid() && u->uid != 0)
        return 0;
    groups[0] = u->gid;
    memcpy(groups + 1, u->groups, u->group_count * sizeof(gid_t));
    if (setgroups(u->group_count + 1, groups) == 0 && setresgid(u->gid, u->gid, u->gid) == 0 &&
        setresuid(u->uid, u->uid, u->uid) == 0)
        return 0;
    refuse(ret_why, text,
           "the container may not become another user: it does not run as root, or without the "
           "capabilities SETUID and SETGID");
    return -EPERM;
}
