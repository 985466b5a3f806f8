// Convolutions. With time first, a window of rows is one long row: a convolution is a product with a matrix, and so
// is a transposed one, whose outputs lie side by side. In a window, the last rows of the previous call precede the
// new ones.
#include "internal.h"

// The new rows of a window begin behind `left` rows of the past
INLINE float *window_rows(float *window, long item, long left, long n, long channels)
{
    return window + (item*(left + n) + left)*channels;
}

static void copy_to_window(worker *k, const float *x, long item, float *window, long left, long n, long channels)
{
    if (k->thread) return;
    for (long b = 0; b < k->batch; b++)
        memcpy(window_rows(window, b, left, n, channels), x + b*item, 4*n*channels);
}

// The rows of a tensor after an activation
static void act_to_window(worker *k, const mimi_snake *act, const float *x, long item, float *window, long left, long n,
                          long channels)
{
    long rows = k->batch*n, threads = k->team->threads;
    for (long r = rows*k->thread/threads; r < rows*(k->thread + 1)/threads; r++) {
        float *y = window_rows(window, r/n, left, n, channels) + r%n*channels;
        act_row(act, x + r/n*item + r%n*channels, y, channels);
    }
}

// The view of a window's new rows, as an output of the product before
INLINE view window_view(float *window, long left, long n, long channels)
{
    return (view){window + left*channels, (left + n)*channels, channels};
}

// A Winograd form (Winograd, Arithmetic Complexity of Computations, 1980): products of x_a + sign x_b with a
// transformed weight, x_i being consecutive blocks of stride rows. The order matters: later products use sums of
// earlier ones.
typedef struct { int weight, a, b, sign; } winograd_product;
typedef struct { int outputs, n_products; winograd_product products[4]; } winograd_form;
static const winograd_form WINOGRAD[] = {
    [MIMI_F2_2] = {2, 3, {{1, 1, 1, 0}, {0, 0, 1, -1}, {2, 2, 1, -1}}},
    [MIMI_F3_2] = {3, 4, {{1, 1, 2, 1}, {2, 2, 1, -1}, {0, 0, 2, -1}, {3, 3, 1, -1}}},
    [MIMI_F2_3] = {2, 4, {{1, 1, 2, 1}, {2, 2, 1, -1}, {0, 0, 2, -1}, {3, 3, 1, -1}}},
};

// Groups of outputs that a thread transforms at once
INLINE long winograd_groups(long inputs) { return max_(WINOGRAD_INPUTS/inputs/ROWS*ROWS, ROWS); }

// Rows i, i + n, i + 2 n ... of a view, as the rows of another
INLINE view every_nth_row(view v, long i, long n)
{
    if (!v.data) return v;
    return (view){v.data + i*v.row, v.item, n*v.row};
}

// The inputs of one product for groups [group, end), `groups` to an item
static void winograd_inputs(const winograd_product *p, const float *window, long item, long groups, long outputs,
                            long inputs, long group, long end, float *transformed)
{
    for (long g = group; g < end; g++) {
        const float *first = window + g/groups*item + g%groups*outputs*inputs;
        const float *a = first + p->a*inputs, *b = first + p->b*inputs;
        float *y = transformed + (g - group)*inputs, sign = p->sign;
        for (long i = 0; i < inputs; i += LANES) {
            vec x = load_partial(a + i, inputs - i) + sign*load_partial(b + i, inputs - i);
            store_partial(y + i, x, inputs - i);
        }
    }
}

