// Both halves of a codec, each one call: the workspace, the threads, the order of the parts. Compiled alone, this file
// is the whole library.
#include "internal.h"
#include "vec.c"
#include "gemm.c"
#include "conv.c"
#include "attention.c"
#include "quantize.c"
#include "qwen3.c"

// Sizes of the buffers of a call, in numbers. Accumulators, transformed and attention are there for every thread.
typedef struct { long window, between, latent, wide, accumulators, transformed, attention; } sizes;

INLINE long n_convs(const mimi_seanet *net) { return 2 + net->n_blocks*convs_per_block(net); }

// Numbers of a piece on its wider side: as many as PIECE, or one granule of the widest convolution
static long piece_size(const mimi_seanet *net, long batch)
{
    long size = PIECE;
    for (long i = 0; i < n_convs(net); i++) {
        const mimi_conv *c = net->convs + i;
        size = max_(size, batch*max_(c->stride, c->granule)*max_(c->channels, c->direct.outputs));
    }
    return size;
}

// Steps a frame that a decoder's first convolution takes
INLINE long decoder_steps(const mimi_model *m)
{
    return m->resample_stride*(m->qwen3 ? qwen3_strides(m->qwen3) : 1);
}

// Size of a buffer between two blocks: the largest (batch, rows, channels) that passes
static long between_size(const mimi_call *call, long piece)
{
    const mimi_model *m = call->model;
    const mimi_conv *convs = m->seanet.convs;
    long step = convs_per_block(&m->seanet), rows = call->frames*m->frame_size, size = piece;
    if (m->is_decoder) {
        rows = call->frames*decoder_steps(m);
        size = max_(size, call->batch*rows*convs->direct.outputs);
    }
    for (long i = 0; i < m->seanet.n_blocks; i++) {
        const mimi_conv *resample = convs + 1 + i*step + (m->is_decoder ? 0 : step - 1);
        long outputs = resample->direct.outputs;
        size = max_(size, call->batch*rows/resample->stride*outputs);
        if (m->is_decoder) rows = rows*outputs/resample[1].channels;
        else rows /= resample->stride;
    }
    return size;
}

// Windows, gathered rows, accumulators and transformed inputs of one convolution with `rows` rows of all items
static void add_conv(sizes *s, long *left, const mimi_conv *c, long rows, long batch)
{
    long inputs = c->stride*c->channels, outputs = c->direct.outputs;
    *left = max_(*left, batch*c->left*c->channels);
    if (c->direct.inputs > DEPTH) s->accumulators = max_(s->accumulators, rows/c->stride);
    if (c->form) s->transformed = max_(s->transformed, winograd_groups(inputs)*(inputs + 2*outputs));
}

static void add_qwen3(sizes *s, long *left, const mimi_qwen3 *q, long rows, long batch)
{
    s->window = max_(s->window, rows*q->conv.channels);
    s->latent = max_(s->latent, rows*max_(max_(q->conv.channels, q->conv.direct.outputs), q->input.outputs));
    add_conv(s, left, &q->conv, rows, batch);
    for (long i = 0; i < q->n_upsamples; i++) {
        const mimi_convnext *c = q->upsamples + i;
        rows *= c->stride;
        *left = max_(*left, batch*c->depthwise.left*c->depthwise.channels);
        s->window = max_(s->window, rows*c->depthwise.channels);
        s->latent = max_(s->latent, rows*c->depthwise.channels);
        s->wide = max_(s->wide, rows*c->expand.outputs);
        s->accumulators = max_(s->accumulators, rows);
    }
}

