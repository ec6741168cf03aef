/*
 * Who goes next of those that wait to be sent (pure). The most urgent do, and of those one of the
 * group that was served longest ago, so that a thousand of one group hold up nobody of another.
 * Each SEND_LINE_OLDEST-th is the one that has waited longest, whatever it is: all go at some time.
 *
 * Ownership: an entry is a member of what waits; the line owns none of them, but what it keeps of
 * their groups. Limit: whoever adds entries bounds their number; the next one is looked for among
 * all of them.
 */
#ifndef ARL_COMMON_IO_SEND_LINE_H
#define ARL_COMMON_IO_SEND_LINE_H

#include "common/base/list.h"
#include "common/base/map.h"

#define SEND_LINE_OLDEST 8

struct send_line {
    struct list entries; /* in the order in which they came */
    struct map groups;   /* of those that wait: name -> struct send_group */
    uint64_t sent;
};

struct send_group {
    size_t waiting;
    uint64_t served; /* what sent was then; 0: not since one of it waits */
};

struct send_entry {
    struct list link;
    unsigned urgency; /* 0 is the most urgent */
    char *group;
    struct send_group *of;
};

void send_line_init(struct send_line *l);
/* It is empty. */
void send_line_done(struct send_line *l);
/* group: copied; NULL is one, too. */
void send_line_add(struct send_line *l, struct send_entry *e, unsigned urgency, const char *group);
/* Whoever has not been added, or has been taken or removed, is not in the line: init says so. */
void send_entry_init(struct send_entry *e);
/* Harmless for one that is not in the line. */
void send_line_remove(struct send_line *l, struct send_entry *e);
/* Takes the next one out of the line. NULL: nobody waits. */
struct send_entry *send_line_take(struct send_line *l);

#endif
