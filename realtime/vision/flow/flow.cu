// TV-L1, optical strain and feature map of many image pairs in one launch.
//
// Zach et al. 2007 in the discretisation of Sanchez Perez et al. 2013 (IPOL); equation numbers are IPOL's. The twin on
// the CPU is kernels.py, the oracle reference.py, the host side cuda.py.
//
// A pair is solved by a group of `members` blocks from first to last without the host: blocks of a group meet at a
// barrier in global memory. The host launches no more blocks than the device holds at once; a group takes pairs
// number, number + groups, ... An iteration phase runs up to PHASE iterations on a TILE x TILE part in shared memory
// with a halo of PHASE cells, from buffer A to buffer B; the squared change of every iteration is summed over the group
// in a fixed order, and when one falls below the limit inside a phase, the phase is done again from A up to there: so
// the stopping rule is the CPU's, to the iteration.
//
// Compiled by nvcc, and by a host compiler with tests/cuda_shim/cuda_shim.h included first.

#ifndef CUDA_SHIM
#define SHARED_FLOATS(name) extern __shared__ float name[]
#define RELAX() __nanosleep(20)
#endif

namespace {

constexpr int TILE = 32;
constexpr int PHASE = 4;
constexpr int SIDE = TILE + 2 * PHASE;
constexpr int REGION = SIDE * SIDE;
constexpr int THREADS = 256;
constexpr int LEVEL_META = 16;
constexpr int META_LEVELS = 0, META_SMOOTH = 1, META_WARPS = 2, META_ITERATIONS = 3, META_MEDIAN = 4, META_STRETCH = 5,
              META_BYTES = 6, META_WARM = 7, META_CELLS = 8, META_MAP = 9, META_WANT = 10, META_MASKED = 11;
constexpr int WANT_FLOW = 1, WANT_MAP = 2;
enum Plane { TARGET, SOURCE, SX, SY, GX, GY, RHO, INVERSE, STATE_A, STATE_B = STATE_A + 6, TEMP_A = STATE_B + 6, TEMP_B,
             PLANES };

struct Group {
    int rank, members, number, count;
    unsigned* counter;
    float* errors;  // [2][members][PHASE]
    float* shared;
};

struct Level {
    int height, width, offset;
};

struct Work {
    const int* meta;
    const int* starts;
    const float* weights;
    float limit, theta, step, rest;
    float* memory;
    int cells;
};

__device__ inline float smaller(float a, float b) { return a < b ? a : b; }
__device__ inline float larger(float a, float b) { return a > b ? a : b; }
__device__ inline int clampi(int value, int low, int high) { return value < low ? low : (value > high ? high : value); }

__device__ inline void meet(const Group& g) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        const unsigned members = static_cast<unsigned>(g.members);
        const unsigned target = (atomicAdd(g.counter, 1u) / members + 1u) * members;
        while (*static_cast<volatile unsigned*>(g.counter) < target) RELAX();
        __threadfence();
    }
    __syncthreads();
}

__device__ inline int first_index(const Group& g) { return g.rank * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x); }
__device__ inline int index_step(const Group& g) { return g.members * static_cast<int>(blockDim.x); }

__device__ inline Level level_at(const Work& w, int number) {
    const int* row = w.meta + LEVEL_META + 3 * number;
    return Level{row[0], row[1], row[2]};
}

__device__ inline float* plane_at(const Work& w, int plane, const Level& level) {
    return w.memory + static_cast<long long>(plane) * w.cells + level.offset;
}

__device__ inline float pixel(const void* image, bool bytes, long long at) {
    return bytes ? static_cast<float>(static_cast<const unsigned char*>(image)[at]) : static_cast<const float*>(image)[at];
}

// Lowest and highest of two values per thread over the block, in shared[0] and shared[THREADS].
__device__ inline void reduce_range(float* shared, float low, float high) {
    const int t = static_cast<int>(threadIdx.x);
    shared[t] = low;
    shared[THREADS + t] = high;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half) {
            shared[t] = smaller(shared[t], shared[t + half]);
            shared[THREADS + t] = larger(shared[THREADS + t], shared[THREADS + t + half]);
        }
        __syncthreads();
    }
}

