/*
 * State tables: which state may follow which. Each state machine has one, and goes through
 * sm_move(), which stops the process at a move that the table does not allow.
 *
 * Builds with debug information can tell which moves were ever made: the first of each kind is
 * appended to the file that $ARL_MOVES names, as "TABLE: FROM -> TO". tests/unit/moves compares
 * that with the tables, so that a table allows nothing that no test has seen. Release builds have
 * nothing of it.
 */
#ifndef ARL_COMMON_BASE_SM_H
#define ARL_COMMON_BASE_SM_H

#include <stdbool.h>
#include <stddef.h>

struct sm_table {
    const char *name;
    const char *const *states;
    const bool *followers; /* of each state a row, a field for each that may follow */
    size_t count;
};

bool sm_may_follow(const struct sm_table *t, size_t from, size_t to);
/* To be called before the move. */
void sm_move(const struct sm_table *t, size_t from, size_t to);
/* "?" for one that there is not. */
const char *sm_state_str(const struct sm_table *t, size_t state);

#endif
