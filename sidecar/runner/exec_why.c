#include "sidecar/runner/exec_why.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sidecar/runner/podlog.h"

#define HEAD_BYTES 256    /* what the kernel itself looks at */
#define NAME_SHOWN_MAX 80 /* bytes */
#define SHOWN_BYTES (PODLOG_ESCAPED(NAME_SHOWN_MAX) + 4)
#define NESTED_MAX 4 /* an interpreter may be a script itself; the kernel has such a limit, too */

struct head {
    char data[HEAD_BYTES + 1];
    size_t len;
};

static const char *show(const char *name, char buf[SHOWN_BYTES])
{
    size_t len = strlen(name), n = podlog_escape(buf, name, MIN(len, (size_t)NAME_SHOWN_MAX));

    snprintf(buf + n, 4, "%s", len > NAME_SHOWN_MAX ? "..." : "");
    return buf;
}

/* The first bytes of a regular file; none if it cannot be read. */
static bool read_head(const char *file, struct head *ret)
{
    int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t n;

    ret->len = 0;
    if (fd < 0)
        return false;
    n = read(fd, ret->data, HEAD_BYTES);
    close(fd);
    ret->len = (size_t)MAX(n, 0);
    ret->data[ret->len] = '\0';
    return n >= 0;
}

static bool begins_with(const struct head *h, const char *magic, size_t len)
{
    return h->len >= len && memcmp(h->data, magic, len) == 0;
}

static bool is_script(const struct head *h)
{
    return begins_with(h, "#!", 2);
}

/* The text behind "#!", as the kernel reads it; "": nothing. Cuts the head. */
static const char *interpreter_of(struct head *h)
{
    char *name = h->data + 2 + strspn(h->data + 2, " \t");

    name[strcspn(name, " \t\n")] = '\0';
    return name;
}

/* ---- ELF ------------------------------------------------------------------------------------- */

static bool is_elf(const struct head *h)
{
    return begins_with(h, ELFMAG, SELFMAG) && h->len >= sizeof(Elf64_Ehdr);
}

/* The program that loads this one; "": none. Only of files for 64 bits: others run nowhere here. */
static void loader_of(const char *file, const struct head *h, char ret[PATH_MAX])
{
    int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    Elf64_Ehdr eh;
    Elf64_Phdr ph;

    *ret = '\0';
    if (fd < 0)
        return;
    memcpy(&eh, h->data, sizeof(eh));
    for (unsigned i = 0; h->data[EI_CLASS] == ELFCLASS64 && i < eh.e_phnum; i++) {
        if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) != sizeof(ph))
            break;
        if (ph.p_type != PT_INTERP || ph.p_filesz == 0 || ph.p_filesz >= PATH_MAX)
            continue;
        if (pread(fd, ret, ph.p_filesz, (off_t)ph.p_offset) != (ssize_t)ph.p_filesz)
            *ret = '\0';
        else
            ret[ph.p_filesz] = '\0';
        break;
    }
    close(fd);
}

static const char *machine_of(const struct head *h)
{
    static const struct {
        unsigned machine;
        const char *name;
    } machines[] = {{EM_386, "i386"},        {EM_X86_64, "x86_64"}, {EM_ARM, "arm"},
                    {EM_AARCH64, "aarch64"}, {EM_PPC64, "ppc64"},   {EM_S390, "s390x"},
                    {EM_RISCV, "riscv"},     {EM_MIPS, "mips"},     {EM_LOONGARCH, "loongarch"}};
    unsigned char a = (unsigned char)h->data[18], b = (unsigned char)h->data[19];
    unsigned machine = h->data[EI_DATA] == ELFDATA2MSB ? a * 256u + b : b * 256u + a;

    for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
        if (machines[i].machine == machine)
            return machines[i].name;
    return "another machine";
}

/* ---- one error each -------------------------------------------------------------------------- */

static void why_of(const char *file, int e, unsigned depth, char ret[FRAME_TEXT_MAX]);

/* For a script whose interpreter causes the error. */
static void why_interpreter(const char *name, int e, unsigned depth, char ret[FRAME_TEXT_MAX])
{
    char shown[SHOWN_BYTES], why[FRAME_TEXT_MAX] = "";
    size_t len = strlen(name);
    struct stat st;

    if (len > 0 && name[len - 1] == '\r') {
        cleanup_free char *before = xmemdup0(name, len - 1);

        snprintf(ret, FRAME_TEXT_MAX,
                 "its first line ends in a carriage return (CR), which makes the interpreter "
                 "\"%s\\r\": save the file with LF line ends",
                 show(before, shown));
    } else if (e == ENOENT && lstat(name, &st) < 0 && errno == ENOENT)
        snprintf(ret, FRAME_TEXT_MAX, "its interpreter %s does not exist", show(name, shown));
    else if (depth < NESTED_MAX) {
        why_of(name, e, depth + 1, why);
        if (*why)
            snprintf(ret, FRAME_TEXT_MAX, "its interpreter %s: %.*s", show(name, shown),
                     FRAME_TEXT_MAX - SHOWN_BYTES - 32, why);
    }
}