__device__ void load(const Group& g, const Work& w, const void* first, const void* second, long long at) {
    const Level finest = level_at(w, 0);
    const int count = finest.height * finest.width;
    const bool bytes = w.meta[META_BYTES] != 0;
    float low = 0.0f, gain = 1.0f;
    if (w.meta[META_STRETCH]) {  // each block for itself: cheaper than meeting
        low = 3.4e38f;
        float high = -3.4e38f;
        for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
            const float a = pixel(first, bytes, at + i), b = pixel(second, bytes, at + i);
            low = smaller(low, smaller(a, b));
            high = larger(high, larger(a, b));
        }
        reduce_range(g.shared, low, high);
        low = g.shared[0];
        high = g.shared[THREADS];
        gain = high > low ? 255.0f / (high - low) : 1.0f;
    }
    float* target = plane_at(w, TARGET, finest);
    float* source = plane_at(w, SOURCE, finest);
    for (int i = first_index(g); i < count; i += index_step(g)) {
        target[i] = (pixel(first, bytes, at + i) - low) * gain;
        source[i] = (pixel(second, bytes, at + i) - low) * gain;
    }
    meet(g);
}

// Two planes of one level by two tables (rows, columns): see plan.Table.
__device__ void resample(const Group& g, const Work& w, const float* from_a, const float* from_b, const Level& from,
                         float* to_a, float* to_b, int table, float ratio_a, float ratio_b) {
    const int* rows = w.meta + LEVEL_META + 3 * w.meta[META_LEVELS] + 4 * table;
    const int* columns = rows + 4;
    float* temp_a = w.memory + static_cast<long long>(TEMP_A) * w.cells;
    float* temp_b = w.memory + static_cast<long long>(TEMP_B) * w.cells;
    for (int i = first_index(g); i < rows[0] * from.width; i += index_step(g)) {
        const int y = i / from.width, x = i - y * from.width;
        const float* weight = w.weights + rows[3] + y * rows[1];
        int at = w.starts[rows[2] + y] * from.width + x;
        float a = 0.0f, b = 0.0f;
        for (int k = 0; k < rows[1]; ++k, at += from.width) {
            a += weight[k] * from_a[at];
            b += weight[k] * from_b[at];
        }
        temp_a[i] = a;
        temp_b[i] = b;
    }
    meet(g);
    for (int i = first_index(g); i < rows[0] * columns[0]; i += index_step(g)) {
        const int y = i / columns[0], x = i - y * columns[0];
        const float* weight = w.weights + columns[3] + x * columns[1];
        const int at = y * from.width + w.starts[columns[2] + x];
        float a = 0.0f, b = 0.0f;
        for (int k = 0; k < columns[1]; ++k) {
            a += weight[k] * temp_a[at + k];
            b += weight[k] * temp_b[at + k];
        }
        to_a[i] = a * ratio_a;
        to_b[i] = b * ratio_b;
    }
    meet(g);
}

__device__ void gradient(const Group& g, const Work& w, const Level& l) {
    const float* source = plane_at(w, SOURCE, l);
    float* sx = plane_at(w, SX, l);
    float* sy = plane_at(w, SY, l);
    for (int i = first_index(g); i < l.height * l.width; i += index_step(g)) {
        const int y = i / l.width, x = i - y * l.width;
        sx[i] = 0.5f * (source[y * l.width + clampi(x + 1, 0, l.width - 1)] - source[y * l.width + clampi(x - 1, 0, l.width - 1)]);
        sy[i] = 0.5f * (source[clampi(y + 1, 0, l.height - 1) * l.width + x] - source[clampi(y - 1, 0, l.height - 1) * l.width + x]);
    }
    meet(g);
}

__device__ inline void cubic4(float f, float* weight) {  // Keys, a = -1/2
    weight[0] = ((-0.5f * f + 1.0f) * f - 0.5f) * f;
    weight[1] = (1.5f * f - 2.5f) * f * f + 1.0f;
    weight[2] = ((-1.5f * f + 2.0f) * f + 0.5f) * f;
    weight[3] = (0.5f * f - 0.5f) * f * f;
}

