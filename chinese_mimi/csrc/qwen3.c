// The decoder of Qwen3-TTS between its quantizer and its SnakeBeta blocks: a convolution and a transformer at the frame
// rate, then ConvNeXt blocks, each of which gives a step several.
#include "internal.h"

INLINE long qwen3_strides(const mimi_qwen3 *q)
{
    long strides = 1;
    for (long i = 0; i < q->n_upsamples; i++) strides *= q->upsamples[i].stride;
    return strides;
}

// Each channel alone: window (batch, left + n, channels) to y (batch, n, channels)
static void depthwise(worker *k, const mimi_conv *c, float *window, long n, float *y)
{
    long channels = c->channels, item = (c->left + n)*channels, rows = k->batch*n, threads = k->team->threads;
    const float *weight = c->direct.weight, *bias = c->direct.bias;
    exchange_tails(k, c, window, item, n);
    for (long r = rows*k->thread/threads; r < rows*(k->thread + 1)/threads; r++) {
        const float *x = window + r/n*item + r%n*channels;
        for (long i = 0; i < channels; i += LANES) {
            vec sum = load_partial(bias + i, channels - i);
            for (long j = 0; j < c->taps; j++) {
                long at = j*channels + i;
                sum += load_partial(x + at, channels - i)*load_partial(weight + at, channels - i);
            }
            store_partial(y + r*channels + i, sum, channels - i);
        }
    }
}

// x (batch, n, channels) to out (batch, n * stride, channels)
static void convnext(worker *k, const mimi_convnext *c, const float *x, long n, float *out,
                     const transformer_buffers *b)
{
    const mimi_conv *conv = &c->depthwise;
    thread_team *team = k->team;
    long channels = conv->channels, outputs = c->up.outputs, m = n*c->stride, rows = k->batch*m;
    float *window = k->window[0];
    view inner = window_view(window, conv->left, m, channels);
    operands up = {.x = {(float *)x, n*channels, channels}, .out = {inner.data, inner.item, outputs}};
    gemm(team, k->thread, &c->up, k->batch, n, &up, k->accumulators);
    depthwise(k, conv, window, m, b->hidden);
    barrier(team);
    norm_rows(k, 0, b->hidden, b->hidden, rows, channels, c->eps);
    barrier(team);
    operands expand = {.x = {b->hidden, 0, channels}, .out = {b->up, 0, c->expand.outputs}, .gelu = 1};
    gemm(team, k->thread, &c->expand, 1, rows, &expand, k->accumulators);
    barrier(team);
    operands contract = {.x = {b->up, m*c->expand.outputs, c->expand.outputs}, .residual = inner,
                         .out = {out, m*channels, channels}};
    gemm(team, k->thread, &c->contract, k->batch, m, &contract, k->accumulators);
    barrier(team);
}

// x (batch, n, dimension of the quantizer) to x (batch, n * strides, dimension of the blocks)
static void qwen3_latent(worker *k, const mimi_qwen3 *q, const mimi_transformer *t, float *x, long n, long start,
                         long position, float *keys, float *values, const transformer_buffers *b)
{
    thread_team *team = k->team;
    long rows = k->batch*n, width = t->width, inputs = q->conv.channels, dim = q->conv.direct.outputs;
    copy_to_window(k, x, n*inputs, k->window[0], q->conv.left, n, inputs);
    convolve(k, &q->conv, k->window[0], n, (operands){.out = {b->hidden, n*dim, dim}});
    barrier(team);
    operands in = {.x = {b->hidden, 0, dim}, .out = {x, 0, width}};
    gemm(team, k->thread, &q->input, 1, rows, &in, k->accumulators);
    barrier(team);
    transform(k, t, x, n, start, position, keys, values, b);
    norm_rows(k, t->gated, x, b->hidden, rows, width, t->eps);
    barrier(team);
    operands out = {.x = {b->hidden, 0, width}, .out = {x, 0, q->output.outputs}};
    gemm(team, k->thread, &q->output, 1, rows, &out, k->accumulators);
    barrier(team);
    for (long i = 0; i < q->n_upsamples; i++) {
        convnext(k, q->upsamples + i, x, n, x, b);
        n *= q->upsamples[i].stride;
    }
}
