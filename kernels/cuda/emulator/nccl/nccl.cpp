// A libnccl for tests without GPUs: the functions that nccl.cu binds, with the same binary interface, for
// processes of one machine. Bytes go through rings in a shared file; work of a stream is pushed to the
// emulator's and goes on when that is looked at. Like NCCL, it does not notice by itself that another
// process is gone: what waits for it waits until the communicator is aborted.
//
// LLAMERO_FAKE_NCCL_VERSION makes it another version.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "../stream.h"

namespace {

constexpr int SUCCESS = 0;
constexpr int SYSTEM_ERROR = 2;
constexpr int INVALID_ARGUMENT = 4;
constexpr int INVALID_USAGE = 5;
constexpr int REMOTE_ERROR = 6;
constexpr int IN_PROGRESS = 7;

// Small, so that what tests send goes round.
constexpr size_t RING_BYTES = 1 << 14;

struct Ring {
  std::atomic<uint64_t> head, tail;
  unsigned char bytes[RING_BYTES];
};

struct Shared {
  std::atomic<int> arrived;
  std::atomic<int> failed;
};

struct UniqueId {
  char path[128];
};

// The fields of ncclConfig_t that are looked at.
struct Config {
  size_t size;
  unsigned magic, version;
  int blocking;
};

struct Comm {
  int rank = 0, size = 0;
  size_t bytes = 0;
  Shared *shared = nullptr;
  std::atomic<bool> aborted{false};
  UniqueId id;

  Ring &ring(int from, int to) {
    Ring *rings = reinterpret_cast<Ring *>(shared + 1);
    return rings[from * size + to];
  }
};

struct Call {
  bool sends;
  unsigned char *memory;
  size_t left;
  int peer;
};

size_t write(Ring &ring, const unsigned char *from, size_t bytes) {
  uint64_t tail = ring.tail.load();
  size_t count = std::min<size_t>(bytes, RING_BYTES - (tail - ring.head.load()));
  for (size_t i = 0; i < count; i++) ring.bytes[(tail + i) % RING_BYTES] = from[i];
  ring.tail.store(tail + count);
  return count;
}

size_t read(Ring &ring, unsigned char *to, size_t bytes) {
  uint64_t head = ring.head.load();
  size_t count = std::min<size_t>(bytes, ring.tail.load() - head);
  for (size_t i = 0; i < count; i++) to[i] = ring.bytes[(head + i) % RING_BYTES];
  ring.head.store(head + count);
  return count;
}

// What one group has, in its order for each peer and direction.
struct Group {
  std::shared_ptr<Comm> comm;
  std::vector<Call> calls;

  int step() {
    if (comm->aborted) return STEP_DONE;
    bool waits = false;
    std::vector<bool> behind(2 * comm->size);
    for (Call &call : calls) {
      size_t way = 2 * call.peer + call.sends;
      if (call.left == 0 || behind[way]) continue;
      size_t moved = call.sends ? write(comm->ring(comm->rank, call.peer), call.memory, call.left)
                                : read(comm->ring(call.peer, comm->rank), call.memory, call.left);
      call.memory += moved;
      call.left -= moved;
      waits = waits || call.left > 0;
      behind[way] = call.left > 0;
    }
    return waits ? STEP_WAITS : STEP_DONE;
  }
};

// Communicators are handed out as addresses of these; work on its way keeps them.
struct Handle {
  std::shared_ptr<Comm> comm;
};

thread_local bool grouping = false;
thread_local std::shared_ptr<Group> open_group;
thread_local EmulatedStream *group_stream = nullptr;

int add(Call call, void *handle, EmulatedStream *stream) {
  Handle *own = static_cast<Handle *>(handle);
  if (!grouping || stream == nullptr) return INVALID_USAGE;
  if (call.peer < 0 || call.peer >= own->comm->size) return INVALID_ARGUMENT;
  if (!open_group) open_group = std::make_shared<Group>();
  open_group->comm = own->comm;
  open_group->calls.push_back(call);
  group_stream = stream;
  return SUCCESS;
}

}  // namespace