// The operands of each product, by its weight. With p = (x1 + x2) (W0 + W1 ...)/2 and q = (x2 - x1) (W0 - W1 ...)/2
// the sum is p + q and the difference p - q; the first output is sum + (x0 - x2) W0, the last one adds (x3 - x1) W_last
// to the sum or the difference. F(2, 2) has m = x1 (W0 + W1) as its sum.
static void winograd_operands(const mimi_conv *c, view x, view sum, view difference, const operands *io, operands to[4])
{
    int outputs = WINOGRAD[c->form].outputs, last = WINOGRAD[c->form].n_products - 1;
    to[0] = (operands){.x = x, .residual = sum, .out = every_nth_row(io->out, 0, outputs),
                       .out_act = every_nth_row(io->out_act, 0, outputs), .act = io->act};
    to[1] = (operands){.x = x, .out = sum};
    to[2] = (operands){.x = x, .residual = sum, .out = sum, .difference = difference, .act = io->act};
    if (outputs == 3) {
        to[2].difference = every_nth_row(io->out, 1, outputs);
        to[2].difference_act = every_nth_row(io->out_act, 1, outputs);
    }
    to[last] = (operands){.x = x, .residual = c->form == MIMI_F2_3 ? difference : sum,
                          .out = every_nth_row(io->out, outputs - 1, outputs),
                          .out_act = every_nth_row(io->out_act, outputs - 1, outputs), .act = io->act};
}

// n outputs of each item; a thread needs nothing of the others, so there is no barrier within
static void winograd(worker *k, const mimi_conv *c, const float *window, long item, long n, const operands *io)
{
    const winograd_form *form = WINOGRAD + c->form;
    long inputs = c->stride*c->channels, outputs = c->direct.outputs;
    long groups = n/form->outputs, most = winograd_groups(inputs);
    share s = share_of(k->team, k->thread, k->batch*groups, outputs);
    float *transformed = k->transformed, *sums = transformed + most*inputs, *differences = sums + most*outputs;
    for (long group = s.row; group < s.row_end; group += most) {
        long end = min_(group + most, s.row_end);
        operands products[4];
        view x = {transformed - group*inputs, groups*inputs, inputs};
        view sum = {sums - group*outputs, groups*outputs, outputs};
        view difference = {differences - group*outputs, groups*outputs, outputs};
        winograd_operands(c, x, sum, difference, io, products);
        for (int i = 0; i < form->n_products; i++) {
            const winograd_product *p = form->products + i;
            winograd_inputs(p, window, item, groups, form->outputs, inputs, group, end, transformed);
            share part = {group, end, s.panel, s.panel_end};
            gemm_share(c->winograd + p->weight, products + p->weight, groups, part, k->accumulators);
        }
    }
}

// The rows that precede the first ones of a stream
static void pad(worker *k, const mimi_conv *c, float *window, long item)
{
    for (long b = 0; b < k->batch; b++) {
        float *rows = window + b*item;
        for (long i = 0; i < c->left; i++) {
            long source = c->pad == MIMI_PAD_REPLICATE ? c->left : 2*c->left - i;
            memcpy(rows + i*c->channels, rows + source*c->channels, 4*c->channels);
        }
    }
}

// Fill a window's past from the tails, and keep its last rows there for the next call
static void exchange_tails(worker *k, const mimi_conv *c, float *window, long item, long n)
{
    long size = c->left*c->channels;
    float *tail = k->tails + c->tail*k->batch;
    if (k->thread == 0 && size)
        for (long b = 0; b < k->batch; b++) memcpy(window + b*item, tail + b*size, 4*size);
    barrier(k->team);
    if (k->first && c->pad) {
        if (k->thread == 0) pad(k, c, window, item);
        barrier(k->team);
    }
    if (k->thread == k->team->threads - 1 && size)
        for (long b = 0; b < k->batch; b++) memcpy(tail + b*size, window + b*item + n*c->channels, 4*size);
}

// window (batch, left + n, channels), whose last n rows are written. All threads pass a barrier before the product
// begins, none after it.
static void convolve(worker *k, const mimi_conv *c, float *window, long n, operands io)
{
    long channels = c->channels, item = (c->left + n)*channels, outputs = n/c->stride;
    exchange_tails(k, c, window, item, n);
    io.act = c->act;
    if (c->form) {
        winograd(k, c, window, item, outputs, &io);
        return;
    }
    io.x = (view){window, item, c->stride*channels};
    if (c->dilation > 1) {
        io.run = channels;
        io.run_step = c->dilation*channels;
    }
    gemm(k->team, k->thread, &c->direct, k->batch, outputs, &io, k->accumulators);
}

