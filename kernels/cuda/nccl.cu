// NCCL by its documented binary interface (nccl.h of 2.18 and later), for ranks that have a GPU each. What
// crosses the border is numbers and addresses, as with kernels; work goes to the chosen queue and calls
// return at once. NCCL sums in an order of its own: the same in every run, another for other ranks.

#include <cstring>

#include "context.h"
#include "loaded.h"

#ifdef LLAMERO_EMULATED
typedef void *NcclStream;
#else
typedef cudaStream_t NcclStream;
#endif

namespace {

constexpr int UNIQUE_ID_BYTES = 128;
struct UniqueId {
  char bytes[UNIQUE_ID_BYTES];
};

// Values of nccl.h.
constexpr int NCCL_INT8 = 0;
constexpr int NCCL_FLOAT32 = 7;
constexpr int NCCL_FLOAT64 = 8;
constexpr int NCCL_BFLOAT16 = 9;
constexpr int NCCL_SUM = 0;

struct Functions {
  int (*getUniqueId)(UniqueId *);
  int (*initRank)(void **, int, UniqueId, int);
  int (*destroy)(void *);
  int (*abort)(void *);
  const char *(*errorText)(int);
  int (*allReduce)(const void *, void *, size_t, int, int, void *, NcclStream);
  int (*reduceScatter)(const void *, void *, size_t, int, int, void *, NcclStream);
  int (*allGather)(const void *, void *, size_t, int, void *, NcclStream);
  int (*broadcast)(const void *, void *, size_t, int, int, void *, NcclStream);
  int (*send)(const void *, size_t, int, int, void *, NcclStream);
  int (*receive)(void *, size_t, int, int, void *, NcclStream);
  int (*groupStart)();
  int (*groupEnd)();
  int (*version)(int *);
};

bool bindAll(void *library, Functions &f) {
  Binder bind{library};
  bind(f.getUniqueId, "ncclGetUniqueId");
  bind(f.initRank, "ncclCommInitRank");
  bind(f.destroy, "ncclCommDestroy");
  bind(f.abort, "ncclCommAbort");
  bind(f.errorText, "ncclGetErrorString");
  bind(f.allReduce, "ncclAllReduce");
  bind(f.reduceScatter, "ncclReduceScatter");
  bind(f.allGather, "ncclAllGather");
  bind(f.broadcast, "ncclBroadcast");
  bind(f.send, "ncclSend");
  bind(f.receive, "ncclRecv");
  bind(f.groupStart, "ncclGroupStart");
  bind(f.groupEnd, "ncclGroupEnd");
  bind(f.version, "ncclGetVersion");
  return bind.all;
}

// The library's functions, null where it is not installed.
const Functions *functions() {
  static Functions loaded = {};
  static const char *const names[] = {"libnccl.so.2", "libnccl.so", nullptr};
  static bool there = bindAll(loadLibrary(names, "nccl"), loaded);
  return there ? &loaded : nullptr;
}

constexpr const char *ABSENT = "NCCL is not installed: pip's nvidia-nccl-cu13 or the system's libnccl2 has it";

int ncclType(uint32_t dtype) {
  switch (dtype) {
    case DTYPE_F32: return NCCL_FLOAT32;
    case DTYPE_F64: return NCCL_FLOAT64;
    case DTYPE_BF16: return NCCL_BFLOAT16;
    case DTYPE_I8: return NCCL_INT8;
    default: return -1;
  }
}

int32_t told(Context &context, const char *what, int status) {
  return status == 0 ? 0 : context.refuse("%s: %s", what, functions()->errorText(status));
}

}  // namespace

#define REQUIRE_NCCL(context)                                  \
  const Functions *f = functions();                            \
  if (f == nullptr) return (context).refuse("%s", ABSENT)

#define REQUIRE_TYPE(context, dtype)                           \
  int type = ncclType(dtype);                                  \
  if (type < 0) return (context).refuse("dtype must be f32, f64, bf16 or i8")

extern "C" {

// NCCL's version, 0 where it is not installed.
uint32_t nccl_version(void) {
  const Functions *f = functions();
  int version = 0;
  return f != nullptr && f->version(&version) == 0 ? static_cast<uint32_t>(version) : 0;
}

// Writes the 128 bytes by which ranks find each other; one rank asks and tells the others.
int32_t nccl_unique_id(address_t handle, uint8_t *id) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  UniqueId made;
  if (int32_t status = told(context, "ncclGetUniqueId", f->getUniqueId(&made))) return status;
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
  int status = f->initRank(&made, static_cast<int>(size), given, static_cast<int>(rank));
  double address = static_cast<double>(reinterpret_cast<uintptr_t>(made));
  std::memcpy(out, &address, sizeof(address));
  return told(context, "ncclCommInitRank", status);
}

// Ends a communicator; with `abort` also where other ranks are lost.
int32_t nccl_close(address_t handle, address_t ranks, uint32_t abort) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  return told(context, "ncclCommDestroy", abort ? f->abort(at<void>(ranks)) : f->destroy(at<void>(ranks)));
}

int32_t nccl_all_reduce(address_t handle, address_t ranks, address_t data, double count,
                        uint32_t dtype) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  REQUIRE_TYPE(context, dtype);
  return told(context, "ncclAllReduce",
              f->allReduce(at<void>(data), at<void>(data), static_cast<size_t>(count), type,
                           NCCL_SUM, at<void>(ranks), context.stream()));
}

// Sums parts of `count` elements each; `out` gets this rank's.
int32_t nccl_reduce_scatter(address_t handle, address_t ranks, address_t out, address_t data,
                            double count, uint32_t dtype) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  REQUIRE_TYPE(context, dtype);
  return told(context, "ncclReduceScatter",
              f->reduceScatter(at<void>(data), at<void>(out), static_cast<size_t>(count), type,
                               NCCL_SUM, at<void>(ranks), context.stream()));
}

// `out` gets `count` elements of every rank, in their order.
int32_t nccl_all_gather(address_t handle, address_t ranks, address_t out, address_t data,
                        double count, uint32_t dtype) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  REQUIRE_TYPE(context, dtype);
  return told(context, "ncclAllGather",
              f->allGather(at<void>(data), at<void>(out), static_cast<size_t>(count), type,
                           at<void>(ranks), context.stream()));
}

int32_t nccl_broadcast(address_t handle, address_t ranks, address_t data, double bytes,
                       uint32_t root) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  return told(context, "ncclBroadcast",
              f->broadcast(at<void>(data), at<void>(data), static_cast<size_t>(bytes), NCCL_INT8,
                           static_cast<int>(root), at<void>(ranks), context.stream()));
}

int32_t nccl_send(address_t handle, address_t ranks, address_t data, double bytes, uint32_t to) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  return told(context, "ncclSend",
              f->send(at<void>(data), static_cast<size_t>(bytes), NCCL_INT8, static_cast<int>(to),
                      at<void>(ranks), context.stream()));
}

int32_t nccl_receive(address_t handle, address_t ranks, address_t data, double bytes,
                     uint32_t from) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  return told(context, "ncclRecv",
              f->receive(at<void>(data), static_cast<size_t>(bytes), NCCL_INT8,
                         static_cast<int>(from), at<void>(ranks), context.stream()));
}

// Calls between start and end are enqueued together: a send and a receive must be.
int32_t nccl_group(address_t handle, uint32_t end) {
  Context &context = contextOf(handle);
  REQUIRE_NCCL(context);
  return told(context, "ncclGroup", end ? f->groupEnd() : f->groupStart());
}
}