// Second image and its gradient at x + u, and rho less its linear part (eq. 9).
__device__ void warp(const Group& g, const Work& w, const Level& l, const float* u, const float* v) {
    const float* target = plane_at(w, TARGET, l);
    const float* source = plane_at(w, SOURCE, l);
    const float* sx = plane_at(w, SX, l);
    const float* sy = plane_at(w, SY, l);
    float* gx = plane_at(w, GX, l);
    float* gy = plane_at(w, GY, l);
    float* rho = plane_at(w, RHO, l);
    float* inverse = plane_at(w, INVERSE, l);
    for (int i = first_index(g); i < l.height * l.width; i += index_step(g)) {
        const int y = i / l.width, x = i - y * l.width;
        const float px = static_cast<float>(x) + u[i], py = static_cast<float>(y) + v[i];
        float image = 0.0f, ix = 0.0f, iy = 0.0f;
        const bool inside = px >= 0.0f && px <= static_cast<float>(l.width - 1) && py >= 0.0f && py <= static_cast<float>(l.height - 1);
        if (inside) {
            const int left = static_cast<int>(px), top = static_cast<int>(py);
            float across[4], down[4];
            cubic4(px - static_cast<float>(left), across);
            cubic4(py - static_cast<float>(top), down);
            for (int k = 0; k < 4; ++k) {
                const int row = clampi(top + k - 1, 0, l.height - 1) * l.width;
                for (int m = 0; m < 4; ++m) {
                    const int at = row + clampi(left + m - 1, 0, l.width - 1);
                    const float weight = down[k] * across[m];
                    image += weight * source[at];
                    ix += weight * sx[at];
                    iy += weight * sy[at];
                }
            }
        }
        const float square = ix * ix + iy * iy;
        gx[i] = ix;
        gy[i] = iy;
        rho[i] = inside ? image - ix * u[i] - iy * v[i] - target[i] : 0.0f;
        inverse[i] = square > 1e-6f ? 1.0f / square : 0.0f;
    }
    meet(g);
}

__device__ inline void order(float& a, float& b) {
    const float low = smaller(a, b);
    b = larger(a, b);
    a = low;
}

__device__ inline void sort5(float* v) {
    order(v[0], v[1]), order(v[3], v[4]), order(v[2], v[4]), order(v[2], v[3]), order(v[1], v[4]);
    order(v[0], v[3]), order(v[0], v[2]), order(v[1], v[3]), order(v[1], v[2]);
}

// Columns, then rows sorted; three diagonals decide: see median() in kernels.py.
__device__ inline float median25(const float* plane, const Level& l, int y, int x) {
    float m[5][5], column[5];
#pragma unroll
    for (int dx = 0; dx < 5; ++dx) {
        const int at = clampi(x + dx - 2, 0, l.width - 1);
#pragma unroll
        for (int dy = 0; dy < 5; ++dy) column[dy] = plane[clampi(y + dy - 2, 0, l.height - 1) * l.width + at];
        sort5(column);
#pragma unroll
        for (int dy = 0; dy < 5; ++dy) m[dy][dx] = column[dy];
    }
#pragma unroll
    for (int dy = 0; dy < 5; ++dy) sort5(m[dy]);
    const float low = larger(larger(m[0][3], m[1][2]), larger(m[2][1], m[3][0]));
    float middle[5] = {m[0][4], m[1][3], m[2][2], m[3][1], m[4][0]};
    sort5(middle);
    float a = m[1][4], b = m[2][3], c = m[3][2], d = m[4][1];
    order(a, b), order(c, d);
    const float high = smaller(a, c), next_high = smaller(larger(a, c), smaller(b, d));
    return larger(smaller(middle[2], high),
                  smaller(low, larger(smaller(middle[3], high), smaller(middle[2], next_high))));
}

__device__ void median(const Group& g, const Work& w, const Level& l, float* u, float* v) {
    float* temp_a = w.memory + static_cast<long long>(TEMP_A) * w.cells;
    float* temp_b = w.memory + static_cast<long long>(TEMP_B) * w.cells;
    const int count = l.height * l.width;
    for (int i = first_index(g); i < count; i += index_step(g)) {
        temp_a[i] = median25(u, l, i / l.width, i % l.width);
        temp_b[i] = median25(v, l, i / l.width, i % l.width);
    }
    meet(g);
    for (int i = first_index(g); i < count; i += index_step(g)) {
        u[i] = temp_a[i];
        v[i] = temp_b[i];
    }
    meet(g);
}

// One component of the dual variable at a cell of the tile (eq. 13).
__device__ inline void dual(const float* u, float* px, float* py, int at, bool right, bool below, float step) {
    const float ux = right ? u[at + 1] - u[at] : 0.0f;
    const float uy = below ? u[at + SIDE] - u[at] : 0.0f;
    const float factor = 1.0f / (1.0f + step * sqrtf(ux * ux + uy * uy));
    px[at] = (px[at] + step * ux) * factor;
    py[at] = (py[at] + step * uy) * factor;
}

