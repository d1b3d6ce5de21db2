// The queue of what goes between ranks, emulated: work that runs when somebody looks, as far as it can go
// without waiting. So what nobody has waited for is not there yet, as on a GPU.
#pragma once

#include <deque>
#include <functional>

// Work says that it has ended, that it cannot go on yet, or that it has failed.
constexpr int STEP_DONE = 1;
constexpr int STEP_WAITS = 0;
constexpr int STEP_FAILED = -1;

// What the emulated NCCL is given as a stream.
struct EmulatedStream {
  virtual void push(std::function<int()> step) = 0;

 protected:
  ~EmulatedStream() = default;
};

class DeferredStream final : public EmulatedStream {
 public:
  void push(std::function<int()> step) override { steps_.push_back(std::move(step)); }

  // Goes on as far as it can; false once work has failed.
  bool pump() {
    while (!failed_ && !steps_.empty()) {
      int state = steps_.front()();
      if (state == STEP_WAITS) break;
      failed_ = state == STEP_FAILED;
      steps_.pop_front();
    }
    return !failed_;
  }

 private:
  std::deque<std::function<int()>> steps_;
  bool failed_ = false;
};
