// The transformer. Gains of the norms and LayerScale are part of the matrices. Keys lie one channel after the other and
// values one step after the other, so that scores and mixtures are products as well; both are rings: step p is in slot
// p modulo their size.
#include "internal.h"

// (x - mean) / sqrt(variance + eps)
INLINE void layer_norm(const float *x, float *y, long dim, float eps)
{
    vec sum = {}, squares = {};
    for (long i = 0; i < dim; i += LANES) sum += load_partial(x + i, dim - i);
    float mean = horizontal_sum(sum)/dim;
    for (long i = 0; i < dim; i += LANES) {
        vec a = load_partial(x + i, dim - i) - mean;
        for (long j = dim - i; j < LANES; j++) a[j] = 0;
        squares += a*a;
    }
    float scale = 1/sqrtf(horizontal_sum(squares)/dim + eps);
    for (long i = 0; i < dim; i += LANES)
        store_partial(y + i, (load_partial(x + i, dim - i) - mean)*scale, dim - i);
}

// x / sqrt(mean square + eps)
INLINE void rms_norm(const float *x, float *y, long dim, float eps)
{
    vec squares = {};
    for (long i = 0; i < dim; i += LANES) {
        vec a = load_partial(x + i, dim - i);
        squares += a*a;
    }
    float scale = 1/sqrtf(horizontal_sum(squares)/dim + eps);
    for (long i = 0; i < dim; i += LANES) store_partial(y + i, load_partial(x + i, dim - i)*scale, dim - i);
}

static void norm_rows(worker *k, int rms, const float *x, float *y, long rows, long dim, float eps)
{
    long threads = k->team->threads;
    for (long r = rows*k->thread/threads; r < rows*(k->thread + 1)/threads; r++)
        if (rms) rms_norm(x + r*dim, y + r*dim, dim, eps);
        else layer_norm(x + r*dim, y + r*dim, dim, eps);
}

// c (rows, n) = a (rows, inputs) b (inputs, n), n in sixteens; rows lie a_row, b_row and c_row apart
INLINE void matmul_rows(const int rows, const float *a, long a_row, const float *b, long b_row, long n, long inputs,
                        float *c, long c_row)
{
    const float *x[ROWS];
    long j = 0;
    UNROLL(m, rows) x[m] = a + m*a_row;
    for (; j + PANEL <= n; j += PANEL) {
        vec sums[ROWS][VECTORS] = {};
        microkernel(MIMI_FLOAT32, rows, VECTORS, x, b + j, b_row, inputs, sums);
        UNROLL(m, rows) UNROLL(u, VECTORS) store(c + m*c_row + j + LANES*u, sums[m][u]);
    }
    for (; j < n; j += LANES) {
        vec sums[ROWS][VECTORS] = {};
        microkernel(MIMI_FLOAT32, rows, 1, x, b + j, b_row, inputs, sums);
        UNROLL(m, rows) store(c + m*c_row + j, sums[m][0]);
    }
}

static void matmul(long rows, const float *a, long a_row, const float *b, long b_row, long n, long inputs, float *c,
                   long c_row)
{
    for (; rows >= 4; rows -= 4, a += 4*a_row, c += 4*c_row) matmul_rows(4, a, a_row, b, b_row, n, inputs, c, c_row);
    if (rows >= 2) {
        matmul_rows(2, a, a_row, b, b_row, n, inputs, c, c_row);
        rows -= 2;
        a += 2*a_row;
        c += 2*c_row;
    }
    if (rows) matmul_rows(1, a, a_row, b, b_row, n, inputs, c, c_row);
}

// Position times frequency, in radians: in float32, as the reference implementations have it, while that is exact
// enough; later, as in a stream of days, without its whole turns
INLINE float rotary_angle(long position, float frequency)
{
    if (position < MIMI_FLOAT32_POSITIONS) return (float)position*frequency;
    double turns = (double)position*frequency/(2*M_PI);
    return (float)((turns - floor(turns))*(2*M_PI));
}

// Turn queries and keys of one step by the angles of its position; queries are scaled by 1 / sqrt(head_dim)
static void rotate_step(const mimi_transformer *t, float *queries, long position)
{
    long dim = t->n_heads*t->head_dim;
    float scale = 1/sqrtf(t->head_dim);
    for (long j = 0; j < t->head_dim; j += 2) {
        float angle = rotary_angle(position, t->frequencies[j/2]), c = cosf(angle), s = sinf(angle);
        float *x = queries + j, *y = x + dim;
        float re = x[0], im = x[1];
        x[0] = (re*c - im*s)*scale;
        x[1] = (re*s + im*c)*scale;
        re = y[0];
        im = y[1];
        y[0] = re*c - im*s;
        y[1] = re*s + im*c;
    }
}

