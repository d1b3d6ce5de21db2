#include "emulator.h"

#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <vector>

#include "fiber.h"

namespace emulated {
namespace {

enum class State { fresh, running, atBlockBarrier, atWarpExchange, atWarpShare, ended };

// A copy that was begun, and after how many ends of groups.
struct Copy {
  void *to;
  const void *from;
  CopyBytes bytes;
  unsigned group;
};

struct Fiber {
  FiberContext context;
  State state = State::fresh;
  Place place;
  uint64_t given = 0;
  uint64_t got = 0;
  unsigned wanted = 0;
  Words shown = {};
  std::deque<Copy> copies;
  unsigned groups = 0;
};

// What one operating-system thread runs: one launch at a time.
struct Machine {
  std::vector<Fiber> fibers;
  FiberContext scheduler;
  Fiber *current = nullptr;
  const std::function<void()> *body = nullptr;
  std::vector<uint64_t> shared;
  // What the lanes of every warp have shown last.
  std::vector<Words> shown;
};

thread_local Machine machine;

void enter() {
  (*machine.body)();
  machine.current->state = State::ended;
  switchFiber(machine.current->context, machine.scheduler);
}

void resume(Fiber &fiber) {
  if (fiber.state == State::fresh) startFiber(fiber.context, enter);
  machine.current = &fiber;
  fiber.state = State::running;
  switchFiber(machine.scheduler, fiber.context);
}

void yieldAs(State state) {
  Fiber *self = machine.current;
  self->state = state;
  switchFiber(self->context, machine.scheduler);
}

// Lets a warp go on whose 32 lanes all show something.
bool releaseShare(size_t first, size_t count) {
  if (first + 32 > count) return false;
  for (size_t i = first; i < first + 32; i++) {
    if (machine.fibers[i].state != State::atWarpShare) return false;
  }
  for (size_t i = first; i < first + 32; i++) {
    machine.shown[i] = machine.fibers[i].shown;
    machine.fibers[i].state = State::running;
  }
  return true;
}

// Lets a warp go on whose lanes have all given their values.
bool releaseWarp(size_t first, size_t count) {
  if (releaseShare(first, count)) return true;
  size_t last = first + 32 < count ? first + 32 : count;
  for (size_t i = first; i < last; i++) {
    if (machine.fibers[i].state != State::atWarpExchange) return false;
  }
  for (size_t i = first; i < last; i++) {
    Fiber &fiber = machine.fibers[i];
    size_t from = first + fiber.wanted;
    fiber.got = machine.fibers[from < last ? from : i].given;
  }
  for (size_t i = first; i < last; i++) machine.fibers[i].state = State::running;
  return true;
}

bool releaseBlock(size_t count) {
  bool anyone = false;
  for (size_t i = 0; i < count; i++) {
    State state = machine.fibers[i].state;
    if (state == State::atBlockBarrier) anyone = true;
    else if (state != State::ended) return false;
  }
  if (!anyone) return false;
  for (size_t i = 0; i < count; i++) {
    if (machine.fibers[i].state == State::atBlockBarrier) machine.fibers[i].state = State::running;
  }
  return true;
}

void runBlock(size_t count) {
  for (size_t i = 0; i < count; i++) {
    machine.fibers[i].state = State::fresh;
    machine.fibers[i].copies.clear();
  }
  for (;;) {
    size_t ended = 0;
    for (size_t i = 0; i < count; i++) {
      Fiber &fiber = machine.fibers[i];
      if (fiber.state == State::fresh || fiber.state == State::running) resume(fiber);
      ended += fiber.state == State::ended;
    }
    if (ended == count) return;
    bool moved = false;
    for (size_t first = 0; first < count; first += 32) moved |= releaseWarp(first, count);
    if (!moved) moved = releaseBlock(count);
    // On a GPU this would hang: lanes of a warp stand at different places.
    if (!moved) throw std::logic_error("threads of a block wait at different barriers");
  }
}

}  // namespace

Place &here() { return machine.current->place; }

// Aligned like the banks of a GPU.
unsigned char *dynamicShared() {
  uintptr_t start = reinterpret_cast<uintptr_t>(machine.shared.data());
  return reinterpret_cast<unsigned char *>((start + 127) & ~uintptr_t(127));
}

void blockBarrier() { yieldAs(State::atBlockBarrier); }

uint64_t warpExchange(uint64_t value, unsigned lane) {
  Fiber *self = machine.current;
  self->given = value;
  self->wanted = lane;
  yieldAs(State::atWarpExchange);
  return self->got;
}

const Words *warpShare(const Words &mine) {
  Fiber *self = machine.current;
  self->shown = mine;
  yieldAs(State::atWarpShare);
  return &machine.shown[(self - machine.fibers.data()) / 32 * 32];
}

void beginCopy(void *shared, const void *global, CopyBytes bytes) {
  bool aligned = reinterpret_cast<uintptr_t>(shared) % bytes.filled == 0 &&
                 reinterpret_cast<uintptr_t>(global) % bytes.filled == 0;
  if (!aligned) throw std::logic_error("an asynchronous copy is not aligned");
  if (bytes.read > bytes.filled) throw std::logic_error("an asynchronous copy is too long");
  machine.current->copies.push_back({shared, global, bytes, machine.current->groups});
}

void commitCopies() { machine.current->groups++; }

void waitCopies(unsigned ahead) {
  Fiber *self = machine.current;
  while (!self->copies.empty() && self->copies.front().group + ahead < self->groups) {
    Copy copy = self->copies.front();
    self->copies.pop_front();
    std::memset(copy.to, 0, copy.bytes.filled);
    std::memcpy(copy.to, copy.from, copy.bytes.read);
  }
}

void launch(dim3 blocks, dim3 threads, size_t sharedBytes, const std::function<void()> &body) {
  size_t count = static_cast<size_t>(threads.x) * threads.y * threads.z;
  if (machine.fibers.size() < count) machine.fibers.resize(count);
  // Shared memory starts with what the last block left: nothing may count on zeros.
  machine.shared.assign(sharedBytes / 8 + 17, 0x7ff8dead7fc0deadull);
  machine.shown.resize(count + 32);
  machine.body = &body;
  for (unsigned z = 0; z < blocks.z; z++) {
    for (unsigned y = 0; y < blocks.y; y++) {
      for (unsigned x = 0; x < blocks.x; x++) {
        for (size_t i = 0; i < count; i++) {
          unsigned t = static_cast<unsigned>(i);
          dim3 thread(t % threads.x, t / threads.x % threads.y, t / threads.x / threads.y);
          machine.fibers[i].place = {thread, dim3(x, y, z), threads, blocks};
        }
        runBlock(count);
      }
    }
  }
}

}  // namespace emulated