static void why_missing(const char *file, unsigned depth, char ret[FRAME_TEXT_MAX])
{
    char target[PATH_MAX], shown[SHOWN_BYTES];
    ssize_t n = readlink(file, target, sizeof(target) - 1);
    struct head h;

    if (n >= 0 && access(file, F_OK) < 0) {
        target[n] = '\0';
        snprintf(ret, FRAME_TEXT_MAX, "it is a symbolic link to %s, which does not exist",
                 show(target, shown));
    } else if (read_head(file, &h) && is_script(&h)) {
        why_interpreter(interpreter_of(&h), ENOENT, depth, ret);
    } else if (is_elf(&h)) {
        loader_of(file, &h, target);
        if (*target && access(target, F_OK) < 0)
            snprintf(ret, FRAME_TEXT_MAX,
                     "its loader %s does not exist: it was built for another C library than this "
                     "image has",
                     show(target, shown));
    }
}

static void why_denied(const char *file, unsigned depth, char ret[FRAME_TEXT_MAX])
{
    struct statvfs fs;
    struct stat st;
    struct head h;

    if (stat(file, &st) < 0)
        return;
    if (!S_ISREG(st.st_mode))
        snprintf(ret, FRAME_TEXT_MAX, "%s",
                 S_ISDIR(st.st_mode) ? "it is a directory" : "it is not a regular file");
    else if ((st.st_mode & 0111) == 0)
        snprintf(ret, FRAME_TEXT_MAX,
                 "Permission denied: it has no execute bit (mode %04o): chmod +x, or name its "
                 "interpreter, as in sh FILE",
                 st.st_mode & 07777u);
    else if (statvfs(file, &fs) == 0 && (fs.f_flag & ST_NOEXEC))
        snprintf(ret, FRAME_TEXT_MAX, "Permission denied: its file system is mounted noexec");
    else if (access(file, X_OK) < 0)
        snprintf(ret, FRAME_TEXT_MAX,
                 "Permission denied: user %u may not execute it (mode %04o, owner %u:%u)",
                 (unsigned)geteuid(), st.st_mode & 07777u, (unsigned)st.st_uid,
                 (unsigned)st.st_gid);
    else if (read_head(file, &h) && is_script(&h))
        why_interpreter(interpreter_of(&h), EACCES, depth, ret);
}

static void why_no_program(const char *file, unsigned depth, char ret[FRAME_TEXT_MAX])
{
    const char *why = "it is no program, and has no #! line: begin it with one, or name its "
                      "interpreter, as in sh FILE";
    struct utsname here = {0};
    struct head h;

    if (!read_head(file, &h))
        return;
    uname(&here);
    if (is_elf(&h) && strcmp(machine_of(&h), here.machine) != 0) {
        snprintf(ret, FRAME_TEXT_MAX, "it is a program for %s, and this machine is %s",
                 machine_of(&h), here.machine);
        return;
    }
    if (is_script(&h) && *interpreter_of(&h)) {
        why_interpreter(interpreter_of(&h), ENOEXEC, depth, ret);
        return;
    }
    if (h.len == 0)
        why = "it is empty";
    else if (is_script(&h))
        why = "its first line names no interpreter behind #!";
    else if (begins_with(&h, ELFMAG, SELFMAG))
        why = "it is damaged, or a program of another kind of system";
    else if (begins_with(&h, "\xef\xbb\xbf#!", 5))
        why = "a byte order mark (BOM) stands in front of its #!: save it without";
    else if (begins_with(&h, "MZ", 2))
        why = "it is a program for Windows";
    else if (begins_with(&h, "\xcf\xfa\xed\xfe", 4) || begins_with(&h, "\xca\xfe\xba\xbe", 4))
        why = "it is a program for macOS, or Java";
    snprintf(ret, FRAME_TEXT_MAX, "%s", why);
}

static void why_of(const char *file, int e, unsigned depth, char ret[FRAME_TEXT_MAX])
{
    if (e == ENOENT)
        why_missing(file, depth, ret);
    else if (e == EACCES)
        why_denied(file, depth, ret);
    else if (e == ENOEXEC)
        why_no_program(file, depth, ret);
}

void exec_why(const char *file, int e, char ret[FRAME_TEXT_MAX])
{
    *ret = '\0';
    why_of(file, e, 0, ret);
}