extern "C" {

int ncclGetVersion(int *version) {
  const char *wanted = std::getenv("LLAMERO_FAKE_NCCL_VERSION");
  *version = wanted == nullptr ? 22800 : std::atoi(wanted);
  return SUCCESS;
}

const char *ncclGetErrorString(int status) {
  switch (status) {
    case SYSTEM_ERROR: return "unhandled system error";
    case INVALID_ARGUMENT: return "invalid argument";
    case INVALID_USAGE: return "invalid usage";
    case REMOTE_ERROR: return "remote process exited or there was a network error";
    default: return "internal error";
  }
}

int ncclGetUniqueId(UniqueId *id) {
  static std::atomic<int> made{0};
  std::memset(id, 0, sizeof(*id));
  std::snprintf(id->path, sizeof(id->path), "/dev/shm/llamero-fake-nccl-%d-%d", static_cast<int>(getpid()),
                made++);
  int file = open(id->path, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (file < 0) return SYSTEM_ERROR;
  close(file);
  return SUCCESS;
}

int ncclCommInitRankConfig(void **out, int size, UniqueId id, int rank, Config *config) {
  bool known = config != nullptr && config->magic == 0xcafebeef && config->version == 21800;
  if (!known || config->blocking != 0 || rank < 0 || rank >= size) return INVALID_ARGUMENT;
  int file = open(id.path, O_RDWR);
  if (file < 0) return SYSTEM_ERROR;
  size_t bytes = sizeof(Shared) + sizeof(Ring) * size * size;
  // Grown by all to the same length; new bytes are zero.
  void *memory = MAP_FAILED;
  if (ftruncate(file, static_cast<off_t>(bytes)) == 0) {
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  close(file);
  if (memory == MAP_FAILED) return SYSTEM_ERROR;
  std::shared_ptr<Comm> comm(new Comm(), [](Comm *comm) {
    munmap(comm->shared, comm->bytes);
    delete comm;
  });
  comm->rank = rank;
  comm->size = size;
  comm->bytes = bytes;
  comm->id = id;
  comm->shared = static_cast<Shared *>(memory);
  if (comm->shared->arrived.fetch_add(1) + 1 == size) unlink(id.path);
  *out = new Handle{comm};
  return IN_PROGRESS;
}

int ncclCommGetAsyncError(void *handle, int *state) {
  Comm &comm = *static_cast<Handle *>(handle)->comm;
  if (comm.shared->failed.load() != 0) *state = REMOTE_ERROR;
  else *state = comm.shared->arrived.load() < comm.size ? IN_PROGRESS : SUCCESS;
  return SUCCESS;
}

// The others find out only where work was on its way.
int ncclCommAbort(void *handle) {
  Handle *own = static_cast<Handle *>(handle);
  Comm &comm = *own->comm;
  comm.aborted = true;
  bool unfinished = own->comm.use_count() > 1 || comm.shared->arrived.load() < comm.size;
  if (unfinished) comm.shared->failed.store(1);
  unlink(comm.id.path);
  delete own;
  return SUCCESS;
}

int ncclGroupStart() {
  if (grouping) return INVALID_USAGE;
  grouping = true;
  return SUCCESS;
}

int ncclGroupEnd() {
  if (!grouping) return INVALID_USAGE;
  grouping = false;
  if (!open_group) return SUCCESS;
  std::shared_ptr<Group> group = std::move(open_group);
  open_group = nullptr;
  group_stream->push([group] { return group->step(); });
  return SUCCESS;
}

int ncclSend(const void *data, size_t count, int type, int peer, void *handle, EmulatedStream *stream) {
  if (type != 0) return INVALID_ARGUMENT;
  unsigned char *memory = static_cast<unsigned char *>(const_cast<void *>(data));
  return add({true, memory, count, peer}, handle, stream);
}

int ncclRecv(void *data, size_t count, int type, int peer, void *handle, EmulatedStream *stream) {
  if (type != 0) return INVALID_ARGUMENT;
  return add({false, static_cast<unsigned char *>(data), count, peer}, handle, stream);
}
}