static void store_in_rings(const mimi_transformer *t, const float *qkv, long n, long position, float *keys,
                           float *values)
{
    long d = t->head_dim, dim = t->n_heads*d;
    for (long r = 0; r < n; r++) {
        const float *key = qkv + r*3*dim + dim, *value = key + dim;
        long slot = (position + r)%t->ring_size;
        for (long j = 0; j < d; j++) keys[j*t->ring_size + slot] = key[j];
        memcpy(values + slot*t->value_width, value, 4*d);
    }
}

// -inf for the slots, of those that are filled, that a step may not attend to. Those that it may run from `begin` to
// `end`, around the end of the ring where end <= begin. The stream began at step `start`.
static void mask_scores(const mimi_transformer *t, float *scores, long start, long step, long filled)
{
    long begin = max_(step - t->context + 1, start)%t->ring_size, end = step%t->ring_size + 1;
    for (long j = begin < end ? 0 : end; j < begin; j++) scores[j] = -INFINITY;
    if (begin < end)
        for (long j = end; j < filled; j++) scores[j] = -INFINITY;
}

static void softmax(float *scores, long n)
{
    vec top = load(scores), sum = {};
    for (long j = LANES; j < n; j += LANES) top = max_vec(top, load(scores + j));
    float highest = top[0];
    for (int j = 1; j < LANES; j++)
        if (top[j] > highest) highest = top[j];
    for (long j = 0; j < n; j += LANES) {
        vec e = exp_vec(load(scores + j) - highest);
        store(scores + j, e);
        sum += e;
    }
    float scale = 1/horizontal_sum(sum);
    for (long j = 0; j < n; j += LANES) store(scores + j, load(scores + j)*scale);
}

// Numbers of buffer that `attend` needs
INLINE long attention_buffer(const mimi_transformer *t) { return MIMI_QUERIES*(t->ring_size + t->value_width); }

// One head of one item: n rows of queries, keys and values, dim apart, 3 dim from row to row
static void attend(const mimi_transformer *t, float *qkv, float *keys, float *values, float *out, long n,
                   long start, long position, float *buffer)
{
    long d = t->head_dim, dim = t->n_heads*d, size = t->ring_size, width = t->value_width;
    float *scores = buffer, *mixtures = buffer + MIMI_QUERIES*size;
    for (long i = 0; i < n; i++) rotate_step(t, qkv + i*3*dim, position + i);
    for (long i = 0; i < n; i += MIMI_QUERIES) {
        long m = min_(n - i, MIMI_QUERIES), begin = position + i;
        long filled = begin + m < size ? round_up(begin + m) : size;
        float *queries = qkv + i*3*dim;
        store_in_rings(t, queries, m, begin, keys, values);
        matmul(m, queries, 3*dim, keys, size, filled, d, scores, size);
        for (long r = 0; r < m; r++) {
            mask_scores(t, scores + r*size, start, begin + r, filled);
            softmax(scores + r*size, filled);
        }
        matmul(m, scores, size, values, width, width, filled, mixtures, width);
        for (long r = 0; r < m; r++) memcpy(out + (i + r)*dim, mixtures + r*width, 4*d);
    }
}

// The team's buffers: hidden (rows, the larger of width and heads * head_dim), qkv (rows, 3 heads * head_dim),
// up (rows, feed-forward); the thread's: attention
typedef struct { float *hidden, *qkv, *up, *attention; } transformer_buffers;

static void attention(worker *k, const mimi_transformer *t, const mimi_matrix *w, float *x, long n, long start,
                      long position, float *keys, float *values, const transformer_buffers *b)
{
    thread_team *team = k->team;
    long d = t->head_dim, heads = t->n_heads, dim = heads*d, rows = k->batch*n, items = k->batch*heads;
    norm_rows(k, t->gated, x, b->hidden, rows, t->width, t->eps);
    barrier(team);
    operands qkv = {.x = {b->hidden, 0, t->width}, .out = {b->qkv, 0, 3*dim}};
    gemm(team, k->thread, w, 1, rows, &qkv, k->accumulators);
    barrier(team);
    for (long i = items*k->thread/team->threads; i < items*(k->thread + 1)/team->threads; i++) {
        float *head = b->qkv + i/heads*n*3*dim + i%heads*d;
        float *out = b->hidden + i/heads*n*dim + i%heads*d;
        attend(t, head, keys + i*d*t->ring_size, values + i*t->ring_size*t->value_width, out, n, start,
               position, b->attention);
    }
    barrier(team);
    operands out = {.x = {b->hidden, 0, dim}, .residual = {x, 0, t->width}, .out = {x, 0, t->width}};
    gemm(team, k->thread, w + 1, 1, rows, &out, k->accumulators);
    barrier(team);
}