static sizes measure(const mimi_call *call)
{
    const mimi_model *m = call->model;
    const mimi_seanet *net = &m->seanet;
    const mimi_transformer *t = &m->transformer;
    long batch = call->batch, frames = batch*call->frames, steps = frames*m->resample_stride;
    long piece = piece_size(net, batch), left = 0, rows = m->is_decoder ? frames*decoder_steps(m) : steps;
    const mimi_conv *at_once = net->convs + (m->is_decoder ? 0 : n_convs(net) - 1);   // is not divided into pieces
    sizes s = {.window = max_(piece, rows*at_once->channels), .accumulators = max_(ROWS, rows)};
    for (long i = 0; i < n_convs(net); i++) {
        const mimi_conv *c = net->convs + i;
        add_conv(&s, &left, c, piece/c->channels, batch);
    }
    if (!m->is_decoder && m->resample_stride > 1) {
        s.window = max_(s.window, steps*m->downsample.channels);
        add_conv(&s, &left, &m->downsample, steps, batch);
    }
    s.latent = max_(steps*max_(m->latent_dim, t->n_heads*t->head_dim), 2*frames*m->quantizer.codebook_dim);
    s.wide = frames*m->quantizer.codebook_size;
    for (long l = 0; l < t->n_layers; l++) s.wide = max_(s.wide, steps*t->matrices[4*l + 2].outputs);
    if (m->qwen3) add_qwen3(&s, &left, m->qwen3, frames, batch);
    s.window = round_up(s.window + left);
    s.between = between_size(call, piece);
    s.accumulators *= PANEL;
    s.attention = attention_buffer(t);
    return s;
}

typedef struct {
    worker worker;
    float *from, *to;               // between blocks
    float *x;                       // latent steps
    transformer_buffers buffers;
} thread_workspace;

// The next n numbers of the workspace, filled up to whole vectors
INLINE float *take(float *workspace, long *used, long n)
{
    float *p = workspace + *used;
    *used += round_up(n);
    return p;
}

// The workspace divided for one thread, and how much of it there is up to that thread's end
static long divide_workspace(const mimi_call *call, thread_team *team, int thread, thread_workspace *t)
{
    sizes s = measure(call);
    float *w = call->workspace;
    long used = 0;
    worker *k = &t->worker;
    *k = (worker){.team = team, .thread = thread, .batch = call->batch, .first = call->first, .tails = call->tails};
    k->window[0] = take(w, &used, s.window);
    k->window[1] = take(w, &used, s.window);
    k->hidden = take(w, &used, s.window);
    t->from = take(w, &used, s.between);
    t->to = take(w, &used, s.between);
    t->x = take(w, &used, s.latent);
    t->buffers.hidden = take(w, &used, s.latent);
    t->buffers.qkv = take(w, &used, 3*s.latent);
    t->buffers.up = take(w, &used, s.wide);
    for (int i = 0; i <= thread; i++) {   // the last one taken is this thread's
        t->buffers.attention = take(w, &used, s.attention);
        k->accumulators = take(w, &used, s.accumulators);
        k->transformed = take(w, &used, s.transformed);
    }
    return used;
}

INLINE int threads_of(const mimi_call *call) { return min_(max_(call->threads, 1), MAX_THREADS); }

long mimi_workspace(const mimi_call *call)
{
    thread_workspace t;
    return divide_workspace(call, NULL, threads_of(call) - 1, &t);
}

static void encode(const mimi_call *call, thread_team *team, int thread)
{
    thread_workspace t;
    divide_workspace(call, team, thread, &t);
    const mimi_model *m = call->model;
    worker *k = &t.worker;
    float *latent = t.x;
    long steps = call->frames*m->resample_stride, dim = m->latent_dim;
    seanet_encoder(k, &m->seanet, call->wav, call->frames*m->frame_size, t.x, t.from, t.to);
    transform(k, &m->transformer, t.x, steps, call->start, call->position, call->keys, call->values, &t.buffers);
    if (m->resample_stride > 1) {
        latent = t.buffers.hidden;
        copy_to_window(k, t.x, steps*dim, k->window[0], m->downsample.left, steps, dim);
        convolve(k, &m->downsample, k->window[0], steps, (operands){.out = {latent, call->frames*dim, dim}});
        barrier(team);
    }
    quantize(k, &m->quantizer, latent, call->batch*call->frames, call->codebooks, call->codes, t.buffers.qkv,
             t.buffers.up);
}

