// Vectors: loads and stores, sums, and the functions that a codec applies to every number.
#include "internal.h"

typedef int8_t int8_vec __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef uint16_t half_vec __attribute__((vector_size(2*LANES), aligned(2), may_alias));

INLINE float horizontal_sum(vec a)
{
    float s[LANES];
    memcpy(s, &a, sizeof s);
    for (int n = LANES/2; n >= 1; n /= 2)
        for (int i = 0; i < n; i++) s[i] += s[i + n];
    return s[0];
}

// The first n numbers where a row ends within a vector, the rest zero
INLINE vec load_partial(const float *p, long n)
{
    if (n >= LANES) return load(p);
    vec x = {};
    memcpy(&x, p, 4*n);
    return x;
}

INLINE void store_partial(float *p, vec x, long n)
{
    if (n >= LANES) store(p, x);
    else memcpy(p, &x, 4*n);
}

INLINE vec load_int8(const int8_t *p)
{
#ifdef __AVX2__
    ivec i;   // GCC makes eleven instructions of the conversion below
    asm("vpmovsxbd %1, %0" : "=v"(i) : "m"(*(const int8_vec *)p));
#else
    ivec i = __builtin_convertvector(*(const int8_vec *)p, ivec);
#endif
    return __builtin_convertvector(i, vec);
}

INLINE vec load_float16(const uint16_t *p)
{
#if defined __AVX512F__ || defined __F16C__
    vec x;
    asm("vcvtph2ps %1, %0" : "=v"(x) : "m"(*(const half_vec *)p));
    return x;
#else
    ivec i = __builtin_convertvector(*(const half_vec *)p, ivec);
    vec magnitude = (vec)((i & 0x7fff) << 13)*0x1p112f;   // the bias of the exponent is 112 more in float32
    return (vec)((ivec)magnitude | (i & 0x8000) << 16);
#endif
}

INLINE vec max_vec(vec a, vec b)
{
    ivec mask = a > b;
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

INLINE ivec sign_bits(vec x) { return (ivec)x & ((ivec){} + (int32_t)0x80000000); }

// e^x = 2^i 2^f with f in [-1/2, 1/2], 2^f by Taylor to the seventh power: within 5e-9
INLINE vec exp_vec(vec x)
{
    vec t = max_vec(x, (vec){} - 87.f)*1.44269504f;
    vec half = (vec)(sign_bits(t) | (ivec)((vec){} + .5f));
    ivec i = __builtin_convertvector(t + half, ivec);
    vec f = t - __builtin_convertvector(i, vec);
    vec p = (vec){} + 1.52527338e-5f;
    p = p*f + 1.54035304e-4f;
    p = p*f + 1.33335581e-3f;
    p = p*f + 9.61812911e-3f;
    p = p*f + 5.55041087e-2f;
    p = p*f + .240226507f;
    p = p*f + .693147181f;
    p = p*f + 1.f;
    return (vec)((ivec)p + (i << 23));
}

INLINE vec elu_vec(vec a) { return max_vec(a, exp_vec(-max_vec(-a, (vec){})) - 1.f); }

// sin^2(x), x brought within [-pi/2, pi/2] by multiples of pi in three parts (Cody and Waite), each exact; the sine is
// an odd polynomial of the eleventh degree
INLINE vec sin_squared(vec x)
{
    const float ROUND = 0x1.8p23f;   // numbers added to it become whole
    vec n = (x*0.318309886f + ROUND) - ROUND;
    vec r = ((x - n*3.140625f) - n*9.67502594e-4f) - n*1.50995799e-7f, s = r*r;
    vec p = (vec){} - 2.38875799e-8f;
    p = p*s + 2.75251841e-6f;
    p = p*s - 1.98408597e-4f;
    p = p*s + 8.33333097e-3f;
    p = p*s - .166666672f;
    p = p*s + 1.f;
    return s*p*p;
}

INLINE vec snake_vec(vec x, vec frequency, vec depth) { return x + depth*sin_squared(x*frequency); }

// exp(z^2) erfc(z) as a polynomial of t = 1 / (1 + z / 2), highest power first: least squares at 200 Chebyshev points
static const float ERFC[] = {
    -0.0230024159f, 0.130702108f, -0.277340531f, 0.207911164f, 0.118068494f, -0.255685896f, 0.0691802427f,
    -0.0497806817f, 0.0939122885f, 0.174904421f, 0.246945783f, 0.282090157f, 0.282094866f, -1.94478531e-10f,
};

// z + z erf(z)
INLINE vec gelu_vec(vec z)
{
    ivec sign = sign_bits(z);
    vec a = (vec)((ivec)z & ((ivec){} + 0x7fffffff));
    vec t = 1.f/(1.f + .5f*a);
    vec p = (vec){} + ERFC[0];
    for (int i = 1; i < (int)(sizeof ERFC/sizeof *ERFC); i++) p = p*t + ERFC[i];
    return z + z*(vec)((ivec)(1.f - p*exp_vec(-a*a)) | sign);
}

// The activation of vectors whose first number is that of channel c
INLINE vec act_vec(const mimi_snake *act, vec x, long c)
{
    return act->frequency ? snake_vec(x, load(act->frequency + c), load(act->depth + c)) : elu_vec(x);
}

INLINE void act_row(const mimi_snake *act, const float *x, float *y, long channels)
{
    for (long c = 0; c < channels; c += LANES)
        store_partial(y + c, act_vec(act, load_partial(x + c, channels - c), c), channels - c);
}

void mimi_elu(const float *x, float *y, long n)
{
    for (long i = 0; i < n; i += LANES) store_partial(y + i, elu_vec(load_partial(x + i, n - i)), n - i);
}

void mimi_snake_beta(const mimi_snake *snake, const float *x, float *y, long rows, long channels)
{
    for (long r = 0; r < rows; r++) act_row(snake, x + r*channels, y + r*channels, channels);
}

void mimi_gelu(const float *x, float *y, long n)
{
    for (long i = 0; i < n; i += LANES) store_partial(y + i, gelu_vec(load_partial(x + i, n - i)), n - i);
}

void mimi_exp(const float *x, float *y, long n)
{
    for (long i = 0; i < n; i += LANES) store_partial(y + i, exp_vec(load_partial(x + i, n - i)), n - i);
}