// `count` iterations of one tile in shared memory; adds the squared changes of its own cells to `error`.
__device__ void iterate_tile(const Group& g, const Work& w, const Level& l, int tile, int from, int to, int count, float* error) {
    const int tiles_across = (l.width + TILE - 1) / TILE;
    const int left = (tile % tiles_across) * TILE - PHASE, top = (tile / tiles_across) * TILE - PHASE;
    float* part[6];
    for (int k = 0; k < 6; ++k) part[k] = g.shared + k * REGION;
    for (int at = static_cast<int>(threadIdx.x); at < REGION; at += static_cast<int>(blockDim.x)) {
        const int x = left + at % SIDE, y = top + at / SIDE;
        const bool in_image = x >= 0 && x < l.width && y >= 0 && y < l.height;
        for (int k = 0; k < 6; ++k) part[k][at] = in_image ? plane_at(w, from + k, l)[y * l.width + x] : 0.0f;
    }
    __syncthreads();
    const float* gx = plane_at(w, GX, l);
    const float* gy = plane_at(w, GY, l);
    const float* rho = plane_at(w, RHO, l);
    const float* inverse = plane_at(w, INVERSE, l);
    for (int number = 0; number < count; ++number) {
        for (int at = static_cast<int>(threadIdx.x); at < REGION; at += static_cast<int>(blockDim.x)) {
            const int lx = at % SIDE, ly = at / SIDE, x = left + lx, y = top + ly;
            if (x < 0 || x >= l.width || y < 0 || y >= l.height) continue;
            const int i = y * l.width + x;
            const float ix = gx[i], iy = gy[i];
            float shift = (rho[i] + ix * part[0][at] + iy * part[1][at]) * inverse[i];  // eq. 15
            shift = smaller(larger(shift, -w.limit), w.limit);
            const bool has_left = lx > 0 && x > 0, has_up = ly > 0 && y > 0;
            const float div_u = part[2][at] - (has_left ? part[2][at - 1] : 0.0f) + part[3][at] - (has_up ? part[3][at - SIDE] : 0.0f);
            const float div_v = part[4][at] - (has_left ? part[4][at - 1] : 0.0f) + part[5][at] - (has_up ? part[5][at - SIDE] : 0.0f);
            const float du = w.theta * div_u - shift * ix, dv = w.theta * div_v - shift * iy;  // eq. 12
            part[0][at] += du;
            part[1][at] += dv;
            const bool own = lx >= PHASE && lx < PHASE + TILE && ly >= PHASE && ly < PHASE + TILE;
            if (own) error[number] += du * du + dv * dv;
        }
        __syncthreads();
        for (int at = static_cast<int>(threadIdx.x); at < REGION; at += static_cast<int>(blockDim.x)) {
            const int lx = at % SIDE, ly = at / SIDE, x = left + lx, y = top + ly;
            if (x < 0 || x >= l.width || y < 0 || y >= l.height) continue;
            const bool right = lx + 1 < SIDE && x + 1 < l.width, below = ly + 1 < SIDE && y + 1 < l.height;
            dual(part[0], part[2], part[3], at, right, below, w.step);
            dual(part[1], part[4], part[5], at, right, below, w.step);
        }
        __syncthreads();
    }
    for (int at = static_cast<int>(threadIdx.x); at < TILE * TILE; at += static_cast<int>(blockDim.x)) {
        const int lx = at % TILE, ly = at / TILE, x = left + PHASE + lx, y = top + PHASE + ly;
        if (x >= l.width || y >= l.height) continue;
        for (int k = 0; k < 6; ++k) plane_at(w, to + k, l)[y * l.width + x] = part[k][(ly + PHASE) * SIDE + lx + PHASE];
    }
    __syncthreads();
}

// `count` <= PHASE iterations of the level from state `from` to state `to`. Returns the number of the first iteration
// (0, 1, ...) whose mean squared change is at most `rest`, or `count`.
__device__ int phase(const Group& g, const Work& w, const Level& l, int from, int to, int count, int parity) {
    const int tiles = ((l.width + TILE - 1) / TILE) * ((l.height + TILE - 1) / TILE);
    const int t = static_cast<int>(threadIdx.x);
    float error[PHASE] = {};
    for (int tile = g.rank; tile < tiles; tile += g.members) iterate_tile(g, w, l, tile, from, to, count, error);
    for (int k = 0; k < PHASE; ++k) g.shared[k * THREADS + t] = error[k];
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half)
            for (int k = 0; k < PHASE; ++k) g.shared[k * THREADS + t] += g.shared[k * THREADS + t + half];
        __syncthreads();
    }
    float* errors = g.errors + parity * g.members * PHASE;
    if (t < PHASE) errors[g.rank * PHASE + t] = g.shared[t * THREADS];
    meet(g);
    if (t < PHASE) {
        float sum = 0.0f;
        for (int k = 0; k < g.members; ++k) sum += errors[k * PHASE + t];
        g.shared[t] = sum;
    }
    __syncthreads();
    const float enough = w.rest * static_cast<float>(l.height * l.width);
    int done = count;
    for (int k = count - 1; k >= 0; --k)
        if (g.shared[k] <= enough) done = k;
    __syncthreads();
    return done;
}

