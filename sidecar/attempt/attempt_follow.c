/* The output that followers (follow.h) get of an attempt: that of the open step as it comes, that
 * of an ended step from the log. */
#include <unistd.h>

#include "common/base/limits.h"
#include "sidecar/attempt/attempt.h"

/* A step that is over, read from the log. */
struct past {
    struct attempt *a;
    uint32_t step;
    bool begun;
    bool over;
    int code;
    uint64_t total[2];
    uint64_t gap_at[2];
    uint64_t gap_bytes[2];
    struct spool_file *file[2]; /* copies from the log */
    char *path[2];              /* of files that the step has left and that exist; NULL: none */
};

static void past_done(struct past *p)
{
    spool_remove(p->file[0]);
    spool_remove(p->file[1]);
    free(p->path[0]);
    free(p->path[1]);
}

static void past_write(struct past *p, const struct task_event *ev)
{
    struct attempt_table *t = p->a->table;
    struct spool_file **f = &p->file[ev->fd - 1];

    if (!p->path[ev->fd - 1] && !*f && p->total[ev->fd - 1] == 0) {
        cleanup_free char *name =
            xasprintf(SPOOL_FOLLOWED "%llu.%d", (unsigned long long)++t->last_followed, ev->fd);

        *f = spool_begin_spare(t->opts.spool, name);
    }
    if (*f)
        spool_write(*f, ev->data, ev->data_len);
    p->total[ev->fd - 1] += ev->data_len;
}

/* A stream has at most one gap, between its head and its tail. A second one would end the copy. */
static void past_gap(struct past *p, const struct task_event *ev)
{
    int i = ev->fd - 1;

    if (p->gap_bytes[i] == 0) {
        p->gap_at[i] = p->total[i];
        p->gap_bytes[i] = ev->gap_bytes;
    } else if (p->file[i]) {
        spool_close(p->file[i]);
    }
    p->total[i] += ev->gap_bytes;
}

static void past_take(struct past *p, const struct task_event *ev)
{
    /* The step was lost with its attempt: nobody saw its end. */
    if (ev->type == TASK_EVENT_END && p->begun) {
        p->over = true;
        p->code = ev->code;
    }
    if (ev->type == TASK_EVENT_END || ev->type == TASK_EVENT_ACCEPTED || ev->step != p->step)
        return;
    if (ev->type == TASK_EVENT_STEP) {
        p->begun = true;
    } else if (ev->type == TASK_EVENT_OUT) {
        past_write(p, ev);
    } else if (ev->type == TASK_EVENT_GAP) {
        past_gap(p, ev);
    } else if (ev->type == TASK_EVENT_EXIT) {
        p->over = true;
        p->code = ev->code;
    }
}

/* The file of a stream among those of an exit event, if it still exists. Its name ends with the
 * number of the stream. */
static char *path_of(const char *paths, int fd)
{
    const char *word = paths;

    while (word && *word) {
        size_t len = strcspn(word, " ");

        if (len > 2 && word[len - 2] == '.' && word[len - 1] == '0' + fd) {
            char *path = xasprintf("%.*s", (int)len, word);

            if (access(path, R_OK) < 0)
                str_set(&path, NULL);
            return path;
        }
        word += len + (word[len] == ' ');
    }
    return NULL;
}

/* Finds the files that the step has left. A stream with a file needs no copy from the log. */
static void past_find_files(struct past *p, const struct task_event *ev)
{
    if (ev->type != TASK_EVENT_EXIT || ev->step != p->step)
        return;
    for (int i = 0; i < 2; i++)
        if (!p->path[i])
            p->path[i] = path_of(ev->spool, i + 1);
}

static void past_each(struct past *p, void (*take)(struct past *p, const struct task_event *ev))
{
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    const struct outlog *log = &p->a->log;

    for (size_t i = 0; i < log->count && !p->over; i++) {
        struct task_event ev;

        if (task_event_decode(log->lines[i]->text, log->lines[i]->len - 1, &scratch, &ev, NULL) ==
            0)
            take(p, &ev);
    }
}

static struct follow_output *past_output(struct past *p)
{
    struct follow_output *o = follow_output_new();

    for (int i = 0; i < 2; i++) {
        if (p->path[i]) {
            follow_output_begin(o, i, p->total[i], p->path[i]);
            continue;
        }
        follow_output_begin(o, i, p->total[i], p->file[i] ? spool_path(p->file[i]) : NULL);
        follow_output_gap(o, i, p->gap_at[i], p->gap_bytes[i]);
        follow_output_keep(o, i, p->file[i]);
        p->file[i] = NULL;
    }
    follow_output_was(o, p->code);
    return o;
}

static enum follow_found follow_past(struct attempt *a, uint32_t step, struct follow_output **ret)
{
    CLEANUP(past_done) struct past p = {.a = a, .step = step};

    past_each(&p, past_find_files);
    past_each(&p, past_take);
    if (!p.over)
        return FOLLOW_IS_NEVER;
    *ret = past_output(&p);
    return FOLLOW_IS_HERE;
}

static struct follow_output *follow_open(struct attempt *a)
{
    if (a->output)
        return a->output;
    a->output = follow_output_new();
    for (int fd = 1; fd <= 2; fd++) {
        struct spool_file *f = attempt_spool(a, fd);

        follow_output_begin(a->output, fd - 1, a->printed[fd - 1], f ? spool_path(f) : NULL);
    }
    return a->output;
}

enum follow_found attempt_follow(struct attempt *a, uint32_t step, struct follow_output **ret)
{
    if (!a->running || step < a->log.step || (step == a->log.step && !a->step_open))
        return follow_past(a, step, ret);
    if (step >= a->request.step_count)
        return FOLLOW_IS_NEVER;
    if (step > a->log.step)
        return FOLLOW_IS_LATER;
    *ret = follow_open(a);
    return FOLLOW_IS_HERE;
}
