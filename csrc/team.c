/*
 * A team of threads that shares the items of a task, and sleeps when there is none.
 *
 *     rls_share(n, work, task, call)     task(call, first, end) for runs [first, end) that make up [0, n)
 *
 * The calling thread works, too, and takes over what nobody has begun, so it never waits for a helper
 * that gets no core because other programs run.  It waits only for runs that a helper is in the middle
 * of, spinning for SPIN seconds, then asleep, which leaves its own core to the helper.
 *
 * The team is on trial.  From the runs that the caller did itself follows what it would have needed
 * alone; when TRIAL seconds of shared tasks have saved less than the GAIN asked for, cores are scarce, and
 * it works alone: as long as the trial was, and after each further trial that failed twice as long, up
 * to PATIENCE times.  So a team that only burns time gets one part in PATIENCE of it.
 *
 * A helper that finds nothing to do looks again for SPIN seconds, which bridges the time between
 * two kernels of one training step, then sleeps until the next task.
 *
 * Runs are dealt out in blocks, one a thread: a thread begins with its own, so that from kernel to
 * kernel it meets the rows that are in its cache already, then takes from the others'.  Which
 * thread computes a run changes nothing in the result.
 *
 * One task at a time.  A thread that comes with a second one does it alone.  A child after a fork
 * has no helpers, and makes its own.
 *
 * What several threads read and write goes through __atomic operations.  Two pairs of them rely on
 * one order for all (seq_cst): "announce a round, then look for sleepers" against "count oneself a
 * sleeper, then look for a round"; and the same where the caller sleeps.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "rlscratch.h"

#define SPIN 300e-6           /* seconds */
#define TRIAL 20e-3           /* seconds */
#define GAIN 1.15
#define PATIENCE 32
#define WORTH_SHARING 10000   /* nanoseconds of work below which the caller does it alone */
#define RUN 50000             /* nanoseconds that a run should take at least */
#define RUNS_EACH 4           /* and how many a thread gets at most */
#define SHUT INT32_MIN        /* team.inside when no helper may come in */

typedef struct {
    int64_t next, end; /* runs not taken yet */
    char apart[48];    /* a cache line for each thread */
} block;

static struct {
    pthread_mutex_t taken;                /* held while there is a task */
    pthread_mutex_t bed;                  /* guards the two conditions and `result` */
    pthread_cond_t wake, done;
    int32_t threads, helpers;             /* wanted; made so far */
    int32_t round, inside, sleepers, caller_sleeps;
    int32_t members;                      /* threads of this round */
    double alone_until, spent, alone;     /* seconds: on the clock; in this trial; without helpers, about */
    double patience;                      /* the next trial that fails leads to so many times its length alone */
    int64_t n, runs, result;
    rls_task task;
    const void *call;
    block blocks[RLS_MOST_THREADS] __attribute__((aligned(64)));
} team = {.taken = PTHREAD_MUTEX_INITIALIZER, .bed = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER, .threads = 1, .inside = SHUT, .patience = 1};

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define ADD(x, d) __atomic_add_fetch(&(x), d, __ATOMIC_SEQ_CST)

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Whether *word is other than `old` within SPIN seconds. */
static int changes_soon(const int32_t *word, int32_t old) {
    for (double start = seconds(CLOCK_MONOTONIC); seconds(CLOCK_MONOTONIC) - start < SPIN;)
        for (int i = 0; i < 32; i++) {
            if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != old) return 1;
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#elif defined(__aarch64__)
            __asm__ volatile("yield");
#endif
        }
    return 0;
}

/* RLS_NO_MEMORY before the first bad row before -1. */
static int64_t worse(int64_t x, int64_t y) {
    if (x == RLS_NO_MEMORY || y == -1) return x;
    if (y == RLS_NO_MEMORY || x == -1) return y;
    return x < y ? x : y;
}

/* Thread `me` of the team: its own runs first, then those of the threads after it.  Returns how many it did. */
static int32_t work(int32_t me) {
    int32_t did = 0;
    for (int32_t i = 0; i < team.members; i++) {
        block *b = team.blocks + (me + i) % team.members;
        int64_t run;
        for (; (run = ADD(b->next, 1) - 1) < b->end; did++) {
            const int64_t found = team.task(team.call, team.n * run / team.runs, team.n * (run + 1) / team.runs);
            if (found == -1) continue;
            pthread_mutex_lock(&team.bed);
            team.result = worse(team.result, found);
            pthread_mutex_unlock(&team.bed);
        }
    }
    return did;
}

/* A helper goes in if the door is open, which counts it; while it is in, the task stays what it is. */
static void help(int32_t me) {
    int32_t count = LOAD(team.inside);
    while (count >= 0 && !__atomic_compare_exchange_n(&team.inside, &count, count + 1, 0, __ATOMIC_SEQ_CST,
                                                      __ATOMIC_SEQ_CST)) continue;
    if (count < 0) return;
    if (me < team.members) work(me);
    if (ADD(team.inside, -1) == SHUT && LOAD(team.caller_sleeps)) {
        pthread_mutex_lock(&team.bed);
        pthread_cond_signal(&team.done);
        pthread_mutex_unlock(&team.bed);
    }
}