// IPOL algorithm 1 on one level, state in `from`; returns the state that holds the result.
__device__ int solve_level(const Group& g, const Work& w, const Level& l, int from) {
    const int iterations = w.meta[META_ITERATIONS], every = w.meta[META_MEDIAN];
    int to = STATE_A + STATE_B - from, parity = 0;
    gradient(g, w, l);
    for (int number = 0; number < w.meta[META_WARPS]; ++number) {
        warp(g, w, l, plane_at(w, from, l), plane_at(w, from + 1, l));
        for (int done = 0; done < iterations;) {
            int count = iterations - done < PHASE ? iterations - done : PHASE;
            if (every > 0) {
                if (done % every == 0) median(g, w, l, plane_at(w, from, l), plane_at(w, from + 1, l));
                count = every - done % every < count ? every - done % every : count;
            }
            const int resting = phase(g, w, l, from, to, count, parity);
            parity = 1 - parity;
            if (resting + 1 < count) {
                phase(g, w, l, from, to, resting + 1, parity);
                parity = 1 - parity;
            }
            from = to;
            to = STATE_A + STATE_B - from;
            done += count;
            if (resting < count) break;
        }
    }
    return from;
}

__device__ inline float strain_at(const float* u, const float* v, int height, int width, int y, int x, int pace) {
    const int left = clampi(x - 1, 0, width - 1), right = clampi(x + 1, 0, width - 1);
    const int up = clampi(y - 1, 0, height - 1), down = clampi(y + 1, 0, height - 1);
    const float per_x = 1.0f / static_cast<float>(right - left), per_y = 1.0f / static_cast<float>(down - up);
    const float ux = (u[(y * width + right) * pace] - u[(y * width + left) * pace]) * per_x;
    const float vx = (v[(y * width + right) * pace] - v[(y * width + left) * pace]) * per_x;
    const float uy = (u[(down * width + x) * pace] - u[(up * width + x) * pace]) * per_y;
    const float vy = (v[(down * width + x) * pace] - v[(up * width + x) * pace]) * per_y;
    const float shear = uy + vx;
    return sqrtf(ux * ux + vy * vy + 0.5f * shear * shear);
}

// Strain, mask, area means and stretch to 0..255: features.map_from_flow. area: (map, H) then (map, W) weights.
__device__ void make_map(const Group& g, const Work& w, const Level& l, const float* u, const float* v,
                         const unsigned char* mask, const float* area, float* out) {
    const int size = w.meta[META_MAP];
    const float* area_x = area + size * l.height;
    for (int cell = first_index(g); cell < size * size; cell += index_step(g)) {
        const int row = cell / size, column = cell - row * size;
        const int top = row * l.height / size, left = column * l.width / size;
        const int bottom = ((row + 1) * l.height + size - 1) / size, right = ((column + 1) * l.width + size - 1) / size;
        float sum[3] = {};
        for (int y = top; y < bottom; ++y)
            for (int x = left; x < right; ++x) {
                const int i = y * l.width + x;
                if (mask[i]) continue;
                const float weight = area[row * l.height + y] * area_x[column * l.width + x];
                sum[0] += weight * u[i];
                sum[1] += weight * v[i];
                sum[2] += weight * strain_at(u, v, l.height, l.width, y, x, 1);
            }
        for (int k = 0; k < 3; ++k) out[3 * cell + k] = sum[k];
    }
    meet(g);
    if (g.rank == 0) {
        for (int k = 0; k < 3; ++k) {
            float low = 3.4e38f, high = -3.4e38f;
            for (int i = static_cast<int>(threadIdx.x); i < size * size; i += static_cast<int>(blockDim.x)) {
                low = smaller(low, out[3 * i + k]);
                high = larger(high, out[3 * i + k]);
            }
            reduce_range(g.shared, low, high);
            low = g.shared[0];
            high = g.shared[THREADS];
            for (int i = static_cast<int>(threadIdx.x); i < size * size; i += static_cast<int>(blockDim.x)) {
                const float scaled = smaller((out[3 * i + k] - low) * (255.0f / (high - low)), 255.0f);
                out[3 * i + k] = high > low ? scaled : (k < 2 ? 127.5f : 0.0f);
            }
            __syncthreads();
        }
    }
}

}  // namespace