// Residual units on x (batch, n, channels), whose activation is in window `i`; leaves x, and its activation in a window
// for the convolution `next`, if there is one. The index of that window is returned.
static int residual_units(worker *k, const mimi_conv *c, long units, const mimi_conv *next, float *x, long item,
                          long n, int i)
{
    for (long u = 0; u < units; u++, c += 2, i = !i) {
        long channels = c->channels, hidden = c->direct.outputs;
        const mimi_conv *after = u + 1 < units ? c + 2 : next;
        convolve(k, c, k->window[i], n, (operands){.out_act = {k->hidden, n*hidden, hidden}});
        barrier(k->team);
        operands io = {.x = {k->hidden, n*hidden, hidden}, .residual = {x, item, channels}, .out = {x, item, channels},
                       .act = c[1].act};
        if (after) io.out_act = window_view(k->window[!i], after->left, n, channels);
        gemm(k->team, k->thread, &c[1].direct, k->batch, n, &io, k->accumulators);
    }
    return i;
}

INLINE long convs_per_block(const mimi_seanet *net) { return 1 + 2*net->n_units; }

// Rows of a piece of a stage: equal parts of n rows, each a multiple of the granule, that the cache holds
static long piece_rows(const mimi_conv *resample, long batch, long n)
{
    long granules = n/resample->granule;
    long widest = max_(resample->direct.outputs, resample->channels);
    long most = PIECE/(widest*batch*resample->granule);
    long parts = most ? (granules + most - 1)/most : granules;
    return (granules + parts - 1)/parts*resample->granule;
}

// One piece of n rows of an encoder's block: x, whose activation is in the first window, to out
static void encoder_piece(worker *k, const mimi_seanet *net, const mimi_conv *stage, float *x, long item, long n,
                          float *out, long out_item)
{
    const mimi_conv *down = stage + 2*net->n_units;
    int i = residual_units(k, stage, net->n_units, down, x, item, n, 0);
    convolve(k, down, k->window[i], n, (operands){.out = {out, out_item, down->direct.outputs}});
    barrier(k->team);
    k->first = 0;
}

// The first block, together with the convolution before it: wav (batch, n, 1) to out (batch, n / stride, channels)
static void encoder_first_block(worker *k, const mimi_seanet *net, const float *wav, long n, float *piece, float *out)
{
    const mimi_conv *first = net->convs, *stage = first + 1, *down = stage + 2*net->n_units;
    long channels = down->channels, step = down->stride, outputs = down->direct.outputs;
    long rows = piece_rows(down, k->batch, n);
    for (long begin = 0; begin < n; begin += rows) {
        long m = min_(n - begin, rows);
        copy_to_window(k, wav + begin*first->channels, n*first->channels, k->window[1], first->left, m,
                       first->channels);
        operands io = {.out = {piece, m*channels, channels}};
        io.out_act = window_view(k->window[0], stage->left, m, channels);
        convolve(k, first, k->window[1], m, io);
        encoder_piece(k, net, stage, piece, m*channels, m, out + begin/step*outputs, n/step*outputs);
    }
}

static void encoder_block(worker *k, const mimi_seanet *net, const mimi_conv *stage, float *x, long n, float *out)
{
    const mimi_conv *down = stage + 2*net->n_units;
    long channels = down->channels, step = down->stride, outputs = down->direct.outputs;
    long rows = piece_rows(down, k->batch, n);
    for (long begin = 0; begin < n; begin += rows) {
        long m = min_(n - begin, rows);
        float *part = x + begin*channels;
        act_to_window(k, &stage[-1].act, part, n*channels, k->window[0], stage->left, m, channels);
        encoder_piece(k, net, stage, part, n*channels, m, out + begin/step*outputs, n/step*outputs);
    }
}

