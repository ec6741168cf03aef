/*
 * What a write goes through. The diagram is in write_state.c. The executor makes the moves, and
 * logs the end of each request.
 */
#ifndef ARL_OPERATOR_CORE_WRITE_STATE_H
#define ARL_OPERATOR_CORE_WRITE_STATE_H

#include "common/base/sm.h"

enum write_state {
    WRITE_BEGUN,   /* its request is under way */
    WRITE_READING, /* the object is being read */
    WRITE_PAUSING, /* before it is read again */
    WRITE_ENDED,
    WRITE_STATES,
};
extern const struct sm_table write_table;

void write_state_move(enum write_state *state, enum write_state to);

#endif