// Flow and/or feature maps of `pairs` pairs. first, second: pairs x H x W, uint8 or float32; flow: pairs x H x W x 2,
// the start when META_WARM and the result when WANT_FLOW; mask: pairs x H x W uint8; maps: pairs x size x size x 3.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
solve_pairs(const void* first, const void* second, float* flow, const unsigned char* mask,
                                       float* maps, float* memory, float* errors, unsigned* counters, const int* meta,
                                       const int* starts, const float* weights, const float* area,
                                       const float* settings, int pairs, int members) {
    SHARED_FLOATS(shared);
    Group g;
    g.members = members;
    g.number = static_cast<int>(blockIdx.x) / members;
    g.rank = static_cast<int>(blockIdx.x) - g.number * members;
    g.count = static_cast<int>(gridDim.x) / members;
    g.counter = counters + 32 * g.number;
    g.errors = errors + 2 * members * PHASE * g.number;
    g.shared = shared;
    const int cells = meta[META_CELLS], levels = meta[META_LEVELS];
    Work w{meta, starts, weights, settings[0], settings[1], settings[2], settings[3],
           memory + static_cast<long long>(g.number) * PLANES * cells, cells};
    const Level finest = level_at(w, 0);
    const int count = finest.height * finest.width;
    for (int pair = g.number; pair < pairs; pair += g.count) {
        const long long at = static_cast<long long>(pair) * count;
        load(g, w, first, second, at);
        float* target = plane_at(w, TARGET, finest);
        float* source = plane_at(w, SOURCE, finest);
        if (meta[META_SMOOTH]) resample(g, w, target, source, finest, target, source, 0, 1.0f, 1.0f);
        const bool warm = meta[META_WARM] != 0;
        const int used = warm ? 1 : levels;
        for (int number = 1; number < used; ++number) {
            const Level fine = level_at(w, number - 1), coarse = level_at(w, number);
            resample(g, w, plane_at(w, TARGET, fine), plane_at(w, SOURCE, fine), fine, plane_at(w, TARGET, coarse),
                     plane_at(w, SOURCE, coarse), 2 * number, 1.0f, 1.0f);
        }
        int state = STATE_A;
        for (int number = used - 1; number >= 0; --number) {
            const Level l = level_at(w, number);
            const int here = l.height * l.width;
            const int clear = number < used - 1 ? 2 : 0;
            for (int k = clear; k < 6; ++k)
                for (int i = first_index(g); i < here; i += index_step(g)) plane_at(w, STATE_A + k, l)[i] = 0.0f;
            if (number < used - 1) {
                const Level coarse = level_at(w, number + 1);
                resample(g, w, plane_at(w, state, coarse), plane_at(w, state + 1, coarse), coarse,
                         plane_at(w, STATE_A, l), plane_at(w, STATE_A + 1, l), 2 * (levels + number),
                         static_cast<float>(l.width) / static_cast<float>(coarse.width),
                         static_cast<float>(l.height) / static_cast<float>(coarse.height));
            } else if (warm) {
                for (int i = first_index(g); i < here; i += index_step(g))
                    for (int k = 0; k < 2; ++k) plane_at(w, STATE_A + k, l)[i] = flow[2 * (at + i) + k];
            }
            meet(g);
            state = solve_level(g, w, l, STATE_A);
        }
        const float* u = plane_at(w, state, finest);
        const float* v = plane_at(w, state + 1, finest);
        if (meta[META_WANT] & WANT_FLOW)
            for (int i = first_index(g); i < count; i += index_step(g)) {
                flow[2 * (at + i)] = u[i];
                flow[2 * (at + i) + 1] = v[i];
            }
        if (meta[META_WANT] & WANT_MAP) {
            const long long size = 3LL * meta[META_MAP] * meta[META_MAP];
            make_map(g, w, finest, u, v, mask + (meta[META_MASKED] ? at : 0), area, maps + size * pair);
        }
        meet(g);
    }
}

// Strain of one flow (H, W, 2) -> (H, W).
extern "C" __global__ void strain_map(const float* flow, float* out, int height, int width) {
    const int step = static_cast<int>(gridDim.x * blockDim.x);
    for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < height * width; i += step)
        out[i] = strain_at(flow, flow + 1, height, width, i / width, i % width, 2);
}
