// Fibers: functions with stacks of their own that take turns on one operating-system thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#if !defined(__x86_64__) || defined(_WIN32)
#include <ucontext.h>
#endif

namespace emulated {

constexpr size_t STACK_BYTES = 64 * 1024;

#if defined(__x86_64__) && !defined(_WIN32)

// `swapcontext` asks the kernel for the signal mask each time, which costs more than most fibers do.
struct FiberContext {
  void *top = nullptr;
  std::unique_ptr<unsigned char[]> stack;
};

extern "C" void llamero_switch_fiber(void **save, void *load);

// Keeps what the System V ABI wants kept, and goes on where the other stack stopped.
asm(R"(
.text
.globl llamero_switch_fiber
.hidden llamero_switch_fiber
llamero_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

inline void startFiber(FiberContext &fiber, void (*enter)()) {
  if (!fiber.stack) fiber.stack.reset(new unsigned char[STACK_BYTES]);
  uintptr_t end = reinterpret_cast<uintptr_t>(fiber.stack.get() + STACK_BYTES) & ~uintptr_t(15);
  uintptr_t *top = reinterpret_cast<uintptr_t *>(end);
  // A function is entered with its return address on a stack that was aligned before: there is none.
  *--top = 0;
  *--top = reinterpret_cast<uintptr_t>(enter);
  for (int kept = 0; kept < 6; kept++) *--top = 0;
  fiber.top = top;
}

inline void switchFiber(FiberContext &from, FiberContext &to) {
  llamero_switch_fiber(&from.top, to.top);
}

#else

struct FiberContext {
  ucontext_t context;
  std::unique_ptr<unsigned char[]> stack;
};

inline void startFiber(FiberContext &fiber, void (*enter)()) {
  if (!fiber.stack) fiber.stack.reset(new unsigned char[STACK_BYTES]);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = STACK_BYTES;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, enter, 0);
}

inline void switchFiber(FiberContext &from, FiberContext &to) {
  swapcontext(&from.context, &to.context);
}

#endif

}  // namespace emulated
