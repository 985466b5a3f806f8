// What the C files share. They are compiled as one unit (mimi.c includes the others), so nothing is lost to calls.
#pragma once
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "mimi.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL(i, n) _Pragma("GCC unroll 8") for (int i = 0; i < (n); i++)

enum {
// Numbers of a vector, as many as a register holds: GCC keeps longer vectors in memory. And vectors of a panel, as many
// as the registers hold ROWS accumulators of.
#if defined __AVX512F__
    LANES = 16, VECTORS = 4,
#elif defined __AVX__
    LANES = 8, VECTORS = 2,
#else
    LANES = 4, VECTORS = 4,
#endif
    BLOCK = 16,                   // numbers to whose multiple rows of matrices, scores and buffers are filled up
    PANEL = LANES*VECTORS,        // outputs of a panel of a matrix
    ROWS = 6,                     // rows that a microkernel multiplies at once
    DEPTH = 1536,                 // inputs of a panel that many rows go through at once, so that they stay in the cache
    WINOGRAD_INPUTS = 1 << 14,    // numbers that a Winograd form transforms at once, so that they stay in the cache
    PIECE = 1 << 19,              // numbers, on its wider side, that a stage takes at once, for the same reason
    MAX_THREADS = 64,
};

typedef float vec __attribute__((vector_size(4*LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4*LANES)));

#define load(p) (*(const vec *)(p))
#define store(p, x) (*(vec *)(p) = (x))

INLINE long min_(long a, long b) { return a < b ? a : b; }
INLINE long max_(long a, long b) { return a > b ? a : b; }
INLINE long round_up(long n) { return (n + BLOCK - 1)/BLOCK*BLOCK; }

// The threads of one call. All run the same program, each on its share, and wait for one another at barriers.
typedef struct { int threads, arrived, round; } thread_team;

// Row r of all items, n to an item, lies at data + r / n * item + r % n * row. No tensor where data is NULL.
typedef struct { float *data; long item, row; } view;

// The tensors that a product reads and writes: out = x W^T + bias + residual, difference = residual - x W^T - bias.
// out_act and difference_act are these after `act`. All but x may be absent. A row of x lies in one piece, or, where
// `run` is not 0, in runs of that many numbers, `run_step` apart.
typedef struct {
    view x, residual, out, out_act, difference, difference_act;
    mimi_snake act;
    int gelu;
    long run, run_step;
} operands;

// A thread and its buffers. Windows and hidden are shared by the team; accumulators and transformed are the thread's
// own.
typedef struct {
    thread_team *team;
    int thread;
    long batch;
    int first;             // whether the rows at hand begin the stream
    float *tails;          // the last rows of every convolution of the stream
    float *window[2];      // inputs of convolutions: (batch, left + rows, channels)
    float *hidden;         // of a residual unit
    float *accumulators;   // (rows, PANEL): sums of a product between two parts of its inputs
    float *transformed;    // of a Winograd form: inputs, and sums that its outputs share
} worker;

static void gemm(thread_team *team, int thread, const mimi_matrix *w, long batch, long n, const operands *io,
                 float *accumulators);
static void convolve(worker *k, const mimi_conv *c, float *window, long n, operands io);