// SwiGLU: rows of gates, then values, become silu(gate) * value in the place of the gates
static void apply_gates(worker *k, float *up, long rows, long width)
{
    long threads = k->team->threads, n = width/2;
    for (long r = rows*k->thread/threads; r < rows*(k->thread + 1)/threads; r++) {
        float *gate = up + r*width, *value = gate + n;
        for (long i = 0; i < n; i += LANES) {
            vec g = load_partial(gate + i, n - i);
            store_partial(gate + i, g/(1.f + exp_vec(-g))*load_partial(value + i, n - i), n - i);
        }
    }
    barrier(k->team);
}

static void feed_forward(worker *k, const mimi_transformer *t, const mimi_matrix *w, float *x, long n,
                         const transformer_buffers *b)
{
    thread_team *team = k->team;
    long dim = t->width, rows = k->batch*n, width = w->outputs;
    norm_rows(k, t->gated, x, b->hidden, rows, t->width, t->eps);
    barrier(team);
    operands up = {.x = {b->hidden, 0, dim}, .out = {b->up, 0, width}, .gelu = !t->gated};
    gemm(team, k->thread, w, 1, rows, &up, k->accumulators);
    barrier(team);
    if (t->gated) apply_gates(k, b->up, rows, width);
    operands down = {.x = {b->up, 0, width}, .residual = {x, 0, dim}, .out = {x, 0, dim}};
    gemm(team, k->thread, w + 1, 1, rows, &down, k->accumulators);
    barrier(team);
}

// x (batch * n, width) becomes the output; keys (layers, batch, heads, head_dim, ring_size) and values are the stream's
static void transform(worker *k, const mimi_transformer *t, float *x, long n, long start, long position, float *keys,
                      float *values, const transformer_buffers *b)
{
    long items = k->batch*t->n_heads, size = t->ring_size;
    for (long l = 0; l < t->n_layers; l++) {
        const mimi_matrix *w = t->matrices + 4*l;
        float *layer_keys = keys + l*items*t->head_dim*size, *layer_values = values + l*items*size*t->value_width;
        attention(k, t, w, x, n, start, position, layer_keys, layer_values, b);
        feed_forward(k, t, w + 2, x, n, b);
    }
}

void mimi_layer_norm(const float *x, float *y, long rows, long dim, float eps)
{
    for (long r = 0; r < rows; r++) layer_norm(x + r*dim, y + r*dim, dim, eps);
}

void mimi_rms_norm(const float *x, float *y, long rows, long dim, float eps)
{
    for (long r = 0; r < rows; r++) rms_norm(x + r*dim, y + r*dim, dim, eps);
}

void mimi_attend(const mimi_transformer *t, float *qkv, long steps, long start, long position, float *keys,
                 float *values, float *out)
{
    long d = t->head_dim, size = t->ring_size;
    float *buffer = malloc(4*attention_buffer(t));
    for (long h = 0; h < t->n_heads; h++)
        attend(t, qkv + h*d, keys + h*d*size, values + h*size*t->value_width, out + h*d, steps, start, position,
               buffer);
    free(buffer);
}

void mimi_transform(const mimi_transformer *t, float *x, long batch, long steps, long start, long position,
                    float *keys, float *values)
{
    long dim = max_(t->width, t->n_heads*t->head_dim), rows = batch*steps, width = 0;
    for (long l = 0; l < t->n_layers; l++) width = max_(width, t->matrices[4*l + 2].outputs);
    thread_team team = {.threads = 1};
    worker k = {.team = &team, .batch = batch, .accumulators = malloc(4*PANEL*(rows + ROWS))};
    transformer_buffers b = {malloc(4*rows*dim), malloc(4*rows*3*dim), malloc(4*rows*width),
                             malloc(4*attention_buffer(t))};
    transform(&k, t, x, steps, start, position, keys, values, &b);
    free(b.hidden);
    free(b.qkv);
    free(b.up);
    free(b.attention);
    free(k.accumulators);
}
