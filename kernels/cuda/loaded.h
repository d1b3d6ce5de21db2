// Libraries that are looked for when the program runs: cuBLASLt and NCCL need not be there to build.
#pragma once

// Loads the first of these names that the system finds, or that pip's nvidia packages or PyTorch brought;
// null where there is none. `package` is the folder of pip's package, such as "cublas".
void *loadLibrary(const char *const *names, const char *package);

// A function of a loaded library, null where it is not there.
void *loadedFunction(void *library, const char *name);

// Takes functions out of a loaded library, one after another, and knows whether all were there.
struct Binder {
  void *library;
  bool all = library != nullptr;

  template <typename Function>
  void operator()(Function &function, const char *name) {
    void *found = loadedFunction(library, name);
    all = all && found != nullptr;
    function = reinterpret_cast<Function>(found);
  }
};