static void *helper(void *number) {
    for (int32_t seen = 0;;) {
        if (!changes_soon(&team.round, seen)) {
            pthread_mutex_lock(&team.bed);
            ADD(team.sleepers, 1);
            while (LOAD(team.round) == seen) pthread_cond_wait(&team.wake, &team.bed);
            ADD(team.sleepers, -1);
            pthread_mutex_unlock(&team.bed);
        }
        seen = LOAD(team.round);
        help((int32_t)(intptr_t)number);
    }
    return NULL;
}

/* As many threads as there are now, up to `wanted`.  Signals stay with the threads that Python knows. */
static int32_t recruit(int32_t wanted) {
    sigset_t all, before;
    sigfillset(&all);
    while (team.helpers + 1 < wanted) {
        pthread_t thread;
        pthread_sigmask(SIG_SETMASK, &all, &before);
        const int failed = pthread_create(&thread, NULL, helper, (void *)(intptr_t)(team.helpers + 1));
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (failed) break;
        pthread_detach(thread);
        team.helpers++;
    }
    return wanted <= team.helpers ? wanted : team.helpers + 1;
}

/* How many runs to cut so many nanoseconds of work into. */
int64_t rls_runs(int64_t work) {
    const int64_t threads = rls_threads(), each = work / (threads * RUN);
    if (threads == 1 || work < WORTH_SHARING) return 1;
    return threads * (each < 1 ? 1 : each > RUNS_EACH ? RUNS_EACH : each);
}

/* A task has ended, and would have taken the caller `alone` seconds. */
static void judge(double time, double start, double alone) {
    team.spent += time - start, team.alone += alone;
    if (team.spent < TRIAL) return;
    if (team.alone > GAIN * team.spent) team.patience = 1;
    else {
        team.alone_until = time + team.patience * team.spent;
        team.patience = team.patience < PATIENCE ? 2 * team.patience : PATIENCE;
    }
    team.spent = team.alone = 0;
}

int64_t rls_share(int64_t n, int64_t nanoseconds, rls_task task, const void *call) {
    const int64_t wanted = rls_runs(nanoseconds), runs = n < wanted ? n : wanted;
    if (runs <= 1 || pthread_mutex_trylock(&team.taken)) return task(call, 0, n);
    const double start = seconds(CLOCK_MONOTONIC);
    if (start < team.alone_until) {
        pthread_mutex_unlock(&team.taken);
        return task(call, 0, n);
    }
    const int32_t members = recruit(runs < rls_threads() ? (int32_t)runs : rls_threads());
    team.members = members, team.n = n, team.runs = runs, team.task = task, team.call = call, team.result = -1;
    for (int32_t t = 0; t < members; t++)
        team.blocks[t] = (block){.next = runs * t / members, .end = runs * (t + 1) / members};
    __atomic_store_n(&team.inside, 0, __ATOMIC_SEQ_CST);
    ADD(team.round, 1);
    if (LOAD(team.sleepers)) {
        pthread_mutex_lock(&team.bed);
        pthread_cond_broadcast(&team.wake);
        pthread_mutex_unlock(&team.bed);
    }
    const double before = seconds(CLOCK_THREAD_CPUTIME_ID);
    const int32_t did = work(0);
    const double busy = seconds(CLOCK_THREAD_CPUTIME_ID) - before;
    for (int32_t left = ADD(team.inside, SHUT); left != SHUT; left = LOAD(team.inside)) {
        if (changes_soon(&team.inside, left)) continue;
        pthread_mutex_lock(&team.bed);
        ADD(team.caller_sleeps, 1);
        while (LOAD(team.inside) != SHUT) pthread_cond_wait(&team.done, &team.bed);
        ADD(team.caller_sleeps, -1);
        pthread_mutex_unlock(&team.bed);
    }
    judge(seconds(CLOCK_MONOTONIC), start, busy * (double)runs / (did ? did : 1));
    const int64_t result = team.result;
    pthread_mutex_unlock(&team.taken);
    return result;
}

int rls_threads(void) { return LOAD(team.threads); }

void rls_set_threads(int threads) { __atomic_store_n(&team.threads, threads, __ATOMIC_SEQ_CST); }

/* fork() copies the calling thread and no other: it waits for a task's end, and the child starts without a team. */
static void before_fork(void) { pthread_mutex_lock(&team.taken); }
static void in_parent(void) { pthread_mutex_unlock(&team.taken); }
static void in_child(void) {
    team.helpers = team.sleepers = team.caller_sleeps = team.round = 0, team.inside = SHUT;
    team.taken = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER, team.bed = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    team.wake = team.done = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
}

void rls_mind_forks(void) { pthread_atfork(before_fork, in_parent, in_child); }