// Latents (batch, frames, dim) to steps (batch, frames * stride, dim), each channel alone: a latent gives its own steps
// and adds to those of the next one
static void upsample(worker *k, const mimi_model *m, long frames, const float *latents, float *steps, float *tail)
{
    long stride = m->resample_stride, dim = m->latent_dim, n = frames*stride, rows = k->batch*n;
    long threads = k->team->threads;
    for (long r = rows*k->thread/threads; r < rows*(k->thread + 1)/threads; r++) {
        long item = r/n, frame = r%n/stride, step = r%n%stride;
        const float *latent = latents + (item*frames + frame)*dim, *previous = frame ? latent - dim : tail + item*dim;
        const float *own = m->upsample + step*dim, *late = own + stride*dim;
        for (long c = 0; c < dim; c++) steps[r*dim + c] = latent[c]*own[c] + previous[c]*late[c];
    }
    barrier(k->team);
    if (k->thread == 0)
        for (long b = 0; b < k->batch; b++) memcpy(tail + b*dim, latents + (b*frames + frames - 1)*dim, 4*dim);
    barrier(k->team);
}

// To [-1, 1]; all threads have written their shares
static void clamp(worker *k, float *wav, long n)
{
    long threads = k->team->threads;
    for (long i = n*k->thread/threads; i < n*(k->thread + 1)/threads; i++) wav[i] = fminf(fmaxf(wav[i], -1), 1);
}

static void decode(const mimi_call *call, thread_team *team, int thread)
{
    thread_workspace t;
    divide_workspace(call, team, thread, &t);
    const mimi_model *m = call->model;
    worker *k = &t.worker;
    long steps = call->frames*m->resample_stride;
    float *latent = m->upsample ? t.buffers.hidden : t.x;
    dequantize(k, &m->quantizer, call->codes, call->codebooks, call->frames, latent, t.buffers.qkv);
    if (m->upsample) upsample(k, m, call->frames, latent, t.x, call->tails + m->upsample_tail*call->batch);
    if (m->qwen3) qwen3_latent(k, m->qwen3, &m->transformer, t.x, steps, call->start, call->position, call->keys,
                               call->values, &t.buffers);
    else transform(k, &m->transformer, t.x, steps, call->start, call->position, call->keys, call->values, &t.buffers);
    seanet_decoder(k, &m->seanet, t.x, call->frames*decoder_steps(m), call->wav, t.from, t.to);
    if (m->qwen3) clamp(k, call->wav, call->batch*call->frames*m->frame_size);
}

typedef void program(const mimi_call *, thread_team *, int);
typedef struct { const mimi_call *call; thread_team *team; int thread; program *run; } thread_start;

static void *start_thread(void *argument)
{
    thread_start *s = argument;
    // until it is settled how many threads could be started
    while (!__atomic_load_n(&s->team->threads, __ATOMIC_ACQUIRE)) sched_yield();
    s->run(s->call, s->team, s->thread);
    return NULL;
}

static void run_team(const mimi_call *call, program *run)
{
    thread_team team = {0};
    thread_start starts[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    int threads = 1, wanted = threads_of(call);
    for (; threads < wanted; threads++) {
        starts[threads] = (thread_start){call, &team, threads, run};
        if (pthread_create(ids + threads, NULL, start_thread, starts + threads)) break;
    }
    __atomic_store_n(&team.threads, threads, __ATOMIC_RELEASE);
    run(call, &team, 0);
    for (int i = 1; i < threads; i++) pthread_join(ids[i], NULL);
}

void mimi_encode(const mimi_call *call) { run_team(call, encode); }
void mimi_decode(const mimi_call *call) { run_team(call, decode); }
