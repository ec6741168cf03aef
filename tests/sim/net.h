/* Shared by net.c (calls) and proc.c (operators' lives and timers). */
#ifndef ARL_TESTS_SIM_NET_H
#define ARL_TESTS_SIM_NET_H

#include "tests/sim/sim.h"

enum stream_end { END_NOT, END_CLEAN, END_CUT, END_SILENT };

struct ops_call {
    struct list link;
    struct proc *p;
    uint64_t number;
    struct ops_handler handler;
    void *arg;
    int64_t idle_ns;
    int64_t begun_ns;
    int64_t last_byte_ns;
    struct buf out; /* bytes of a stream on their way */
    bool pumping;
    bool answered;
    bool of_task; /* a stream of an agent's events */
    enum stream_end end;
    struct kpod *agent; /* that answers, sealed */
    struct channel_writer writer;
};

extern const struct ops_vtable net_vtable;

struct ops_call *net_find(struct sim *s, uint64_t number);
int64_t net_delay_ns(struct sim *s);
/* The streams of tasks that an operator has open must be within its budget. */
void net_check_streams(struct sim *s, const struct proc *p);

/* To be called when something was handed to an operator: does what its main loop does before it
 * waits. */
void proc_after_callback(struct proc *p);
struct now proc_now(struct ops *ops);
void proc_random(struct ops *ops, void *out, size_t len);
struct ops_timer *proc_timer_new(struct ops *ops, void (*cb)(void *arg), void *arg);
void proc_timer_set(struct ops *ops, struct ops_timer *t, int64_t mono_ns);
void proc_timer_free(struct ops *ops, struct ops_timer *t);

#endif
