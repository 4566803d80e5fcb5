// Runs CUDA kernels on the CPU: every thread of every block is a fiber, all blocks of a launch are resident at once, so
// that __syncthreads() and barriers between blocks (spinning with RELAX) work. Slow, single-threaded, deterministic.
#pragma once
#define CUDA_SHIM 1

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(...)
#define RELAX() shim::yield()
#define SHARED_FLOATS(name) float* name = shim::current->block->shared.data()

struct dim3_shim {
    unsigned x;
};

namespace shim {

constexpr std::size_t STACK = 32 * 1024;

struct Block {
    unsigned index = 0, threads = 0, arrived = 0, finished = 0;
    unsigned long generation = 0;
    std::vector<float> shared;
};

struct Fiber {
    Block* block = nullptr;
    unsigned thread = 0;
    bool started = false, done = false;
    ucontext_t context;
    jmp_buf place;
    std::vector<char> stack;
};

inline Fiber* current = nullptr;
inline jmp_buf scheduler;
inline ucontext_t home;
inline const std::function<void()>* kernel = nullptr;
inline unsigned grid_size = 0;

inline void yield() {
    if (_setjmp(current->place) == 0) _longjmp(scheduler, 1);
}

inline void entry() {
    (*kernel)();
    current->done = true;
    current->block->finished++;
    _longjmp(scheduler, 1);
}

inline void syncthreads() {
    Block* block = current->block;
    if (block->finished) throw std::runtime_error("__syncthreads() after a thread of the block has returned");
    const unsigned long generation = block->generation;
    if (++block->arrived == block->threads) {
        block->arrived = 0;
        block->generation++;
        return;
    }
    while (block->generation == generation) yield();
}

inline void launch(unsigned grid, unsigned threads, std::size_t shared_floats, const std::function<void()>& body) {
    std::vector<Block> blocks(grid);
    std::vector<Fiber> fibers(static_cast<std::size_t>(grid) * threads);
    kernel = &body;
    grid_size = grid;
    for (unsigned b = 0; b < grid; ++b) {
        blocks[b].index = b;
        blocks[b].threads = threads;
        blocks[b].shared.assign(shared_floats, NAN);  // what is read before it is written shows
        for (unsigned t = 0; t < threads; ++t) {
            Fiber& fiber = fibers[static_cast<std::size_t>(b) * threads + t];
            fiber.block = &blocks[b];
            fiber.thread = t;
            fiber.stack.resize(STACK);
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = fiber.stack.data();
            fiber.context.uc_stack.ss_size = STACK;
            fiber.context.uc_link = &home;
            makecontext(&fiber.context, entry, 0);
        }
    }
    for (volatile std::size_t left = fibers.size(); left > 0;) {
        for (volatile std::size_t i = 0; i < fibers.size(); i = i + 1) {
            Fiber& fiber = fibers[i];
            if (fiber.done) continue;
            current = &fiber;
            if (_setjmp(scheduler) == 0) {
                if (fiber.started) _longjmp(fiber.place, 1);
                fiber.started = true;
                setcontext(&fiber.context);
            }
            if (fibers[i].done) left = left - 1;
        }
    }
}

}  // namespace shim

#define threadIdx (dim3_shim{shim::current->thread})
#define blockIdx (dim3_shim{shim::current->block->index})
#define blockDim (dim3_shim{shim::current->block->threads})
#define gridDim (dim3_shim{shim::grid_size})
#define __syncthreads() shim::syncthreads()
#define __threadfence() static_cast<void>(0)

inline unsigned atomicAdd(unsigned* at, unsigned value) {
    const unsigned old = *at;
    *at += value;
    return old;
}
