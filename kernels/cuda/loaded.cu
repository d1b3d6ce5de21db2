#include "loaded.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdio>
#include <cstdlib>

namespace {

// Where pip puts packages, for the Pythons that a system or an environment has.
const char *const PLACES[] = {
    "/usr/local/lib/python3*/dist-packages", "/usr/local/lib/python3*/site-packages",
    "/usr/lib/python3*/site-packages",       "/usr/lib/python3/dist-packages",
    "/opt/*/lib/python3*/site-packages",
};

void *loadMatching(const char *pattern) {
  glob_t found;
  void *library = nullptr;
  if (glob(pattern, 0, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc && library == nullptr; i++) {
      library = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    }
  }
  globfree(&found);
  return library;
}

void *loadUnder(const char *place, const char *package, const char *name) {
  char pattern[1024];
  // Packages of CUDA 12 have a folder each, those of 13 share one.
  const char *const folders[] = {package, "cu13"};
  for (const char *folder : folders) {
    std::snprintf(pattern, sizeof(pattern), "%s/nvidia/%s/lib/%s", place, folder, name);
    if (void *library = loadMatching(pattern)) return library;
  }
  return nullptr;
}

}  // namespace

void *loadLibrary(const char *const *names, const char *package) {
  const char *environment = std::getenv("VIRTUAL_ENV");
  char own[512] = "";
  if (environment != nullptr) {
    std::snprintf(own, sizeof(own), "%s/lib/python3*/site-packages", environment);
  }
  for (; *names != nullptr; names++) {
    if (void *library = dlopen(*names, RTLD_NOW | RTLD_LOCAL)) return library;
    if (own[0] != 0) {
      if (void *library = loadUnder(own, package, *names)) return library;
    }
    for (const char *place : PLACES) {
      if (void *library = loadUnder(place, package, *names)) return library;
    }
  }
  return nullptr;
}

void *loadedFunction(void *library, const char *name) {
  return library == nullptr ? nullptr : dlsym(library, name);
}
