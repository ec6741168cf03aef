/*
 * Stories: short scripts of what people and accidents do, in a world without chance, and the moves
 * that the contract promises for them. golden.c compares; single.c tells each of them again with
 * one fault in every place.
 */
#ifndef ARL_TESTS_SIM_STORY_H
#define ARL_TESTS_SIM_STORY_H

#include "tests/sim/sim.h"

struct story {
    const char *name;
    /* Lines of "MS WHAT ARGS...", see story.c. MS may have a fraction. */
    const char *script;
    /* Lines of "OBJECT: MOVE, MOVE"; the order between objects is not promised. */
    const char *moves;
    int procs;  /* 0: one, without a lease */
    bool large; /* a run takes long: it is played without faults only */
};

extern const struct story stories[];
extern const size_t story_count;

/* Runs the script to its end. cfg says what goes wrong; the story says the rest. */
struct sim *story_play(const struct story *st, struct sim_config cfg);
/* Runs the script to its end, and on until everything is at rest. */
struct sim *story_run(const struct story *st, enum fault fault, unsigned fault_at,
                      enum watch_fault watch_fault, unsigned watch_fault_at);
/* The moves as told, in the form of story.moves; the caller frees it. */
char *story_moves(const struct sim *s);
/* "OBJECT: last MOVE" of pools, sandboxes and tasks, without the reason: this must be the same
 * whatever fault there is. */
char *story_ends(const struct sim *s);

int golden_run(void); /* prints ok and not ok lines; how many failed */
int single_run(size_t first, size_t count);
int refused_run(void);

#endif
