// The queues of what goes between ranks, emulated: work that a thread of its own does, as far as it can go
// without waiting. So it comes at any time before somebody waits for it, as on a GPU.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>

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
  void push(std::function<int()> step) override {
    std::lock_guard<std::mutex> held(mutex_);
    steps_.push_back(std::move(step));
  }

  // Goes on as far as it can, unless another thread does; whether anything is left to do.
  bool pump() {
    std::unique_lock<std::mutex> held(mutex_, std::try_to_lock);
    if (!held.owns_lock()) return true;
    while (!failed_ && !steps_.empty()) {
      int state = steps_.front()();
      if (state == STEP_WAITS) break;
      failed_ = state == STEP_FAILED;
      steps_.pop_front();
    }
    return !steps_.empty();
  }

  bool failed() const { return failed_; }

 private:
  std::mutex mutex_;
  std::deque<std::function<int()>> steps_;
  std::atomic<bool> failed_{false};
};
