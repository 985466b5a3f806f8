// The quantizer: per codebook a product, an argmax and a subtraction; and back, sums of vectors.
#include "internal.h"

INLINE long argmax(const float *x, long n)
{
    long best = 0;
    for (long j = 1; j < n; j++)
        if (x[j] > x[best]) best = j;
    return best;
}

INLINE const float *code_vector(const mimi_quantizer *q, long codebook, long code)
{
    return q->vectors + (codebook*q->codebook_size + code)*q->codebook_dim;
}

// x (rows, dim) to codes (codebooks, rows). The team's buffers: residual (rows, 2 codebook_dim), semantic and acoustic
// side by side, and scores (rows, codebook_size).
static void quantize(worker *k, const mimi_quantizer *q, const float *x, long rows, long codebooks, int64_t *codes,
                     float *residual, float *scores)
{
    long threads = k->team->threads, dim = q->codebook_dim, size = q->codebook_size, inputs = q->projection.inputs;
    operands project = {.x = {(float *)x, 0, inputs}, .out = {residual, 0, 2*dim}};
    gemm(k->team, k->thread, &q->projection, 1, rows, &project, k->accumulators);
    barrier(k->team);
    for (long c = 0; c < codebooks; c++) {
        float *branch = residual + (c >= q->n_semantic)*dim;
        operands score = {.x = {branch, 0, 2*dim}, .out = {scores, 0, size}};
        gemm(k->team, k->thread, q->scores + c, 1, rows, &score, k->accumulators);
        barrier(k->team);
        for (long r = rows*k->thread/threads; r < rows*(k->thread + 1)/threads; r++) {
            long best = argmax(scores + r*size, size);
            const float *vector = code_vector(q, c, best);
            codes[c*rows + r] = best;
            for (long j = 0; j < dim; j++) branch[r*2*dim + j] -= vector[j];
        }
        barrier(k->team);
    }
}

// codes (batch, codebooks, frames), -1 adds nothing, to latent (batch * frames, dim). The team's buffer: sums
// (batch * frames, 2 codebook_dim).
static void dequantize(worker *k, const mimi_quantizer *q, const int64_t *codes, long codebooks, long frames,
                       float *latent, float *sums)
{
    long threads = k->team->threads, dim = q->codebook_dim, rows = k->batch*frames;
    for (long r = rows*k->thread/threads; r < rows*(k->thread + 1)/threads; r++) {
        memset(sums + r*2*dim, 0, 8*dim);
        for (long c = 0; c < codebooks; c++) {
            int64_t code = codes[(r/frames*codebooks + c)*frames + r%frames];
            float *branch = sums + r*2*dim + (c >= q->n_semantic)*dim;
            if (code < 0) continue;
            const float *vector = code_vector(q, c, code);
            for (long j = 0; j < dim; j++) branch[j] += vector[j];
        }
    }
    barrier(k->team);
    operands io = {.x = {sums, 0, 2*dim}, .out = {latent, 0, q->projection.outputs}};
    gemm(k->team, k->thread, &q->projection, 1, rows, &io, k->accumulators);
    barrier(k->team);
}

void mimi_quantize(const mimi_quantizer *q, const float *x, long rows, long codebooks, int64_t *codes)
{
    thread_team team = {.threads = 1};
    worker k = {.team = &team, .batch = 1, .accumulators = malloc(4*PANEL*(rows + ROWS))};
    float *residual = malloc(8*rows*q->codebook_dim), *scores = malloc(4*rows*q->codebook_size);
    quantize(&k, q, x, rows, codebooks, codes, residual, scores);
    free(residual);
    free(scores);
    free(k.accumulators);
}

void mimi_dequantize(const mimi_quantizer *q, const int64_t *codes, long batch, long codebooks, long frames,
                     float *latent)
{
    thread_team team = {.threads = 1};
    worker k = {.team = &team, .batch = batch, .accumulators = malloc(4*PANEL*(batch*frames + ROWS))};
    float *sums = malloc(8*batch*frames*q->codebook_dim);
    dequantize(&k, q, codes, codebooks, frames, latent, sums);
    free(sums);
    free(k.accumulators);
}
