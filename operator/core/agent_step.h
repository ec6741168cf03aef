/*
 * What may be running in a sandbox's pod, as far as this process knows (pure). The diagram is in
 * agent_step.c.
 *
 * A task begins only in AGENT_CLEAN. An audit brings a sandbox there: the operator asks the agent
 * what runs in the pod, cancels what no Task wants, and asks again until nothing of that is left. A
 * sandbox that this process has just bound is clean without an audit.
 *
 * Whether an answer is the agent's own is a separate question. While only somebody else answers
 * in the agent's place (not_believed_since_mono_ns), audits go on, and no such answer counts.
 */
#ifndef ARL_OPERATOR_CORE_AGENT_STEP_H
#define ARL_OPERATOR_CORE_AGENT_STEP_H

#include "common/base/clock.h"
#include "common/base/sm.h"

enum agent_state {
    AGENT_UNKNOWN, /* nobody has asked; or nobody can: the pod has no address or the agent no key */
    AGENT_QUEUED,  /* the audit waits for its turn */
    AGENT_ASKING,  /* the agent is being asked */
    AGENT_OUTDATED, /* it is being asked, and what it answers does not count: see AGENT_EV_DOUBT */
    AGENT_SILENT,   /* it has not answered, and is asked again */
    AGENT_STOPPING, /* something ran that no Task wants and is to end; the agent is asked again */
    AGENT_CLEAN,    /* nothing runs that no Task wants */
    AGENT_STATES,
};
extern const struct sm_table agent_table;
const char *agent_state_str(enum agent_state s);

enum agent_event {
    AGENT_EV_BOUND,     /* this process has bound the pod: nothing can have run there yet */
    AGENT_EV_AUDIT,     /* an audit begins: it waits for its turn */
    AGENT_EV_SENT,      /* the agent is being asked now */
    AGENT_EV_SILENT,    /* no answer, or none of use */
    AGENT_EV_UNWANTED,  /* attempts that no Task wants were found, or are being cancelled */
    AGENT_EV_CLEAN,     /* the answer has nothing that no Task wants */
    AGENT_EV_ABANDONED, /* the audit has come to nothing: the sandbox or its pod has changed */
    AGENT_EV_DOUBT,   /* a Task that may run is not wanted any more: earlier answers are outdated */
    AGENT_EV_FORGED,  /* an answer was not the agent's own */
    AGENT_EV_GENUINE, /* an answer was the agent's own */
};

struct agent_view {
    enum agent_state state;
    bool genuine;                  /* the last answer was the agent's own */
    int64_t in_vain_since_mono_ns; /* since when audits bring nothing; 0: that is not so */
    int64_t
        not_believed_since_mono_ns; /* since when only others have answered; 0: that is not so */
};

/* Begins as {0}. An event that has no meaning in a state changes nothing: for example the late
 * answer to an audit of an earlier sandbox of the same name. Returns whether anything has changed
 * but `genuine`. */
bool agent_step(struct agent_view *a, enum agent_event ev, int64_t now_mono_ns);

#endif
