// How kernels are launched, on a GPU or, for tests without one, by the emulator.
#pragma once

#ifdef LLAMERO_EMULATED
#include "emulator/cuda_runtime.h"
#include "emulator/emulator.h"
#else
#include <cuda_runtime.h>

#define LAUNCH_ON(stream, kernel, blocks, threads, ...) \
  kernel<<<blocks, threads, 0, stream>>>(__VA_ARGS__)
#define LAUNCH(context, kernel, blocks, threads, sharedBytes, ...) \
  kernel<<<blocks, threads, sharedBytes, (context).stream()>>>(__VA_ARGS__)
// Lets the blocks of a kernel have so much dynamic shared memory; more than 48 KiB must be asked for.
#define ALLOW_SHARED(kernel, bytes) \
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes))
#define DYNAMIC_SHARED(type, name)                          \
  extern __shared__ __align__(16) unsigned char raw_shared[]; \
  type *name = reinterpret_cast<type *>(raw_shared)
#endif

// A GPU runs this many threads in step; emulated warps are as wide.
constexpr unsigned WARP = 32;
