// What crosses between Python and C. cffi reads this file as it stands, so it holds no preprocessor directives.
// Tensors are contiguous, float32 unless their type says otherwise. Sizes and offsets count numbers, not bytes.

enum mimi_kind { MIMI_FLOAT32, MIMI_FLOAT16, MIMI_INT8 };               // how the weights of a matrix are stored
enum mimi_pad { MIMI_PAD_ZEROS, MIMI_PAD_REPLICATE, MIMI_PAD_REFLECT }; // what precedes the first row of a stream
enum mimi_form { MIMI_DIRECT, MIMI_F2_2, MIMI_F3_2, MIMI_F2_3 };        // one product, or Winograd F(outputs, taps)
enum mimi_limit {
    MIMI_QUERIES = 16,                 // queries of a head that attend together
    MIMI_FLOAT32_POSITIONS = 1 << 16,  // positions whose rotary angle is a product in float32
};

typedef struct {
    const void *weight;     // (outputs, inputs) in panels of mimi_panel_width() outputs: (panels, inputs, width)
    const float *bias;      // (outputs) filled up to a multiple of 16, or NULL
    const float *scale;     // of MIMI_INT8: what each output is multiplied by, filled up like the bias, else NULL
    long inputs, outputs;
    int kind;
} mimi_matrix;

typedef struct {
    const float *frequency;      // (channels) filled up to a multiple of 16: e^alpha. NULL: ELU
    const float *depth;          // likewise, 1 / (e^beta + 1e-9)
} mimi_snake;

typedef struct {
    mimi_matrix direct;          // weight of MIMI_DIRECT; its inputs and outputs are set for every form
    mimi_matrix winograd[4];     // transformed weights of the other forms
    mimi_snake act;              // of its outputs, where they pass an activation: SnakeBeta, else ELU
    int form, pad;
    long channels, taps, stride, dilation;
    long left;                   // rows before the first row of the input that the first output reaches
    long tail;                   // offset, per item, of its last `left` rows in the tails of the stream
    long granule;                // of a resampling convolution: rows of which the pieces of its stage are multiples
} mimi_conv;

typedef struct {
    const mimi_conv *convs;      // in the order in which they run
    long n_blocks, n_units;      // blocks, and residual units (two convolutions each) of a block
} mimi_seanet;

typedef struct {
    const mimi_matrix *matrices; // of each layer: queries, keys and values; attention output; feed-forward up; down
    const float *frequencies;    // (head_dim / 2) of the rotary embedding
    long n_layers, n_heads, head_dim;
    long width;                  // of its inputs and outputs
    int gated;                   // RMS norms for layer norms, and SwiGLU, gates before values, for GELU
    long context;                // steps that a query attends to, its own included
    long ring_size;              // slots of keys and values, a multiple of 16, at least context + MIMI_QUERIES
    long value_width;            // head_dim filled up to a multiple of 16
    float eps;                   // of the norms
} mimi_transformer;

typedef struct {
    mimi_matrix projection;      // of both branches, side by side
    const mimi_matrix *scores;   // of each codebook: x . c - |c|^2 / 2 for all its vectors c
    const float *vectors;        // (codebooks, codebook_size, codebook_dim)
    long n_semantic, codebook_size, codebook_dim;
} mimi_quantizer;

typedef struct {
    mimi_matrix up;              // a step to `stride` steps, side by side
    mimi_conv depthwise;         // its weight: (taps, channels)
    mimi_matrix expand, contract;
    long stride;
    float eps;                   // of the layer norm
} mimi_convnext;

typedef struct {
    mimi_conv conv;              // on what the quantizer gives
    mimi_matrix input, output;   // before and behind the transformer
    const mimi_convnext *upsamples;
    long n_upsamples;
} mimi_qwen3;

typedef struct {
    mimi_seanet seanet;
    mimi_transformer transformer;
    mimi_quantizer quantizer;
    mimi_conv downsample;        // of an encoder whose resample_stride is above 1
    const float *upsample;       // (2 resample_stride, latent_dim) of a decoder whose resample_stride is above 1
    long upsample_tail;          // offset of its last latent in the tails
    long resample_stride, latent_dim, frame_size;
    int is_decoder;
    const mimi_qwen3 *qwen3;     // what a decoder of Qwen3-TTS has besides; NULL: Mimi's
} mimi_model;

typedef struct {
    const mimi_model *model;
    long batch, frames, codebooks;
    long start, position;        // the latent step that the stream began at, and the next one
    int first;                   // whether this call begins the stream
    int threads;
    float *wav;                  // (batch, frames * frame_size)
    int64_t *codes;              // encode: (codebooks, batch, frames); decode: (batch, codebooks, frames), -1: nothing
    float *tails;                // (batch * tail size)
    float *keys;                 // (layers, batch, heads, head_dim, ring_size)
    float *values;               // (layers, batch, heads, ring_size, value_width)
    float *workspace;            // mimi_workspace() numbers
} mimi_call;

long mimi_panel_width(void);
long mimi_workspace(const mimi_call *call);   // numbers of workspace that the call needs
void mimi_encode(const mimi_call *call);
void mimi_decode(const mimi_call *call);

// The parts, each alone, for tests.
void mimi_elu(const float *x, float *y, long n);
void mimi_snake_beta(const mimi_snake *snake, const float *x, float *y, long rows, long channels);
void mimi_gelu(const float *x, float *y, long n);   // y = x + x erf(x), which is sqrt(2) GELU(sqrt(2) x)
void mimi_exp(const float *x, float *y, long n);
// out = x W^T + bias + residual and difference = residual - x W^T - bias of (rows, inputs); any output may be NULL.
// The shares of `threads` threads are computed one after another.
void mimi_gemm(const mimi_matrix *matrix, const float *x, long rows, const float *residual, int gelu, int threads,
               float *out, float *out_elu, float *difference, float *difference_elu);
// (batch, rows, channels) to (batch, rows / stride, outputs); tails: (batch, left, channels), read unless `first`.
void mimi_convolve(const mimi_conv *conv, const float *x, long batch, long rows, int first, float *tails, float *out);
void mimi_layer_norm(const float *x, float *y, long rows, long dim, float eps);   // without gain and bias
void mimi_rms_norm(const float *x, float *y, long rows, long dim, float eps);     // without gain
// (steps, 3, heads, head_dim) to (steps, heads, head_dim); qkv is overwritten, the rings of one layer are updated.
void mimi_attend(const mimi_transformer *transformer, float *qkv, long steps, long start, long position, float *keys,
                 float *values, float *out);
// x (batch, steps, dim) is replaced by the output.
void mimi_transform(const mimi_transformer *transformer, float *x, long batch, long steps, long start, long position,
                    float *keys, float *values);
void mimi_quantize(const mimi_quantizer *quantizer, const float *x, long rows, long codebooks, int64_t *codes);
void mimi_dequantize(const mimi_quantizer *quantizer, const int64_t *codes, long batch, long codebooks, long frames,
                     float *latent);
