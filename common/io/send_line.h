/*
 * The line of requests that wait to be sent (pure). The most urgent entry goes first. Among equally
 * urgent ones the group goes first that was served longest ago, so that a thousand entries of one
 * group do not hold up another group. Each SEND_LINE_OLDEST-th time the entry goes that has waited
 * longest, whatever its urgency is. So each entry goes at some time.
 *
 * Ownership: an entry is a member of the struct that waits. The line owns no entry, only its
 * records of groups. Limit: the code that adds entries bounds their number; each search looks at
 * all.
 */
#ifndef ARL_COMMON_IO_SEND_LINE_H
#define ARL_COMMON_IO_SEND_LINE_H

#include "common/base/list.h"
#include "common/base/map.h"

#define SEND_LINE_OLDEST 8

struct send_line {
    struct list entries; /* in the order in which they came */
    struct map groups;   /* groups with waiting entries: name -> struct send_group */
    uint64_t sent;
};

struct send_group {
    size_t waiting;
    uint64_t served; /* the value of `sent` when it was served last; 0: not since it waits */
};

struct send_entry {
    struct list link;
    unsigned urgency; /* 0 is the most urgent */
    char *group;
    struct send_group *of;
};

void send_line_init(struct send_line *l);
/* The line must be empty. */
void send_line_done(struct send_line *l);
/* group: copied. NULL is a group, too. */
void send_line_add(struct send_line *l, struct send_entry *e, unsigned urgency, const char *group);
/* Marks an entry as not in the line, as it is after it was taken or removed. */
void send_entry_init(struct send_entry *e);
/* Does nothing if the entry is not in the line. */
void send_line_remove(struct send_line *l, struct send_entry *e);
/* Takes the next entry out of the line. NULL: the line is empty. */
struct send_entry *send_line_take(struct send_line *l);

#endif
