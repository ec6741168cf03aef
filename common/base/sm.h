/*
 * State tables: which state may follow which. Each state machine has a table and makes each move by
 * sm_move(), which ends the process at a move that the table does not allow.
 *
 * Debug builds record the moves: the first move of each kind is appended to the file that
 * $ARL_MOVES names, as "TABLE: FROM -> TO". tests/unit/moves compares that file with the tables, so
 * that a table allows no move that no test has made. Release builds record nothing.
 */
#ifndef ARL_COMMON_BASE_SM_H
#define ARL_COMMON_BASE_SM_H

#include <stdbool.h>
#include <stddef.h>

struct sm_table {
    const char *name;
    const char *const *states;
    const bool *followers; /* a row for each state; a true field: that state may follow */
    size_t count;
};

bool sm_may_follow(const struct sm_table *t, size_t from, size_t to);
/* Call it before the move. */
void sm_move(const struct sm_table *t, size_t from, size_t to);
/* The state's name; "?" if there is no such state. */
const char *sm_state_str(const struct sm_table *t, size_t state);

#endif
