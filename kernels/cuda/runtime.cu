// The runtime functions of the table (kernels/table/runtime.ts): what every library exports beside its
// kernels. Memory is the GPU's; only `download` and `wait` wait.

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "context.h"

namespace {

const char *faultText(int fault) {
  switch (fault) {
    case FAULT_ID: return "an id is not below vocab";
    case FAULT_SLOT: return "a slot is not below pages * page_size";
    case FAULT_SEQUENCE: return "a row_sequence is not below sequences";
    case FAULT_POSITION: return "a row_position is not below max_pages * page_size";
    case FAULT_PAGE: return "a page of page_table is not below pages";
    case FAULT_START: return "a row's start is not its document's first row";
    case FAULT_TARGET: return "a target is not below vocab";
    default: return "a kernel left an unknown fault";
  }
}

uint32_t writeText(const char *text, uint8_t *target, uint32_t capacity) {
  size_t length = std::strlen(text);
  std::memcpy(target, text, length < capacity ? length : capacity);
  return static_cast<uint32_t>(length);
}

}  // namespace

#define REQUIRE_MEMORY(handle, address) \
  if ((address) == 0) return contextOf(handle).refuse("address 0 is no memory")

int32_t Context::refuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(error_, sizeof(error_), format, arguments);
  va_end(arguments);
  return 1;
}

int32_t Context::takeFault() {
  int fault = 0;
  int none = 0;
  if (int32_t status = download(&fault, fault_, sizeof(fault))) return status;
  if (fault == FAULT_NONE) return 0;
  upload(fault_, &none, sizeof(none));
  return refuse("a kernel that was enqueued before found that %s", faultText(fault));
}

extern "C" {

double rt_abi_hash(void) { return LLAMERO_ABI_HASH; }

address_t rt_open(uint32_t) {
  return static_cast<address_t>(reinterpret_cast<uintptr_t>(Context::open(0)));
}

int32_t rt_close(address_t handle) {
  delete &contextOf(handle);
  return 0;
}

uint32_t rt_info(address_t handle, uint8_t *text, uint32_t capacity) {
  return contextOf(handle).describe(reinterpret_cast<char *>(text), capacity);
}

uint32_t rt_last_error(address_t handle, uint8_t *text, uint32_t capacity) {
  // Without a context: why the last one could not be opened.
  const char *error = handle == 0 ? Context::failedOpen() : contextOf(handle).error();
  return writeText(error, text, capacity);
}

address_t rt_alloc(address_t handle, double bytes) {
  return contextOf(handle).alloc(static_cast<size_t>(bytes));
}

int32_t rt_free(address_t handle, address_t memory) { return contextOf(handle).free(memory); }

int32_t rt_upload(address_t handle, address_t target, uint8_t *source, double bytes) {
  REQUIRE_MEMORY(handle, target);
  return contextOf(handle).upload(at<void>(target), source, static_cast<size_t>(bytes));
}

int32_t rt_download(address_t handle, uint8_t *target, address_t source, double bytes) {
  REQUIRE_MEMORY(handle, source);
  Context &context = contextOf(handle);
  if (int32_t status = context.download(target, at<void>(source), static_cast<size_t>(bytes))) {
    return status;
  }
  return context.wait(0);
}

int32_t rt_copy(address_t handle, address_t target, address_t source, double bytes) {
  REQUIRE_MEMORY(handle, target);
  REQUIRE_MEMORY(handle, source);
  return contextOf(handle).copy(at<uint8_t>(target), at<uint8_t>(source), static_cast<size_t>(bytes));
}

int32_t rt_fill(address_t handle, address_t target, uint32_t value, double bytes) {
  REQUIRE_MEMORY(handle, target);
  return contextOf(handle).fill(at<void>(target), value, static_cast<size_t>(bytes));
}

int32_t rt_map_file(address_t handle, uint8_t *, uint32_t, uint8_t *) {
  return contextOf(handle).refuse("a GPU maps no files: read the file and upload it");
}

int32_t rt_unmap_file(address_t handle, address_t) {
  return contextOf(handle).refuse("a GPU maps no files");
}

int32_t rt_forget_pages(address_t handle, address_t, double) {
  return contextOf(handle).refuse("a GPU maps no files");
}

int32_t rt_queue(address_t handle, uint32_t index) { return contextOf(handle).chooseQueue(index); }

double rt_event(address_t handle) { return contextOf(handle).mark(); }

int32_t rt_wait(address_t handle, double event) { return contextOf(handle).wait(event); }
}
