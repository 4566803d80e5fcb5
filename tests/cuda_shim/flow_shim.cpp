// flow.cu as a shared library for ctypes: the kernels, launched on the CPU.
#include "cuda_shim.h"
//
#include "flow.cu"

extern "C" void launch_solve_pairs(unsigned grid, unsigned threads, unsigned shared_bytes, const void* first,
                                   const void* second, float* flow, const unsigned char* mask, float* maps,
                                   float* memory, float* errors, unsigned* counters, const int* meta,
                                   const int* starts, const float* weights, const float* area, const float* settings,
                                   int pairs, int members) {
    shim::launch(grid, threads, shared_bytes / sizeof(float), [&] {
        solve_pairs(first, second, flow, mask, maps, memory, errors, counters, meta, starts, weights, area, settings,
                    pairs, members);
    });
}

extern "C" void launch_strain_map(unsigned grid, unsigned threads, unsigned shared_bytes, const float* flow, float* out,
                                  int height, int width) {
    shim::launch(grid, threads, shared_bytes / sizeof(float), [&] { strain_map(flow, out, height, width); });
}