// wav (batch, n) to latent (batch, steps, dim); from, to: buffers for what passes between blocks
static void seanet_encoder(worker *k, const mimi_seanet *net, const float *wav, long n, float *latent, float *from,
                           float *to)
{
    long step = convs_per_block(net), blocks = net->n_blocks;
    const mimi_conv *last = net->convs + 1 + blocks*step;
    int first = k->first;
    for (long i = 0; i < blocks; i++) {
        const mimi_conv *stage = net->convs + 1 + i*step;
        k->first = first;
        if (i == 0) encoder_first_block(k, net, wav, n, from, to);
        else encoder_block(k, net, stage, from, n, to);
        n /= stage[step - 1].stride;
        float *swap = from;
        from = to;
        to = swap;
    }
    k->first = first;
    act_to_window(k, &last[-1].act, from, n*last->channels, k->window[0], last->left, n, last->channels);
    convolve(k, last, k->window[0], n, (operands){.out = {latent, n*last->direct.outputs, last->direct.outputs}});
    barrier(k->team);
}

// A block of a decoder, together with the convolution `last` behind the last block, else NULL.
// x (batch, n, channels) to out (batch, n * stride, channels), the latter the waveform where there is `last`.
static void decoder_block(worker *k, const mimi_seanet *net, const mimi_conv *up, const mimi_conv *last,
                          const float *x, long n, float *piece, float *out)
{
    const mimi_conv *unit = up + 1, *next = net->n_units ? unit : last;
    long channels = up->channels, outputs = up->direct.outputs, inner = unit->channels, stride = outputs/inner;
    long rows = piece_rows(up, k->batch, n);
    for (long begin = 0; begin < n; begin += rows) {
        long m = min_(n - begin, rows);
        float *result = last ? piece : out + begin*outputs;
        long item = last ? m*outputs : n*outputs;
        operands io = {.out = {result, item, outputs}};
        if (next) io.out_act = (view){k->window[1] + next->left*inner, (next->left + m*stride)*inner, outputs};
        act_to_window(k, &up[-1].act, x + begin*channels, n*channels, k->window[0], up->left, m, channels);
        convolve(k, up, k->window[0], m, io);
        int i = residual_units(k, unit, net->n_units, last, result, item, m*stride, 1);
        if (last) {
            long width = last->direct.outputs;
            view wav = {out + begin*stride*width, n*stride*width, width};
            convolve(k, last, k->window[i], m*stride, (operands){.out = wav});
        }
        barrier(k->team);
        k->first = 0;
    }
}

// x (batch, n, dim) to wav (batch, samples); from, to: buffers for what passes between blocks
static void seanet_decoder(worker *k, const mimi_seanet *net, const float *x, long n, float *wav, float *from,
                           float *to)
{
    const mimi_conv *start = net->convs;
    long step = convs_per_block(net), blocks = net->n_blocks, outputs = start->direct.outputs;
    int first = k->first;
    copy_to_window(k, x, n*start->channels, k->window[0], start->left, n, start->channels);
    convolve(k, start, k->window[0], n, (operands){.out = {from, n*outputs, outputs}});
    barrier(k->team);
    for (long i = 0; i < blocks; i++) {
        const mimi_conv *up = start + 1 + i*step, *last = i == blocks - 1 ? up + step : NULL;
        k->first = first;
        decoder_block(k, net, up, last, from, n, to, last ? wav : to);
        n *= up->direct.outputs/up[1].channels;
        float *swap = from;
        from = to;
        to = swap;
    }
}

void mimi_convolve(const mimi_conv *c, const float *x, long batch, long rows, int first, float *tails, float *out)
{
    long inputs = c->stride*c->channels, n = c->direct.outputs, outputs = rows/c->stride;
    thread_team team = {.threads = 1};
    worker k = {.team = &team, .batch = batch, .first = first, .tails = tails};
    k.window[0] = malloc(4*batch*(c->left + rows)*c->channels);
    k.accumulators = malloc(4*PANEL*(batch*outputs + ROWS));
    k.transformed = malloc(4*winograd_groups(inputs)*(inputs + 2*n));
    copy_to_window(&k, x, rows*c->channels, k.window[0], c->left, rows, c->channels);
    convolve(&k, c, k.window[0], rows, (operands){.out = {out, outputs*n, n}});
    free(k.window[0]);
    free(k.accumulators);
    free(k.transformed);
}
