// NCCL by its documented binary interface (nccl.h from 2.18 on), for ranks that have a GPU each. It carries
// bytes from rank to rank and adds nothing up: sums are ours, in the order that lib/comm/tree_sum.ts
// gives them on every transport, and so no choice of NCCL's (NCCL_ALGO, NCCL_PROTO, rings) changes a bit.
//
// Communicators do not block: a call that cannot end yet says NOT_YET, and `nccl_state` is asked until it
// has, so that the caller notices meanwhile that another rank is gone, and can `nccl_close`.

#include <climits>
#include <cstdio>
#include <cstring>

#include "context.h"
#include "loaded.h"

namespace {

constexpr int UNIQUE_ID_BYTES = 128;
struct UniqueId {
  char bytes[UNIQUE_ID_BYTES];
};

// ncclConfig_t of 2.18; later ones are longer and fill what is missing with their own choices.
struct Config {
  size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef;
  unsigned version = 21800;
  int blocking = 0;
  int cgaClusterSize = INT_MIN;
  int minCTAs = INT_MIN;
  int maxCTAs = INT_MIN;
  const char *netName = nullptr;
  int splitShare = INT_MIN;
};

// Values of nccl.h.
constexpr int NCCL_SUCCESS = 0;
constexpr int NCCL_IN_PROGRESS = 7;
constexpr int NCCL_INT8 = 0;
constexpr int OLDEST = 21800;

struct Functions {
  int (*version)(int *);
  int (*getUniqueId)(UniqueId *);
  int (*initRank)(void **, int, UniqueId, int, Config *);
  int (*state)(void *, int *);
  int (*abort)(void *);
  const char *(*errorText)(int);
  int (*send)(const void *, size_t, int, int, void *, Stream);
  int (*receive)(void *, size_t, int, int, void *, Stream);
  int (*groupStart)();
  int (*groupEnd)();
};

Functions functions = {};

bool bindAll(void *library, Functions &f) {
  Binder bind{library};
  bind(f.getUniqueId, "ncclGetUniqueId");
  bind(f.initRank, "ncclCommInitRankConfig");
  bind(f.state, "ncclCommGetAsyncError");
  bind(f.abort, "ncclCommAbort");
  bind(f.errorText, "ncclGetErrorString");
  bind(f.send, "ncclSend");
  bind(f.receive, "ncclRecv");
  bind(f.groupStart, "ncclGroupStart");
  bind(f.groupEnd, "ncclGroupEnd");
  return bind.all;
}

int32_t told(Context &context, const char *what, int status) {
  if (status == NCCL_SUCCESS) return 0;
  if (status == NCCL_IN_PROGRESS) return NOT_YET;
  return context.refuse("%s: %s", what, functions.errorText(status));
}

#define REQUIRE_NCCL(context) \
  if (functions.state == nullptr) return (context).refuse("NCCL has not been loaded")

}  // namespace

extern "C" {

// Loads NCCL from the system or pip's packages, or the library of a name or path. Writes its version as
// text, or why it cannot be used, and how long that is; the status is 0 or not.
int32_t nccl_load(uint8_t *named, uint32_t length, uint8_t *text, uint32_t capacity, uint8_t *written) {
  char name[1024] = "";
  std::memcpy(name, named, length < sizeof(name) ? length : sizeof(name) - 1);
  char said[1200] = "";
  bool ready = false;
  Functions found = {};
  const char *const usual[] = {"libnccl.so.2", "libnccl.so", nullptr};
  const char *const own[] = {name, nullptr};
  // Loaded again it is the same one, which nobody unloads.
  void *library = loadLibrary(length == 0 ? usual : own, "nccl");
  Binder{library}(found.version, "ncclGetVersion");
  int version = 0;
  if (library == nullptr) {
    std::snprintf(said, sizeof(said), "%s is not installed", length == 0 ? "NCCL" : name);
  } else if (found.version == nullptr || found.version(&version) != NCCL_SUCCESS) {
    std::snprintf(said, sizeof(said), "it tells no version: it is no NCCL");
  } else if (version < OLDEST || !bindAll(library, found)) {
    // Versions before 2.9 are counted in hundreds.
    int major = version < 10000 ? version / 1000 : version / 10000;
    int minor = version < 10000 ? version / 100 % 10 : version / 100 % 100;
    std::snprintf(said, sizeof(said), "NCCL %d.%d.%d is too old: 2.18 is the oldest that will do",
                  major, minor, version % 100);
  } else {
    functions = found;
    ready = true;
    std::snprintf(said, sizeof(said), "%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
  }
  uint32_t bytes = static_cast<uint32_t>(std::strlen(said));
  std::memcpy(text, said, bytes < capacity ? bytes : capacity);
  std::memcpy(written, &bytes, sizeof(bytes));
  return ready ? 0 : 1;
}

// Writes the 128 bytes by which ranks find each other; one rank asks and tells the others.
int32_t nccl_unique_id(address_t handle, uint8_t *id) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  UniqueId made;
  if (int32_t status = told(context, "ncclGetUniqueId", functions.getUniqueId(&made))) return status;
  std::memcpy(id, made.bytes, UNIQUE_ID_BYTES);
  return 0;
}

// Opens a communicator; every rank calls this. Writes its handle as a double.
int32_t nccl_open(address_t handle, uint8_t *id, uint32_t rank, uint32_t size, uint8_t *out) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  UniqueId given;
  std::memcpy(given.bytes, id, UNIQUE_ID_BYTES);
  void *made = nullptr;
  Config config;
  int status = functions.initRank(&made, static_cast<int>(size), given, static_cast<int>(rank), &config);
  double address = static_cast<double>(reinterpret_cast<uintptr_t>(made));
  std::memcpy(out, &address, sizeof(address));
  return told(context, "ncclCommInitRankConfig", status);
}

// Whether the communicator's last call has ended, or what NCCL found wrong since.
int32_t nccl_state(address_t handle, address_t ranks) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  int state = NCCL_SUCCESS;
  int status = functions.state(at<void>(ranks), &state);
  return told(context, "NCCL", status == NCCL_SUCCESS ? state : status);
}

// Ends a communicator at once, whatever is on its way. ncclCommDestroy would wait for the other ranks.
int32_t nccl_close(address_t handle, address_t ranks) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  return told(context, "ncclCommAbort", functions.abort(at<void>(ranks)));
}

// Enqueues sends and receives that depend on each other's progress; each is four doubles: 0 to send or 1
// to receive, the rank, the address, the bytes.
int32_t nccl_exchange(address_t handle, address_t ranks, uint8_t *list, uint32_t count) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  int status = functions.groupStart();
  for (uint32_t i = 0; i < count && status == NCCL_SUCCESS; i++) {
    double call[4];
    std::memcpy(call, list + i * sizeof(call), sizeof(call));
    size_t bytes = static_cast<size_t>(call[3]);
    int peer = static_cast<int>(call[1]);
    void *memory = at<void>(call[2]);
    void *own = at<void>(ranks);
    status = call[0] == 0 ? functions.send(memory, bytes, NCCL_INT8, peer, own, context.stream())
                          : functions.receive(memory, bytes, NCCL_INT8, peer, own, context.stream());
    if (status == NCCL_IN_PROGRESS) status = NCCL_SUCCESS;
  }
  int ended = functions.groupEnd();
  return told(context, "NCCL's send and receive", status == NCCL_SUCCESS ? ended : status);
}
}
