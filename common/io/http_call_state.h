/*
 * What a call of the HTTP client goes through. The diagram is in http_call_state.c. http_client.c
 * makes the moves. They are not logged: whoever starts a call logs its end.
 */
#ifndef ARL_COMMON_IO_HTTP_CALL_STATE_H
#define ARL_COMMON_IO_HTTP_CALL_STATE_H

#include "common/base/sm.h"

enum call_state {
    CALL_WAITING,
    CALL_RUNNING,
    CALL_ENDED,
    CALL_ZOMBIE,
    CALL_STATES,
};
extern const struct sm_table http_call_table;

#endif
