// Products with a weight matrix. It lies in panels, a few vectors wide, one input after the other: a panel is read
// once, straight through, while the accumulators of ROWS rows stay in registers and use every vector ROWS times.
// The epilogue adds bias and residual and applies GELU and ELU before a result is written.
#include "internal.h"

long mimi_panel_width(void) { return PANEL; }

static void barrier(thread_team *team)
{
    if (team->threads == 1) return;
    int round = __atomic_load_n(&team->round, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == team->threads) {
        __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&team->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (long i = 0; __atomic_load_n(&team->round, __ATOMIC_ACQUIRE) == round; i++)
        if (i > 20000) sched_yield();
}

INLINE float *row_of(const view *v, long n, long r) { return v->data + r/n*v->item + r%n*v->row; }

INLINE vec load_weights(const int kind, const void *w, long i)
{
    if (kind == MIMI_INT8) return load_int8((const int8_t *)w + i);
    if (kind == MIMI_FLOAT16) return load_float16((const uint16_t *)w + i);
    return load((const float *)w + i);
}

INLINE const void *weights_at(const int kind, const void *w, long n)
{
    return (const char *)w + n*(kind == MIMI_INT8 ? 1 : kind == MIMI_FLOAT16 ? 2 : 4);
}

// sums (rows, vectors) += x (rows, inputs) times a panel whose inputs lie `step` weights apart
INLINE void microkernel(const int kind, const int rows, const int vectors, const float *const *x, const void *panel,
                        long step, long inputs, vec sums[ROWS][VECTORS])
{
    for (long i = 0; i < inputs; i++, panel = weights_at(kind, panel, step)) {
        vec w[VECTORS];
        UNROLL(u, vectors) {
            w[u] = load_weights(kind, panel, LANES*u);
            // with few rows, reading the weights is all there is to do
            if (rows <= 2) __builtin_prefetch((const char *)weights_at(kind, panel, LANES*u) + 1024, 0, 2);
        }
        UNROLL(m, rows) {
            vec a = (vec){} + x[m][i];
            UNROLL(u, vectors) sums[m][u] += w[u]*a;
        }
    }
}

// A few rows through inputs [begin, end) of a panel, run by run; the accumulators pass through memory from part to part
INLINE void multiply_rows(const int kind, const int rows, const int vectors, const operands *io, long n, long row,
                          const void *panel, long begin, long end, float *accumulators)
{
    const float *x[ROWS];
    vec sums[ROWS][VECTORS];
    long run = io->run ? begin/io->run : 0, jump = io->run_step - io->run, next;
    UNROLL(m, rows) x[m] = row_of(&io->x, n, row + m) + begin + run*jump;
    UNROLL(m, rows) UNROLL(u, vectors) sums[m][u] = begin ? load(accumulators + m*PANEL + LANES*u) : (vec){};
    for (long i = begin; i < end; i = next) {
        next = io->run ? min_(++run*io->run, end) : end;
        const void *weights = weights_at(kind, panel, (i - begin)*LANES*vectors);
        microkernel(kind, rows, vectors, x, weights, LANES*vectors, next - i, sums);
        UNROLL(m, rows) x[m] += next - i + jump;
    }
    UNROLL(m, rows) UNROLL(u, vectors) store(accumulators + m*PANEL + LANES*u, sums[m][u]);
}

INLINE void epilogue_vector(const mimi_matrix *w, const operands *io, long n, long row, long column, vec sum)
{
    long rest = w->outputs - column;
    vec residual = {};
    if (w->scale) sum *= load(w->scale + column);
    if (w->bias) sum += load(w->bias + column);
    if (io->residual.data) residual = load_partial(row_of(&io->residual, n, row) + column, rest);
    vec difference = residual - sum;
    sum += residual;
    if (io->gelu) sum = gelu_vec(sum);
    if (io->out.data) store_partial(row_of(&io->out, n, row) + column, sum, rest);
    if (io->out_act.data) store_partial(row_of(&io->out_act, n, row) + column, act_vec(&io->act, sum, column), rest);
    if (io->difference.data) store_partial(row_of(&io->difference, n, row) + column, difference, rest);
    if (io->difference_act.data) {
        store_partial(row_of(&io->difference_act, n, row) + column, act_vec(&io->act, difference, column), rest);
    }
}

static void epilogue(const mimi_matrix *w, const operands *io, long n, long row, long rows, long column, long vectors,
                     const float *accumulators)
{
    for (long m = 0; m < rows; m++, accumulators += PANEL)
        for (long u = 0; u < vectors && column + LANES*u < w->outputs; u++)
            epilogue_vector(w, io, n, row + m, column + LANES*u, load(accumulators + LANES*u));
}

// Rows [row, end) through inputs [i0, i1) of one panel; one function for each kind and width, so that loops unroll
#define DEFINE_PANEL(name, kind, vectors) \
    static void name(const mimi_matrix *w, const operands *io, long n, long row, long end, long column, \
                     const void *panel, long i0, long i1, float *accumulators) \
    { \
        long stride = i1 - i0 < w->inputs ? PANEL : 0; \
        for (long r = row; r < end; r += ROWS) { \
            float *sums = accumulators + (r - row)*stride; \
            switch (end - r) { \
            default: multiply_rows(kind, 6, vectors, io, n, r, panel, i0, i1, sums); break; \
            case 5: multiply_rows(kind, 5, vectors, io, n, r, panel, i0, i1, sums); break; \
            case 4: multiply_rows(kind, 4, vectors, io, n, r, panel, i0, i1, sums); break; \
            case 3: multiply_rows(kind, 3, vectors, io, n, r, panel, i0, i1, sums); break; \
            case 2: multiply_rows(kind, 2, vectors, io, n, r, panel, i0, i1, sums); break; \
            case 1: multiply_rows(kind, 1, vectors, io, n, r, panel, i0, i1, sums); \
            } \
            if (i1 == w->inputs) epilogue(w, io, n, r, min_(end - r, ROWS), column, vectors, sums); \
        } \
    }
#ifdef __AVX512F__
DEFINE_PANEL(panel_1, MIMI_FLOAT32, 1)
DEFINE_PANEL(panel_2, MIMI_FLOAT32, 2)
DEFINE_PANEL(panel_3, MIMI_FLOAT32, 3)
#endif
DEFINE_PANEL(panel_float32, MIMI_FLOAT32, VECTORS)
DEFINE_PANEL(panel_float16, MIMI_FLOAT16, VECTORS)
DEFINE_PANEL(panel_int8, MIMI_INT8, VECTORS)

typedef void panel_function(const mimi_matrix *, const operands *, long, long, long, long, const void *, long, long,
                            float *);

static panel_function *panel_for(int kind, long vectors)
{
    if (kind == MIMI_FLOAT16) return panel_float16;
    if (kind == MIMI_INT8) return panel_int8;
#ifdef __AVX512F__
    if (vectors == 3) return panel_3;
    if (vectors == 2) return panel_2;
    if (vectors == 1) return panel_1;
#endif
    return panel_float32;
}

// A matrix with one output is no panel but a row: the product is a dot product
static void dot_rows(const mimi_matrix *w, const operands *io, long n, long row, long end, float *accumulators)
{
    for (long r = row; r < end; r++) {
        const float *x = row_of(&io->x, n, r), *weight = w->weight;
        long run = io->run ? io->run : w->inputs;
        vec even = {}, odd = {}, sum = {};
        for (long begin = 0; begin < w->inputs; begin += run, x += io->run_step, weight += run) {
            long i = 0;
            for (; i + 2*LANES <= run; i += 2*LANES) {
                even += load(x + i)*load(weight + i);
                odd += load(x + i + LANES)*load(weight + i + LANES);
            }
            for (; i < run; i++) sum[0] += x[i]*weight[i];
        }
        sum[0] += horizontal_sum(even + odd);
        store(accumulators, sum);
        epilogue(w, io, n, r, 1, 0, 1, accumulators);
    }
}

typedef struct { long row, row_end, panel, panel_end; } share;

// The share of a thread: panels where there are more weights than rows, else rows
INLINE share share_of(const thread_team *team, int thread, long rows, long outputs)
{
    long panels = (outputs + PANEL - 1)/PANEL, blocks = (rows + ROWS - 1)/ROWS, threads = team->threads;
    if (threads > 1 && panels >= threads && (outputs > rows || blocks < 2*threads))
        return (share){0, rows, panels*thread/threads, panels*(thread + 1)/threads};
    return (share){ROWS*(blocks*thread/threads), min_(ROWS*(blocks*(thread + 1)/threads), rows), 0, panels};
}

// Rows and panels of a share; accumulators: (rows, PANEL) if the matrix has more than DEPTH inputs, else (ROWS, PANEL)
static void gemm_share(const mimi_matrix *w, const operands *io, long n, share s, float *accumulators)
{
    long inputs = w->inputs, depth = s.row_end - s.row > ROWS ? DEPTH : inputs;
    if (s.row >= s.row_end) return;
    if (w->outputs == 1) {
        dot_rows(w, io, n, s.row, s.row_end, accumulators);
        return;
    }
    for (long p = s.panel; p < s.panel_end; p++) {
        long column = p*PANEL, rest = w->outputs - column;
        long vectors = w->kind || rest >= PANEL ? VECTORS : (rest + BLOCK - 1)/BLOCK*BLOCK/LANES;
        panel_function *multiply = panel_for(w->kind, vectors);
        for (long i = 0; i < inputs; i += depth) {
            const void *panel = weights_at(w->kind, w->weight, column*inputs + i*LANES*vectors);
            multiply(w, io, n, s.row, s.row_end, column, panel, i, min_(i + depth, inputs), accumulators);
        }
    }
}

// n rows of each of `batch` items through a matrix; every thread computes its share
static void gemm(thread_team *team, int thread, const mimi_matrix *w, long batch, long n, const operands *io,
                 float *accumulators)
{
    gemm_share(w, io, n, share_of(team, thread, batch*n, w->outputs), accumulators);
}

void mimi_gemm(const mimi_matrix *w, const float *x, long rows, const float *residual, int gelu, int threads,
               float *out, float *out_elu, float *difference, float *difference_elu)
{
    thread_team team = {.threads = threads};
    float *accumulators = malloc(4*PANEL*(rows + ROWS));
    long outputs = w->outputs;
    operands io = {
        .x = {(float *)x, 0, w->inputs}, .residual = {(float *)residual, 0, outputs}, .gelu = gelu,
        .out = {out, 0, outputs}, .out_act = {out_elu, 0, outputs},
        .difference = {difference, 0, outputs}, .difference_act = {difference_elu, 0, outputs},
    };
    for (int thread = 0; thread < threads; thread++) gemm(&team, thread, w, 1, rows, &io, accumulators);
    free(accumulators);
}
